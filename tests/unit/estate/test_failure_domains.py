"""What goes down together, and which services go on without it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from estate import Estate, load
from estate.failure_domains import FailureDomain, Kind, failure_domains, losses, services
from estate.host import Role
from operate.cli import application


@pytest.fixture(scope="module")
def production() -> Estate:
    return load("production")


def domain(estate: Estate, kind: Kind, name: str) -> FailureDomain:
    return next(item for item in failure_domains(estate) if (item.kind, item.name) == (kind, name))


def changed(estate: Estate, kind: str, name: str, **values: Any) -> Estate:
    """The estate with other values of one server or switch."""
    items = getattr(estate, kind)
    found = tuple(item.model_copy(update=values) if item.name == name else item for item in items)
    return estate.model_copy(update={kind: found})


def test_a_rack_takes_the_hosts_in_it(production: Estate) -> None:
    racks = {server.name: server.rack for server in production.servers}
    for item in failure_domains(production):
        if item.kind is Kind.RACK:
            assert {host.name for host in item.hosts} == {
                host.name for host in production.hosts if racks[host.server or ""] == item.name
            }


def test_a_data_centre_takes_all_of_its_racks(production: Estate) -> None:
    for centre in production.data_centres:
        together = {
            host.name for rack in centre.racks for host in domain(production, Kind.RACK, rack.name).hosts
        }
        lost = {host.name for host in domain(production, Kind.DATA_CENTRE, centre.name).hosts}
        assert lost == together


def test_a_feed_takes_what_has_no_other(production: Estate) -> None:
    """The servers that it alone supplies, and those whose every switch it does."""
    assert domain(production, Kind.POWER_FEED, "dc-a-feed-a").hosts == ()
    one = changed(production, "servers", "srv-control1", power_feeds=("dc-a-feed-a",))
    assert [host.name for host in domain(one, Kind.POWER_FEED, "dc-a-feed-a").hosts] == ["control1"]
    assert domain(one, Kind.POWER_FEED, "dc-a-feed-b").hosts == ()

    leaf = changed(production, "switches", "c1-leaf1", power_feeds=("dc-c-feed-b",))
    assert domain(leaf, Kind.POWER_FEED, "dc-c-feed-b").hosts == ()
    both = changed(leaf, "switches", "c1-leaf2", power_feeds=("dc-c-feed-b",))
    lost = domain(both, Kind.POWER_FEED, "dc-c-feed-b").hosts
    assert [host.name for host in lost] == ["database3", "control3"]


def test_a_switch_takes_whom_it_alone_joins(production: Estate) -> None:
    assert all(not item.hosts for item in failure_domains(production) if item.kind is Kind.SWITCH)
    links = tuple(link for link in production.links if (link.a.device, link.a.port) != ("srv-control1", "eth1"))
    one = production.model_copy(update={"links": links})
    assert [host.name for host in domain(one, Kind.SWITCH, "a1-leaf1").hosts] == ["control1"]
    assert domain(one, Kind.SWITCH, "a1-leaf2").hosts == ()


def test_a_leaf_without_a_spine_joins_nobody(production: Estate) -> None:
    """Both spines lost their power: every server below them is cut off, though it runs."""
    estate = production
    for name in ("dc-b-spine1", "dc-b-spine2"):
        estate = changed(estate, "switches", name, power_feeds=("dc-b-feed-a",))
    lost = {host.name for host in domain(estate, Kind.POWER_FEED, "dc-b-feed-a").hosts}
    assert lost == {host.name for host in domain(production, Kind.DATA_CENTRE, "dc-b").hosts}


def test_a_majority_must_stay_up_and_of_copies_one(production: Estate) -> None:
    needed = {service.name: (len(service.hosts), service.needed) for service in services(production)}
    assert needed["etcd"] == needed["databases"] == (3, 2)
    assert needed["load balancing"] == (2, 1)
    assert needed["issuing of certificates"] == (1, 1)
    assert needed["messages of GOV/HEALTH/REGISTRY"] == (1, 1)


def test_every_host_of_a_site_belongs_to_a_service(production: Estate) -> None:
    """What nobody counts is lost without a word."""
    counted = {host.name for service in services(production) for host in service.hosts}
    assert {host.name for host in production.hosts if host.roles} - counted == set()


def test_a_quorum_is_spread_over_three_data_centres(production: Estate) -> None:
    for loss in losses(production):
        assert not {"etcd", "databases"} & {service.name for service in loss.stopped}, loss.domain
    racks = {server.name: server.rack for server in production.servers}
    for role in (Role.KUBERNETES_CONTROL_PLANE, Role.POSTGRESQL):
        assert len({racks[host.server or ""][0] for host in production.hosts_with(role)}) == 3


def test_people_and_programs_are_told(production: Estate) -> None:
    shown = CliRunner().invoke(application, ["domains", "production"])
    assert shown.exit_code == 0
    assert "data centre dc-c: 2 hosts" in shown.output
    assert "  goes on  etcd: 2 of 3 hosts" in shown.output
    assert "  stops    issuing of certificates: 0 of 1, needs 1" in shown.output

    told = json.loads(CliRunner().invoke(application, ["domains", "production", "--json"]).stdout)
    assert len(told["domains"]) == len(failure_domains(production))


def test_a_site_without_hardware_says_so() -> None:
    shown = CliRunner().invoke(application, ["domains", "lab"])
    assert shown.exit_code == 0
    assert "nothing is known to fail together" in shown.output
