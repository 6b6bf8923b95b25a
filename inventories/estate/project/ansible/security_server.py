"""Variables of role security_server."""

from __future__ import annotations

from typing import Any

from estate.host import Host
from estate.model import Estate
from estate.network import LISTENERS, Endpoint


def variables(estate: Estate, host: Host) -> dict[str, Any]:
    """Memory, where its health is asked for, and which node of a cluster it is."""
    server = estate.federation.security_server_of(host.name)
    node_type = ""
    if server is not None and server.cluster is not None:
        node_type = "master" if host.name == server.host else "slave"
    return {
        "security_server_node_type": node_type,
        "security_server_memory": server.memory if server else "d",
        "security_server_health_port": LISTENERS[Endpoint.HEALTH].port,
    }
