"""Addresses that hosts share: who may hold them, what leads to them, what they are called."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from estate import Estate, EstateError, load, sites
from estate.host import Role
from estate.load import SITES
from estate.network import SHARED
from estate.project.ansible import base, firewall, host_certificate, inventory, kubernetes, virtual_address
from estate.site import Overlay

CONTROL_PLANES = ("control1", "control2", "control3")


@pytest.fixture(scope="module")
def lab() -> Estate:
    return load("lab")


@pytest.fixture(scope="module")
def production() -> Estate:
    return load("production")


def with_digests(estate: Estate) -> Estate:
    images = {
        name: image.model_copy(update={"digest": "sha256:" + "0" * 64}) for name, image in estate.images.items()
    }
    return estate.model_copy(update={"images": images})


def test_hosts_differ_in_priority_and_peers_alone(lab: Estate) -> None:
    told = [virtual_address.variables(lab, lab.host(name)) for name in CONTROL_PLANES]
    (first,) = told[0]["virtual_address_shared"]

    assert told[0]["virtual_address_host"] == "10.80.40.11"
    assert first == {
        "name": "kubernetes-api",
        "address": "10.80.40.10",
        "router_id": 40,
        "priority": 200,
        "peers": ["10.80.40.12", "10.80.40.13"],
        "health_url": "https://127.0.0.1:6443/readyz",
    }
    priorities = [shared["priority"] for each in told for shared in each["virtual_address_shared"]]
    assert len(set(priorities)) == 3
    for each in told:
        for shared in each["virtual_address_shared"]:
            assert {**first, "priority": 0, "peers": []} == {**shared, "priority": 0, "peers": []}


def test_every_role_that_shares_says_whether_it_is_well() -> None:
    assert virtual_address.HEALTH.keys() == SHARED.keys()


def test_balancers_of_production_share_an_address(production: Estate) -> None:
    (shared,) = virtual_address.variables(production, production.host("balancer2"))["virtual_address_shared"]

    assert (shared["address"], shared["peers"]) == ("10.16.60.10", ["10.16.60.11"])
    assert shared["health_url"] == "https://127.0.0.1:8404/healthz"


def test_group_has_the_hosts_that_share(production: Estate, lab: Estate) -> None:
    assert inventory(with_digests(lab))["virtual_address"] == {"hosts": list(CONTROL_PLANES)}
    found = inventory(with_digests(production))["virtual_address"]["hosts"]
    assert found == [*CONTROL_PLANES, "balancer1", "balancer2"]


@pytest.mark.parametrize("site", sites())
def test_only_hosts_that_share_speak_vrrp_with_one_another(site: str) -> None:
    estate = load(site)
    for host in estate.hosts:
        rules = [
            rule
            for rule in firewall.variables(estate, host)["firewall_input_rules"]
            if rule["protocol"] == "vrrp"
        ]
        peers = [
            {str(peer.address) for peer in estate.hosts_with(shared.role) if peer is not host}
            for shared in estate.shared_by(host)
        ]

        assert [addresses_of(rule["sources"]) for rule in rules] == peers, host.name
        assert not any("ports" in rule for rule in rules)
        assert all(
            rule["protocol"] != "vrrp" for rule in firewall.variables(estate, host)["firewall_forward_rules"]
        )


def addresses_of(texts: list[str]) -> set[str]:
    """Every address of some networks."""
    return {str(address) for text in texts for address in IPv4Network(text)}


def test_router_passes_on_what_leads_to_a_shared_address(lab: Estate, production: Estate) -> None:
    """No more than what is reached there, from whom it may."""
    for estate, address, ports in (
        (lab, "10.80.40.10", {6443}),
        (production, "10.16.60.10", {80, 443}),
    ):
        rules = firewall.variables(estate, estate.host("router1"))["firewall_forward_rules"]
        found = [rule for rule in rules if address in rule["destinations"]]

        assert {port for rule in found for port in rule["ports"]} == ports
    monitoring = str(lab.host("monitor1").address)
    reaching = [
        rule
        for rule in firewall.variables(lab, lab.host("router1"))["firewall_forward_rules"]
        if "10.80.40.10" in rule["destinations"]
    ]
    assert {source for rule in reaching for source in rule["sources"]} >= {monitoring}


def test_store_is_the_control_planes_own(lab: Estate) -> None:
    """What is in it is everything: nobody else connects, workers neither."""
    for name, expected in (("control2", {"10.80.40.11", "10.80.40.12", "10.80.40.13"}), ("worker1", set())):
        rules = firewall.variables(lab, lab.host(name))["firewall_input_rules"]
        found = [rule for rule in rules if {2379, 2380} & set(rule.get("ports", ()))]

        assert {address for rule in found for address in addresses_of(rule["sources"])} == expected


def test_shared_names_lead_to_the_shared_address(production: Estate, lab: Estate) -> None:
    """Each name to one address, so that it follows when the address moves."""
    for estate in (production, lab):
        told = base.variables(estate, estate.hosts[0])["base_hosts"]
        names = [name for entry in told for name in entry["names"]]
        assert len(names) == len(set(names))
    portal = production.portal.host_name
    (entry,) = (entry for entry in told_names(production) if portal in entry["names"])
    assert entry["address"] == "10.16.60.10"
    (entry,) = (entry for entry in told_names(lab) if lab.portal.host_name in entry["names"])
    assert entry["address"] == str(lab.host("balancer1").address)
    (entry,) = (entry for entry in told_names(lab) if "kubernetes-api" in entry["names"])
    assert entry == {"address": "10.80.40.10", "names": ["kubernetes-api.lab.smartgouv.test", "kubernetes-api"]}


def told_names(estate: Estate) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = base.variables(estate, estate.hosts[0])["base_hosts"]
    return found


def test_every_holder_has_a_certificate_for_the_shared_names(production: Estate) -> None:
    """Whichever of them answers."""
    for balancer in ("balancer1", "balancer2"):
        names = host_certificate.variables(production, production.host(balancer))["host_certificate_names"]
        assert {production.portal.host_name, production.fqdn("balancer")} <= set(names)
    for control in CONTROL_PLANES:
        names = host_certificate.variables(production, production.host(control))["host_certificate_names"]
        assert production.fqdn("kubernetes-api") in names


def test_api_is_reached_where_its_control_planes_share_an_address(lab: Estate) -> None:
    """Or at the only one's own."""
    told = kubernetes.variables(with_digests(lab), lab.host("control3"))["kubernetes_cluster"]
    assert (told["api_address"], told["control_planes"]) == ("10.80.40.10", list(CONTROL_PLANES))
    assert "10.80.40.10" in told["api_names"]
    alone = [host for host in lab.hosts if host.name not in {"control2", "control3"}]
    small = lab.model_copy(update={"hosts": tuple(alone), "shared_addresses": ()})
    assert small.api_address == IPv4Address("10.80.40.11")


