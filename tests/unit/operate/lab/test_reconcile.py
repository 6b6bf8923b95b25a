"""From any state that an interruption can leave, the work leads to the blueprint."""

from __future__ import annotations

from dataclasses import replace

import pytest

import estate
from operate.lab.blueprint import draw
from operate.lab.reconcile import Observed, compare

BLUEPRINT = draw(estate.load("lab"), "lab", "sha256:1234", "/mirror")
WHOLE = Observed(
    networks={network.name: str(network.subnet) for network in BLUEPRINT.networks},
    nodes={node.name: ("running", node.digest) for node in BLUEPRINT.nodes},
    volumes=frozenset(volume.name for volume in BLUEPRINT.volumes),
)
EMPTY = Observed(networks={}, nodes={}, volumes=frozenset())
WORKER = "smartgouv-lab-worker1"
WORKER_VOLUMES = ("smartgouv-lab-worker1-containerd", "smartgouv-lab-worker1-kubelet")


def with_node(name: str, state: str, digest: str) -> Observed:
    """The whole lab, with one node in another state."""
    return replace(WHOLE, nodes={**WHOLE.nodes, name: (state, digest)})


def test_a_whole_lab_needs_nothing() -> None:
    """A second `up` touches no node."""
    assert compare(BLUEPRINT, WHOLE).summary == "nothing to do"


def test_an_empty_machine_gets_everything() -> None:
    """Networks before nodes."""
    work = compare(BLUEPRINT, EMPTY)

    assert work.create_networks == BLUEPRINT.networks
    assert work.create_nodes == BLUEPRINT.nodes
    assert work.remove_nodes == work.remove_networks == work.remove_volumes == work.start_nodes == ()


@pytest.mark.parametrize("state", ["exited", "created", "configured", "stopped", "initialized"])
def test_a_node_that_does_not_run_is_started(state: str) -> None:
    """Its data stay."""
    digest = WHOLE.nodes[WORKER][1]
    work = compare(BLUEPRINT, with_node(WORKER, state, digest))

    assert [node.name for node in work.start_nodes] == [WORKER]
    assert work.create_nodes == work.remove_nodes == work.remove_volumes == ()


@pytest.mark.parametrize(("state", "digest"), [("running", "another"), ("removing", None), ("unknown", None)])
def test_a_node_of_another_blueprint_or_half_removed_is_made_anew(state: str, digest: str | None) -> None:
    """With its volumes: the old ones hold another node's data."""
    work = compare(BLUEPRINT, with_node(WORKER, state, digest or WHOLE.nodes[WORKER][1]))

    assert work.remove_nodes == (WORKER,)
    assert work.remove_volumes == WORKER_VOLUMES
    assert [node.name for node in work.create_nodes] == [WORKER]


def test_volumes_of_a_node_that_is_gone_are_not_reused() -> None:
    """A new cluster node must not find an old one's state."""
    nodes = {name: node for name, node in WHOLE.nodes.items() if name != WORKER}
    work = compare(BLUEPRINT, replace(WHOLE, nodes=nodes))

    assert work.remove_volumes == WORKER_VOLUMES
    assert [node.name for node in work.create_nodes] == [WORKER]


def test_what_the_estate_no_longer_has_is_removed() -> None:
    """A host that was taken out of the estate, and its network."""
    observed = replace(
        WHOLE,
        networks={**WHOLE.networks, "smartgouv-lab-old": "10.80.90.0/24"},
        nodes={**WHOLE.nodes, "smartgouv-lab-old1": ("running", "x")},
        volumes=WHOLE.volumes | {"smartgouv-lab-old1-kubelet"},
    )
    work = compare(BLUEPRINT, observed)

    assert work.remove_nodes == ("smartgouv-lab-old1",)
    assert work.remove_networks == ("smartgouv-lab-old",)
    assert work.remove_volumes == ("smartgouv-lab-old1-kubelet",)
    assert work.create_nodes == ()


def test_a_network_with_other_addresses_takes_its_nodes_along() -> None:
    """The router too, which stands in it."""
    observed = replace(WHOLE, networks={**WHOLE.networks, "smartgouv-lab-data": "10.90.30.0/24"})
    work = compare(BLUEPRINT, observed)

    assert work.remove_networks == ("smartgouv-lab-data",)
    assert set(work.remove_nodes) == {"smartgouv-lab-database1", "smartgouv-lab-router1"}
    assert {node.host for node in work.create_nodes} == {"database1", "router1"}
