"""Projects the estate's flows to what network policies of pods say. Pure."""

from __future__ import annotations

from ipaddress import IPv4Address

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


def callers(estate: Estate, node_port: int) -> list[str]:
    """Whom the pods behind a node port see: the nodes that the flows let one another's node ports ask.

    Whoever asks a node port is asking the node, which passes the request on in its own name: with its address,
    or with one among its pods' if the pod is on another node. Cilium compares addresses with those of nodes and
    never with those of pods, so the pods' networks let no pod in.
    """
    workers = {worker.address for worker in estate.hosts_with(Role.KUBERNETES_WORKER)}
    sources = {
        source
        for rule in estate.rules()
        if rule.destination in workers and node_port in rule.ports
        for source in rule.sources
    }
    return [
        network
        for node in estate.kubernetes_nodes
        if any(node.address in source for source in sources)
        for network in (f"{node.address}/32", str(node.pod_network))
    ]


def api_servers(estate: Estate) -> tuple[str, ...]:
    """Where the API's service sends those who ask it: the control planes that the flows open to workers."""
    control_planes = estate.hosts_with(Role.KUBERNETES_CONTROL_PLANE)
    found = (reachable(estate, control_plane.address, API_PORT) for control_plane in control_planes)
    return tuple(address for address in found if address)