def test_it_moves_with_the_lab(lab: Estate) -> None:
    moved = lab.with_overlay(Overlay(network=IPv4Network("10.81.0.0/16")))
    assert moved.api_address == IPv4Address("10.81.40.10")


def test_no_control_plane_shares_a_rack_with_another(production: Estate) -> None:
    """In staging as in production: what breaks together holds one of them."""
    for estate in (production, load("staging")):
        racks = {server.name: server.rack for server in estate.servers}
        used = [racks[str(host.server)] for host in estate.hosts_with(Role.KUBERNETES_CONTROL_PLANE)]
        assert len(set(used)) == len(used) == 3


@pytest.fixture
def edited(tmp_path: Path) -> Callable[[str, str], Path]:
    """A copy of the lab's data in which one text of its network is another."""

    def edit(old: str, new: str) -> Path:
        for file in (SITES / "lab").glob("*"):
            text = file.read_text(encoding="utf-8")
            if file.name == "network.yml":
                assert old in text
                text = text.replace(old, new)
            (tmp_path / file.name).write_text(text, encoding="utf-8")
        return tmp_path

    return edit


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("address: 10.80.40.10,", "address: 10.80.40.12,", "is control2's own already [10.80.40.12]"),
        (
            "address: 10.80.40.10,",
            "address: 10.80.50.10,",
            "outside zone 'cluster' (10.80.40.0/24) [10.80.50.10]",
        ),
        ("router_id: 40", "router_id: 256", "less than or equal to 255 [256]"),
        (
            "role: kubernetes_control_plane,",
            "role: load_balancer,",
            "hosts with the role 'load_balancer': 1 [load_balancer]",
        ),
    ],
)
def test_refusal_has_file_line_and_value(
    edited: Callable[[str, str], Path], old: str, new: str, said: str
) -> None:
    folder = edited(old, new)
    line = next(
        number
        for number, text in enumerate((folder / "network.yml").read_text().splitlines(), start=1)
        if "kubernetes-api" in text
    )
    with pytest.raises(EstateError) as refused:
        load(folder)
    assert any(f"network.yml:{line}: " in text and said in text for text in str(refused.value).splitlines()), (
        str(refused.value)
    )
