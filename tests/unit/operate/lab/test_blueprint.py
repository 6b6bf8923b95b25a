"""What a lab consists of follows from the estate alone."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

import estate
from estate.site import Overlay
from operate.lab.blueprint import Blueprint, draw

LAB = estate.load("lab")


@pytest.fixture
def blueprint() -> Blueprint:
    """The lab as it stands in the repository."""
    return draw(LAB, "lab", "sha256:1234", "/mirror")


def arguments(blueprint: Blueprint, host: str) -> list[str]:
    """How podman is called for a host."""
    node = next(node for node in blueprint.nodes if node.host == host)
    return node.create_arguments(blueprint.lab)


def test_one_network_a_zone_with_the_machine_first(blueprint: Blueprint) -> None:
    """Internal, without names, the lab machine at .1."""
    data = next(network for network in blueprint.networks if network.zone == "data")

    assert len(blueprint.networks) == 7
    assert data.create_arguments("lab") == [
        "network", "create", "--internal", "--disable-dns",
        "--subnet", "10.80.30.0/24", "--gateway", "10.80.30.1",
        "--label", "smartgouv.lab=lab", "--label", "smartgouv.zone=data",
        "smartgouv-lab-data",
    ]  # fmt: skip


def test_a_node_has_its_address_name_and_route(blueprint: Blueprint) -> None:
    """Everything that can't be changed later."""
    found = arguments(blueprint, "database1")

    # Neighbours remember who has an address: the node that comes after a lost one must be found at once.
    assert "--network=smartgouv-lab-data:ip=10.80.30.11,mac=02:00:0a:50:1e:0b" in found
    assert found[found.index("--hostname") + 1] == "database1.lab.smartgouv.test"
    assert "--env=SMARTGOUV_GATEWAY=10.80.30.254" in found
    assert "smartgouv.lab=lab" in found
    assert "--volume=/mirror:/srv/mirror:ro" in found


def test_the_router_stands_in_every_zone_and_has_no_gateway(blueprint: Blueprint) -> None:
    """It is the gateway."""
    found = arguments(blueprint, "router1")

    assert len([word for word in found if word.startswith("--network=")]) == 7
    assert not any("SMARTGOUV_GATEWAY" in word for word in found)


def test_no_secret_and_no_key_is_in_the_arguments(blueprint: Blueprint) -> None:
    """The key is taken from podman's environment, by name."""
    assert "--env=SMARTGOUV_SSH_KEY" in arguments(blueprint, "ca1")


@pytest.mark.parametrize(
    ("host", "paths"),
    [
        ("control1", {"/var/lib/containerd", "/var/lib/kubelet", "/var/lib/etcd"}),
        ("worker1", {"/var/lib/containerd", "/var/lib/kubelet"}),
        ("database1", set()),
    ],
)
def test_cluster_nodes_write_to_volumes(blueprint: Blueprint, host: str, paths: set[str]) -> None:
    """Overlay on overlay doesn't work."""
    node = next(node for node in blueprint.nodes if node.host == host)

    assert {volume.path for volume in node.volumes} == paths


def test_another_lab_shares_nothing() -> None:
    """Neither names nor addresses."""
    one = draw(LAB, "lab", "sha256:1234", "/mirror")
    moved = LAB.with_overlay(Overlay(network=IPv4Network("10.81.0.0/16")))
    two = draw(moved, "second", "sha256:1234", "/mirror")

    assert {node.name for node in one.nodes}.isdisjoint(node.name for node in two.nodes)
    assert {network.subnet for network in one.networks}.isdisjoint(network.subnet for network in two.networks)
    assert {volume.name for volume in one.volumes}.isdisjoint(volume.name for volume in two.volumes)


def test_the_digest_follows_what_a_node_is_made_from(blueprint: Blueprint) -> None:
    """Another image is another node; another place of the mirror isn't."""
    same = draw(LAB, "lab", "sha256:1234", "/elsewhere")
    other = draw(LAB, "lab", "sha256:5678", "/mirror")

    assert [node.digest for node in same.nodes] == [node.digest for node in blueprint.nodes]
    assert {node.digest for node in other.nodes}.isdisjoint(node.digest for node in blueprint.nodes)
