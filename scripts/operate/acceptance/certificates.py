"""Every TLS endpoint shows a certificate that chains to the site's root and carries the right name."""

from __future__ import annotations

from typing import Any

from estate import Estate
from estate.host import Host, Role
from estate.network import LISTENERS, Endpoint
from operate.acceptance import remote
from operate.acceptance.result import Check
from operate.workspace import Workspace

BY_ROLE: dict[Role, tuple[Endpoint, ...]] = {
    Role.CERTIFICATE_AUTHORITY: (Endpoint.INFRASTRUCTURE_TLS, Endpoint.TRUST_SERVICES),
    Role.POSTGRESQL: (Endpoint.POSTGRESQL,),
    Role.REGISTRY: (Endpoint.REGISTRY,),
    Role.MONITORING: (Endpoint.PROMETHEUS, Endpoint.ALERTMANAGER),
    Role.KUBERNETES_CONTROL_PLANE: (Endpoint.KUBERNETES_API,),
    Role.LOAD_BALANCER: (Endpoint.HTTPS,),
    Role.CENTRAL_SERVER: (Endpoint.ADMIN_API,),
    Role.SECURITY_SERVER: (Endpoint.ADMIN_API, Endpoint.MESSAGE_TRANSPORT, Endpoint.INFORMATION_SYSTEMS),
}
"""Endpoints that speak TLS. Node metrics do on every host."""

OF_HOSTS = frozenset(
    {
        Endpoint.TRUST_SERVICES,
        Endpoint.REGISTRY,
        Endpoint.PROMETHEUS,
        Endpoint.ALERTMANAGER,
        Endpoint.HTTPS,
        Endpoint.ADMIN_API,
    }
)
"""Those of them that show the certificate of their host, and that operators may reach."""


def endpoints(estate: Estate, host: Host) -> list[dict[str, Any]]:
    """TLS endpoints of a host, in the probe's words."""
    offered = [Endpoint.NODE_METRICS, *(e for role in host.roles for e in BY_ROLE.get(role, ()))]
    found: list[dict[str, Any]] = []
    for endpoint in offered:
        # Information systems have a plain port beside the TLS one.
        port = max(LISTENERS[endpoint].ports)
        target: dict[str, Any] = {"address": str(host.address), "port": port, "name": estate.fqdn(host)}
        if endpoint is Endpoint.POSTGRESQL:
            target["starttls"] = "postgres"
        if endpoint is Endpoint.MESSAGE_TRANSPORT:
            # An authentication certificate names the server, not the host (Basic profile).
            target["hostname"] = False
        names = estate.aliases(host) if endpoint is Endpoint.HTTPS else ()
        found.extend({**target, "name": name} for name in (target["name"], *names))
    return found


def check(workspace: Workspace, estate: Estate) -> list[Check]:
    """A check for each host with all its endpoints."""
    targets = {host.name: endpoints(estate, host) for host in estate.hosts}
    answers = remote.ask(workspace, {name: {"tls": asked} for name, asked in targets.items()})
    checks = []
    for name, asked in targets.items():
        seen = answers[name]["tls"]
        wrong = [
            f"{target['name']}:{target['port']}: {answer['detail']}"
            for target, answer in zip(asked, seen, strict=True)
            if not answer["ok"]
        ]
        detail = "; ".join(wrong) or f"{len(asked)} endpoints chain to the root"
        checks.append(Check("certificates", name, not wrong, detail))
    return checks
