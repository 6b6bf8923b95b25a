"""What role `host_certificate` is told about a host."""

from __future__ import annotations

from typing import Any

from estate.host import Host, Role
from estate.model import Estate
from estate.network import LISTENERS, Endpoint
from estate.project.ansible.secret import secret

_EXCHANGE = ("xroad-certificates.service",)
"""Hands it on to X-Road's own keystores and services."""

RELOADED: dict[Role, tuple[str, ...]] = {
    Role.CERTIFICATE_AUTHORITY: ("trust-services-issuing.service",),
    Role.POSTGRESQL: ("postgresql@*.service",),
    Role.REGISTRY: ("registry-tls.service",),
    Role.MONITORING: ("prometheus.service", "prometheus-alertmanager.service"),
    Role.LOAD_BALANCER: ("haproxy.service",),
    Role.CENTRAL_SERVER: _EXCHANGE,
    Role.SECURITY_SERVER: _EXCHANGE,
    Role.SECURITY_SERVER_CLUSTER: ("postgresql@*.service",),
    Role.CONFIGURATION_PROXY: _EXCHANGE,
}
"""Units that read the host's certificate, by the role that brings them."""


def variables(estate: Estate, host: Host) -> dict[str, Any]:
    """Names of the certificate, the authority, and what reads it on this host."""
    authority = estate.hosts_with(Role.CERTIFICATE_AUTHORITY)[0]
    port = LISTENERS[Endpoint.INFRASTRUCTURE_TLS].port
    return {
        "host_certificate_names": [estate.fqdn(host), *estate.aliases(host)],
        "host_certificate_authority_url": f"https://{estate.fqdn(authority)}:{port}",
        "host_certificate_authority_host": authority.name,
        "host_certificate_issuer": estate.trust.infrastructure_tls.name,
        "host_certificate_provisioner_password": secret("infrastructure-tls-hosts"),
        "host_certificate_lifetime_hours": estate.trust.infrastructure_tls.leaf_lifetime,
        "host_certificate_reload_units": list(
            dict.fromkeys(unit for role in host.roles for unit in RELOADED.get(role, ()))
        ),
    }
