"""What exists becomes the estate's data again: nothing is lost silently, nothing is invented."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from estate import Estate, load
from estate.load import SITES
from estate.project.federation import federation
from federation_rig.direct import declared
from operate.federation_import import NO_GROUND, Composed, compose
from stacks.federation.arguments import FederationArgs
from stacks.providers.xroad.existing import Existing
from stacks.providers.xroad.resources.kind import Found
from stacks.providers.xroad.resources.kinds import KINDS

RICHER = {
    "security_server: ss-health\n": "security_server: [ss-health, ss-justice]\n",
    "{code: vaccinations, type: REST, sector: health}": """\
{code: vaccinations, type: REST, sector: health, timeout: 9, url: 'http://elsewhere.test/x',
               endpoints: [{method: GET, path: /records/*}, {method: '*', path: /lists/**}]}
          local_groups:
            - {code: clerks, description: Clerks, members: [GOV/HR/REGISTRY]}""",
    "  access_rights:\n": """\
  global_groups:
    - {code: readers, description: Readers, members: [GOV/HR/REGISTRY, GOV/PAYROLL/REGISTRY]}
  access_rights:
    - client: global-group/readers
      provider: GOV/HEALTH/REGISTRY
      services: [vaccinations]
      endpoints: [{method: '*', path: /lists/**}, {method: GET, path: /records/*}]
      reason: Readers read
    - client: local-group/clerks
      provider: GOV/HEALTH/REGISTRY
      services: [vaccinations]
      reason: Clerks do all
""",
}
"""What is replaced in the lab's file, and by what."""


def existing(estate: Estate) -> Existing:
    """As if the estate's federation had just been applied."""
    kinds = {kind.inputs.token(): kind for kind in KINDS}
    found: dict[str, dict[str, Found[Any]]] = {}
    for token, name, inputs in declared(FederationArgs.model_validate(federation(estate))):
        kind = kinds[token].inputs
        found.setdefault(kind.kind, {})[name] = Found(kind.model_validate(inputs))
    return Existing(found, {})


def without(held: Existing, kind: str, name: str) -> Existing:
    left = {key: item for key, item in held.resources[kind].items() if key != name}
    return replace(held, resources={**held.resources, kind: left})


def changed(held: Existing, kind: str, name: str, **fields: Any) -> Existing:
    found = held.resources[kind][name]
    new = replace(found, inputs=found.inputs.model_copy(update=fields))
    return replace(held, resources={**held.resources, kind: {**held.resources[kind], name: new}})


def reloaded(composed: Composed, site: Path, folder: Path) -> Estate:
    """The site with this federation instead of its own."""
    shutil.copytree(site, folder / "lab")
    (folder / "lab" / "federation.yml").write_text(composed.text(), "utf-8")
    return load(folder / "lab")


@pytest.fixture(scope="module")
def rich_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lab with groups, endpoints, a subsystem at two servers, a service elsewhere."""
    folder = tmp_path_factory.mktemp("rich") / "lab"
    shutil.copytree(SITES / "lab", folder)
    path = folder / "federation.yml"
    text = path.read_text("utf-8")
    for old, new in RICHER.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path.write_text(text, "utf-8")
    return folder


@pytest.mark.parametrize("rich", [False, True])
def test_the_estate_comes_back_as_it_was(rich: bool, rich_site: Path, tmp_path: Path) -> None:
    """Loaded and projected again it declares the same, and nothing is left untold."""
    site = rich_site if rich else SITES / "lab"
    estate = load(site)

    composed = compose(existing(estate), estate)

    assert composed.untold == ()
    assert composed.groundless == 0
    again = reloaded(composed, site, tmp_path)
    assert federation(again) == federation(estate)
    assert again.federation.approvals == estate.federation.approvals


def test_a_right_that_the_estate_does_not_know_has_no_ground(tmp_path: Path) -> None:
    """It has to be given by people; the file can be loaded all the same."""
    estate = load("lab")
    held = changed(
        existing(estate),
        "AccessRights",
        "ss-health/BJ-LAB:GOV:HEALTH:REGISTRY/rights",
        rights={"BJ-LAB:GOV:HR:REGISTRY": ("vaccinations",)},
    )

    composed = compose(held, estate)

    assert composed.groundless == 1
    again = reloaded(composed, SITES / "lab", tmp_path)
    assert [
        (right.client, right.reason) for right in again.federation.access_rights if "HEALTH" in right.provider
    ] == [("GOV/HR/REGISTRY", NO_GROUND)]


@pytest.mark.parametrize(
    ("kind", "name", "fields", "sentence"),
    [
        (
            "ServiceDescription",
            "ss-health/BJ-LAB:GOV:HEALTH:REGISTRY/vaccinations",
            {"code": "other", "service_url": "http://elsewhere.test/"},
            "offers other at http://elsewhere.test/, where no sector system of the site is",
        ),
        (
            "ServiceDescription",
            "ss-health/BJ-LAB:GOV:HEALTH:REGISTRY/vaccinations",
            {"type": "WSDL", "url": "http://elsewhere.test/?wsdl"},
            "offers SOAP services, which the estate can't declare: http://elsewhere.test/?wsdl",
        ),
        (
            "ServiceDescription",
            "ss-health/BJ-LAB:GOV:HEALTH:REGISTRY/vaccinations",
            {"enabled": False},
            "vaccinations is disabled",
        ),
        (
            "Client",
            "ss-health/BJ-LAB:GOV:HEALTH:REGISTRY",
            {"certificates": ("AB12",)},
            "certificates of information systems that only their owners have: AB12",
        ),
    ],
)
def test_what_has_no_place_in_the_data_is_told(
    kind: str, name: str, fields: dict[str, Any], sentence: str
) -> None:
    estate = load("lab")

    composed = compose(changed(existing(estate), kind, name, **fields), estate)

    (told,) = composed.untold
    assert sentence in told


def test_what_is_half_there_is_told() -> None:
    """A subsystem without a server, its member, a server that is silent."""
    estate = load("lab")
    held = without(existing(estate), "Client", "ss-health/BJ-LAB:GOV:HEALTH:REGISTRY")

    composed = compose(replace(held, unreachable={"ss-health": "it is down"}), estate)

    assert composed.untold == (
        "server 'ss-health' couldn't be asked: it is down",
        "subsystem BJ-LAB:GOV:HEALTH:REGISTRY is at no security server",
        "member BJ-LAB:GOV:HEALTH has no subsystem at a security server",
    )


def test_nothing_exists_yet() -> None:
    composed = compose(Existing({}, {}), load("lab"))

    assert composed.untold == ("the central server isn't initialised: nothing else exists",)
