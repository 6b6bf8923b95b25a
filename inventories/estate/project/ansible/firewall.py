"""Variables of role firewall: the estate's flows as rules of one host."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from ipaddress import IPv4Network, collapse_addresses
from typing import Any

from estate.host import KUBERNETES_ROLES, Host, Role
from estate.model import Estate, Rule
from estate.network import LISTENERS, Endpoint

POD_INTERFACES = ("cilium_*", "lxc*")
"""Interfaces behind which a node's pods lie, and those of other nodes."""


def variables(estate: Estate, host: Host) -> dict[str, Any]:
    """Who may connect to the host, and on a router what it passes on between zones."""
    return {
        "firewall_management_networks": [str(network) for network in estate.site.administration],
        "firewall_ssh_port": LISTENERS[Endpoint.SSH].port,
        "firewall_input_rules": _input_rules(estate, host),
        "firewall_forward_rules": _forward_rules(estate, host) if host.has(Role.ROUTER) else [],
        "firewall_inner_networks": _inner_networks(estate, host),
    }


def _input_rules(estate: Estate, host: Host) -> list[dict[str, Any]]:
    """One rule for each flow and set of sources, with all its ports."""
    own = set(host.addresses.values())
    ports: dict[tuple[str, tuple[IPv4Network, ...], str], set[int]] = defaultdict(set)
    for rule in estate.rules():
        if rule.destination in own:
            ports[rule.flow, _with_pods(estate, host, rule.sources), rule.protocol].update(rule.ports)
    return [_input_rule(*key, values) for key, values in ports.items()]


def _input_rule(flow: str, sources: Iterable[IPv4Network], protocol: str, ports: set[int]) -> dict[str, Any]:
    """A rule without ports for what has none."""
    rule = {"name": flow, "sources": _texts(sources), "protocol": protocol}
    return rule | {"ports": sorted(ports)} if ports else rule


def _with_pods(estate: Estate, host: Host, sources: tuple[IPv4Network, ...]) -> tuple[IPv4Network, ...]:
    """`sources`, with the pods where every node is among them: inside the cluster they keep their address."""
    if _is_node(host) and set(_nodes(estate)) <= set(sources):
        return (*sources, estate.kubernetes.pod_network)
    return sources


def _forward_rules(estate: Estate, router: Host) -> list[dict[str, Any]]:
    """Every flow that leaves its zone; rules that differ in the destination only become one."""
    own = set(router.addresses.values())
    destinations: dict[tuple[str, tuple[IPv4Network, ...], str, tuple[int, ...]], list[str]] = defaultdict(list)
    for rule in estate.rules():
        sources = tuple(_from_elsewhere(estate, rule))
        if sources and rule.destination not in own:
            found = destinations[rule.flow, sources, rule.protocol, rule.ports]
            if str(rule.destination) not in found:
                found.append(str(rule.destination))
    return [
        {
            "name": flow,
            "sources": _texts(sources),
            "destinations": addresses,
            "protocol": protocol,
            "ports": list(ports),
        }
        for (flow, sources, protocol, ports), addresses in destinations.items()
    ]


def _from_elsewhere(estate: Estate, rule: Rule) -> Iterable[IPv4Network]:
    """Sources of a rule outside the destination's own zone: only these come through the router."""
    zone = next(zone.network for zone in estate.zones if rule.destination in zone.network)
    return (source for source in rule.sources if not source.subnet_of(zone))


def _inner_networks(estate: Estate, host: Host) -> list[dict[str, Any]]:
    """The pods of a node: other nodes and their pods reach them. Which pods may, Cilium decides."""
    if not _is_node(host):
        return []
    sources = [str(estate.kubernetes.pod_network), str(estate.zone(host.zone).network)]
    return [{"interface": interface, "sources": sources} for interface in POD_INTERFACES]


def _is_node(host: Host) -> bool:
    return not KUBERNETES_ROLES.isdisjoint(host.roles)


def _nodes(estate: Estate) -> tuple[IPv4Network, ...]:
    return tuple(IPv4Network(node.address) for node in estate.kubernetes_nodes)


def _texts(networks: Iterable[IPv4Network]) -> list[str]:
    """Networks as people read them: a host without its prefix length, none twice or inside another."""
    return [
        str(network.network_address) if network.prefixlen == 32 else str(network)
        for network in collapse_addresses(networks)
    ]
