"""What policies let pods do follows from the flows."""

from __future__ import annotations

from ipaddress import IPv4Address

from estate import Estate, load
from estate.project.pod_flows import api_servers, callers, reachable

DATABASE = IPv4Address("10.80.30.11")


def without(estate: Estate, flow: str) -> Estate:
    """The same estate without one of its flows."""
    assert flow in {item.name for item in estate.flows}
    return estate.model_copy(update={"flows": tuple(item for item in estate.flows if item.name != flow)})


def test_a_pod_reaches_what_a_flow_opens_to_every_worker() -> None:
    """And no other port of it."""
    estate = load("lab")

    assert reachable(estate, DATABASE, 5432) == "10.80.30.11"
    assert reachable(estate, DATABASE, 22) == ""
    assert reachable(without(estate, "databases"), DATABASE, 5432) == ""


def test_pods_behind_a_node_port_see_the_nodes() -> None:
    """Each with its own address and with those of its pods, among which it has another."""
    estate = load("lab")
    found = callers(estate, 30080)

    assert {"10.80.40.21/32", "10.80.131.0/24", "10.80.40.11/32"} <= set(found)
    assert len(found) == 12
    assert "10.80.60.11/32" not in found
    assert callers(without(estate, "cluster-internal"), 30080) == []


def test_the_api_is_asked_at_each_control_plane() -> None:
    """The service of the API stands for them, not for the address that they share."""
    estate = load("lab")

    assert api_servers(estate) == ("10.80.40.11", "10.80.40.12", "10.80.40.13")
    assert api_servers(without(estate, "cluster-internal")) == ()
