"""What must happen for the machine to hold exactly the blueprint: a comparison, no action."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from operate.lab.blueprint import BLUEPRINT_LABEL, Blueprint, Network, Node
from operate.lab.podman import listing

_RUNNING = "running"
_STARTABLE = frozenset({"created", "configured", "initialized", "exited", "stopped"})


@dataclass(frozen=True)
class Observed:
    """The objects of one lab that podman has."""

    networks: Mapping[str, str]
    """Subnet by network name."""
    nodes: Mapping[str, tuple[str, str]]
    """State and blueprint digest by container name."""
    volumes: frozenset[str]

    @property
    def anything(self) -> bool:
        """Whether there is anything at all."""
        return bool(self.networks or self.nodes or self.volumes)


@dataclass(frozen=True)
class Work:
    """What to do, in this order."""

    remove_nodes: tuple[str, ...]
    remove_networks: tuple[str, ...]
    remove_volumes: tuple[str, ...]
    create_networks: tuple[Network, ...]
    create_nodes: tuple[Node, ...]
    start_nodes: tuple[Node, ...]

    @property
    def summary(self) -> str:
        """What is to be done, for people; `nothing to do` if so."""
        parts = [
            f"{len(things)} {kind} to {verb}"
            for things, kind, verb in (
                (self.remove_nodes, "nodes", "remove"),
                (self.remove_networks, "networks", "remove"),
                (self.create_networks, "networks", "create"),
                (self.create_nodes, "nodes", "create"),
                (self.start_nodes, "nodes", "start"),
            )
            if things
        ]
        return ", ".join(parts) or "nothing to do"


def observe(lab: str) -> Observed:
    """What podman has with the label of `lab`, and nothing else."""
    own = f"label=smartgouv.lab={lab}"
    networks = listing("network", "ls", "--filter", own, "--format", "json")
    nodes = listing("ps", "--all", "--filter", own, "--format", "json")
    volumes = listing("volume", "ls", "--filter", own, "--format", "json")
    return Observed(
        networks={network["name"]: _subnet(network) for network in networks},
        nodes={
            node["Names"][0]: (node["State"], (node["Labels"] or {}).get(BLUEPRINT_LABEL, "")) for node in nodes
        },
        volumes=frozenset(volume["Name"] for volume in volumes),
    )


def compare(blueprint: Blueprint, observed: Observed) -> Work:
    """The work that turns what was observed into the blueprint.

    A node made from another blueprint, or on a network that changes, is made anew with its volumes.
    """
    networks = {network.name: network for network in blueprint.networks}
    wrong_networks = {
        name
        for name, subnet in observed.networks.items()
        if name not in networks or subnet != str(networks[name].subnet)
    }
    nodes = {node.name: node for node in blueprint.nodes}
    wrong_nodes = set()
    start = []
    for name, (state, digest) in observed.nodes.items():
        node = nodes.get(name)
        if (
            node is None
            or digest != node.digest
            or any(network in wrong_networks for network, _ in node.addresses)
            or state not in _STARTABLE | {_RUNNING}
        ):
            wrong_nodes.add(name)
        elif state != _RUNNING:
            start.append(node)
    wanted_volumes = {volume.name for volume in blueprint.volumes}
    stale_volumes = {
        volume.name
        for node in blueprint.nodes
        if node.name in wrong_nodes or node.name not in observed.nodes
        for volume in node.volumes
    }
    create = [node for node in blueprint.nodes if node.name in wrong_nodes or node.name not in observed.nodes]
    return Work(
        remove_nodes=tuple(sorted(wrong_nodes)),
        remove_networks=tuple(sorted(wrong_networks)),
        remove_volumes=tuple(sorted((observed.volumes - wanted_volumes) | (observed.volumes & stale_volumes))),
        create_networks=tuple(
            network
            for name, network in networks.items()
            if name in wrong_networks or name not in observed.networks
        ),
        create_nodes=tuple(create),
        start_nodes=tuple(start),
    )


def _subnet(network: Mapping[str, Any]) -> str:
    subnets = network.get("subnets") or [{}]
    return str(subnets[0].get("subnet", ""))
