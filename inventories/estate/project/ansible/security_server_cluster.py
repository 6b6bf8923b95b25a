"""Variables of role security_server_cluster."""

from __future__ import annotations

from typing import Any

from estate.host import Host
from estate.model import Estate
from estate.network import LISTENERS, Endpoint
from estate.project.ansible.secret import secret
from estate.secrets import server_configuration


def variables(estate: Estate, host: Host) -> dict[str, Any]:
    """Which node it is of which, and how the nodes reach one another."""
    server = estate.federation.security_server_of(host.name)
    if server is None or server.cluster is None:
        raise ValueError(f"'{host.name}' is a node of no cluster")
    primary = estate.host(server.host)
    return {
        "security_server_cluster_type": "primary" if host.name == server.host else "secondary",
        "security_server_cluster_primary": {
            "host": primary.name,
            "name": estate.fqdn(primary),
            "address": str(primary.address),
        },
        "security_server_cluster_secondaries": [
            {"host": node.name, "name": estate.fqdn(node), "address": str(node.address)}
            for node in map(estate.host, server.cluster.secondaries)
        ],
        "security_server_cluster_port": LISTENERS[Endpoint.SERVER_CONFIGURATION].port,
        "security_server_cluster_password": secret(server_configuration(server.host)),
    }
