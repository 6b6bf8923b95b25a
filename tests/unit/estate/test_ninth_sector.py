"""A sector system is added by data alone: what an operator writes is all that it takes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from estate import Estate, EstateError, load
from estate.federation import SubsystemId
from estate.load import SITES
from estate.project.federation import federation
from estate.project.helm import sector_system
from estate.site import Overlay
from operate.acceptance import exchange

ADDED = {
    "hosts.yml": (
        "hosts:",
        ["{name: ss-land, zone: exchange, address: 10.80.50.29, roles: [security_server]}"],
    ),
    "data.yml": (
        "  databases:",
        ["{name: land, from_zones: [cluster], purpose: Records of the sector system}"],
    ),
    "platform.yml": (
        "sectors:",
        [
            (
                "{name: land, title: {fr: Foncier, en: Land registry}, collection: titles,"
                " example: TF-000001, database: land, node_port: 30089}"
            )
        ],
    ),
    "federation.yml": (
        "  members:",
        [
            (
                "{member_class: GOV, code: LAND, name: Land Registry, subsystems: [{code: REGISTRY,"
                " name: Land titles, security_server: ss-land, services: [{code: titles, sector: land}]}]}"
            )
        ],
    ),
}
"""By file: the list that grows, and what is added to it."""
MORE = {
    "  security_servers:": "{host: ss-land, owner: LAND, code: SS-LAND}",
    "  access_rights:": "{client: GOV/DIGITAL/PORTAL, provider: GOV/LAND/REGISTRY, services: [titles],"
    " reason: Citizens verify a land title}",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lab's files with a ninth administration in them."""
    folder = tmp_path_factory.mktemp("site") / "lab"
    shutil.copytree(SITES / "lab", folder)
    for name, (heading, items) in ADDED.items():
        _grow(folder / name, heading, items)
    for heading, item in MORE.items():
        _grow(folder / "federation.yml", heading, [item])
    return folder


def _grow(path: Path, heading: str, items: list[str]) -> None:
    text = path.read_text("utf-8")
    indent = " " * (len(heading) - len(heading.lstrip()) + 2)
    assert text.count(f"{heading}\n") == 1
    path.write_text(
        text.replace(f"{heading}\n", f"{heading}\n" + "".join(f"{indent}- {item}\n" for item in items)), "utf-8"
    )


@pytest.fixture(scope="module")
def grown(site: Path) -> Estate:
    return load(site)


def test_its_server_takes_part(grown: Estate) -> None:
    """Identity, service and the portal's right, as of the eight others."""
    args = federation(grown)
    (server,) = [item for item in args["security_servers"] if item["server"] == "ss-land"]

    assert server["identity"] == "BJ-LAB:GOV:LAND:SS-LAND"
    (client,) = server["clients"]
    assert client["subsystem"] == "BJ-LAB:GOV:LAND:REGISTRY"
    assert [service["code"] for service in client["services"]] == ["titles"]
    assert [(right["holder"], right["services"]) for right in server["access_rights"]] == [
        ("BJ-LAB:GOV:DIGITAL:PORTAL", ["titles"])
    ]
    assert "ss-land" in args["settings"]["servers"]


def test_its_system_runs_on_its_own_database(grown: Estate) -> None:
    (sector,) = [item for item in grown.sectors if item.name == "land"]

    digest = f"sha256:{'0' * 64}"
    built = grown.with_overlay(Overlay(images={"sector-system": digest}))

    values = sector_system(built, sector)

    assert values["sector"] == "land"
    assert values["database"]["name"] == "land"


def test_the_network_lets_it_do_what_the_others_do(grown: Estate) -> None:
    """Rules that reach another registry's server reach this one, from the same places."""

    def reached(name: str) -> set[tuple[tuple[str, ...], tuple[int, ...]]]:
        address = grown.host(name).address
        return {
            (tuple(sorted(map(str, rule.sources))), tuple(rule.ports))
            for rule in grown.rules()
            if rule.destination == address
        }

    own, other = str(grown.host("ss-land").address), str(grown.host("ss-health").address)
    swapped = {
        (tuple(sorted(source.replace(other, own) for source in sources)), ports)
        for sources, ports in reached("ss-health")
    }
    assert len(reached("ss-land")) == len(swapped) > 0
    assert {ports for _, ports in reached("ss-land")} == {ports for _, ports in swapped}


def test_the_acceptance_tries_it_with_everybody(grown: Estate) -> None:
    pairs = exchange.pairs(grown)

    assert len(pairs) == 12 * 9
    assert [str(pair.consumer) for pair in pairs if pair.service == "titles" and pair.declared] == [
        "GOV/DIGITAL/PORTAL"
    ]
    land = SubsystemId("GOV", "LAND", "REGISTRY")
    assert not any(pair.declared for pair in pairs if pair.consumer == land)


@pytest.mark.parametrize(
    ("file", "item", "sentence"),
    [
        ("hosts.yml", "ss-land", "'ss-land'"),
        ("data.yml", "land", "database 'land' doesn't exist"),
        ("platform.yml", "land", "sector 'land'"),
    ],
)
def test_what_is_forgotten_is_named(file: str, item: str, sentence: str, site: Path, tmp_path: Path) -> None:
    """Each of the pieces: file, line and a sentence."""
    folder = tmp_path / "lab"
    shutil.copytree(site, folder)
    shutil.copy(SITES / "lab" / file, folder / file)

    with pytest.raises(EstateError, match=sentence) as caught:
        load(folder)
    assert all(problem.line > 0 for problem in caught.value.problems)
    assert item
