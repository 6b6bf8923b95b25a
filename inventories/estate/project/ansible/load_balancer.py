"""Variables of role load_balancer."""

from __future__ import annotations

from typing import Any

from estate.host import Host, Role
from estate.model import Estate
from estate.network import LISTENERS, Endpoint
from estate.platform import Sector

HEALTH_PATH = "/healthz"
"""Where the portal and the sector systems say that they can serve."""


def variables(estate: Estate, host: Host) -> dict[str, Any]:
    """The ports, and a route for the portal, for each sector system, and for the status of certificates."""
    return {
        "load_balancer_port": LISTENERS[Endpoint.HTTPS].port,
        "load_balancer_metrics_port": LISTENERS[Endpoint.LOAD_BALANCER_METRICS].port,
        "load_balancer_plain_port": LISTENERS[Endpoint.HTTP].port,
        "load_balancer_plain_routes": [
            {
                "name": "status",
                "host_name": estate.status_name,
                "servers": [
                    {
                        "name": responder.name,
                        "address": str(responder.address),
                        "port": LISTENERS[Endpoint.CERTIFICATE_STATUS].port,
                    }
                    for responder in estate.hosts_with(Role.STATUS_RESPONDER)
                ],
                "health_path": "/health",
            }
        ],
        "load_balancer_passed_routes": _clusters(estate, host),
        "load_balancer_routes": [
            {
                "name": "portal",
                "host_name": estate.portal.host_name,
                "servers": _servers(estate, estate.portal.node_port),
                "health_path": HEALTH_PATH,
                "sources": [],
                "strict_transport": True,
            },
            *(
                {
                    "name": str(sector.name),
                    "host_name": estate.service_name(sector),
                    "servers": _servers(estate, sector.node_port),
                    "health_path": HEALTH_PATH,
                    "sources": _representatives(estate, sector),
                    "strict_transport": False,
                }
                for sector in estate.sectors
            ),
        ],
    }


def _clusters(estate: Estate, host: Host) -> list[dict[str, Any]]:
    """The security server of several nodes that the host balances, if any."""
    return [
        {
            "name": server.host,
            "ports": list(LISTENERS[Endpoint.CLUSTERED_SERVERS].ports),
            "health_port": LISTENERS[Endpoint.HEALTH].port,
            "servers": [{"name": name, "address": str(estate.host(name).address)} for name in server.nodes],
        }
        for server in estate.federation.security_servers
        if server.cluster is not None and server.cluster.balancer == host.name
    ]


def _servers(estate: Estate, port: int) -> list[dict[str, Any]]:
    """The workers: each of them passes a node port on to the pods, wherever they run."""
    return [
        {"name": worker.name, "address": str(worker.address), "port": port}
        for worker in estate.hosts_with(Role.KUBERNETES_WORKER)
    ]


def _representatives(estate: Estate, sector: Sector) -> list[str]:
    """Addresses of the security servers that offer a sector system to the federation: nobody else calls it."""
    named = {
        server
        for subsystem in estate.federation.subsystems().values()
        for service in subsystem.services
        if service.sector == sector.name
        for server in subsystem.security_servers
    }
    hosts = {
        node for server in estate.federation.security_servers if server.host in named for node in server.nodes
    }
    return [f"{estate.host(name).address}/32" for name in sorted(hosts)]
