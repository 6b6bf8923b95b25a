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


def test_no_pod_comes_in_behind_a_node_port() -> None:
    """And nobody at all where no flow opens the port."""
    estate = load("lab")

    assert callers(estate, 30080) == [{"cidr": "0.0.0.0/0", "except": ["10.80.128.0/18"]}]
    assert callers(without(without(estate, "cluster-internal"), "published-services"), 30080) == []


def test_the_api_is_asked_at_each_control_plane() -> None:
    """The service of the API stands for them, not for the address that they share."""
    estate = load("lab")

    assert api_servers(estate) == ("10.80.40.11", "10.80.40.12", "10.80.40.13")
    assert api_servers(without(estate, "cluster-internal")) == ()
