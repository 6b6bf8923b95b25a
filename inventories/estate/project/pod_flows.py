"""Projects the estate's flows to what network policies of pods say. Pure."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

from estate.host import Role
from estate.model import Estate
from estate.network import LISTENERS, Endpoint

API_PORT = LISTENERS[Endpoint.KUBERNETES_API].port
"""Where pods of the cluster's own ask the API."""


def reachable(estate: Estate, address: IPv4Address, port: int) -> str:
    """The address if the flows let every worker, and so every pod, connect to it there; empty if they don't."""
    workers = [worker.address for worker in estate.hosts_with(Role.KUBERNETES_WORKER)]
    opened = any(
        rule.destination == address
        and port in rule.ports
        and all(any(worker in source for source in rule.sources) for worker in workers)
        for rule in estate.rules()
    )
    return str(address) if opened else ""


def callers(estate: Estate, node_port: int) -> list[dict[str, Any]]:
    """Who may come in behind a node port, as IP blocks: nobody, or whoever isn't a pod.

    Which hosts may ask node ports, the firewalls of nodes decide by the same flows. A node passes a request
    on in its own name, with an address of its pods' network that Cilium knows to stand for somebody outside.
    """
    workers = {worker.address for worker in estate.hosts_with(Role.KUBERNETES_WORKER)}
    if not any(rule.destination in workers and node_port in rule.ports for rule in estate.rules()):
        return []
    return [{"cidr": "0.0.0.0/0", "except": [str(estate.kubernetes.pod_network)]}]


def api_servers(estate: Estate) -> tuple[str, ...]:
    """Where the API's service sends those who ask it: the control planes that the flows open to workers."""
    control_planes = estate.hosts_with(Role.KUBERNETES_CONTROL_PLANE)
    found = (reachable(estate, control_plane.address, API_PORT) for control_plane in control_planes)
    return tuple(address for address in found if address)
