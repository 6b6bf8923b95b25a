"""Variables of role node_exporter."""

from __future__ import annotations

from typing import Any

from estate.host import Host, Role
from estate.model import Estate
from estate.network import LISTENERS, Endpoint

EVERYWHERE = ("/etc/smartgouv/tls/host.crt", "/etc/smartgouv/tls/root.crt")
"""The host's own certificate with its chain, and the root that it trusts."""

# The kubelet keeps the certificates that it no longer uses beside `*-current.pem`; kubeadm's configurations of
# clients hold theirs. Patterns, since a host is measured before it joins the cluster.
_NODE = (
    "/etc/kubernetes/pki/**/*.crt",
    "/etc/kubernetes/*.conf",
    "/var/lib/kubelet/pki/*-current.pem",
    "/var/lib/kubelet/pki/*.crt",
)

BY_ROLE: dict[Role, tuple[str, ...]] = {
    Role.CERTIFICATE_AUTHORITY: (
        "/etc/smartgouv/root/root.crt",
        "/etc/smartgouv/root/root.crl",
        "/etc/smartgouv/ca/*/ca.crt",
        "/var/lib/smartgouv-status/state/responder.pem",
        "/var/lib/smartgouv-status/published/*.crl",
    ),
    Role.STATUS_RESPONDER: ("/etc/smartgouv/status/*.crt",),
    Role.TIME_STAMPING: (
        "/var/lib/smartgouv-time-stamping/certificate.pem",
        "/var/lib/smartgouv-time-stamping/chain.pem",
    ),
    Role.KUBERNETES_CONTROL_PLANE: _NODE,
    Role.KUBERNETES_WORKER: _NODE,
    Role.CENTRAL_SERVER: ("/etc/xroad/ssl/*.crt",),
    Role.SECURITY_SERVER: ("/etc/xroad/ssl/*.crt",),
    Role.CONFIGURATION_PROXY: ("/etc/xroad/ssl/*.crt",),
}
"""Further files with certificates and revocation lists, by the role that brings them."""


def variables(estate: Estate, host: Host) -> dict[str, Any]:
    """The port that monitoring may reach, and the files whose ends are measured."""
    own = (path for role in host.roles for path in BY_ROLE.get(role, ()))
    return {
        "node_exporter_port": LISTENERS[Endpoint.NODE_METRICS].port,
        "node_exporter_certificates": list(dict.fromkeys((*EVERYWHERE, *own))),
    }
