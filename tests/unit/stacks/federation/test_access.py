"""Changes of access rights in words."""

from __future__ import annotations

import pytest

from stacks.federation.access import (
    access_changes,
    declared_rights,
    existing_rights,
    reasons,
    recorded_rights,
    without,
)
from stacks.federation.arguments import FederationArgs
from stacks.providers.xroad.existing import Existing
from stacks.providers.xroad.resources.access_rights import AccessRightsInputs
from stacks.providers.xroad.resources.groups import GlobalGroupInputs, LocalGroupInputs
from stacks.providers.xroad.resources.kind import Found

PORTAL = "BJ-LAB:GOV:DIGITAL:PORTAL"
CIVIL = "BJ-LAB:GOV:CIVILREG:REGISTRY"
JUSTICE = "BJ-LAB:GOV:JUSTICE:REGISTRY"


def test_gains_and_losses_are_sentences() -> None:
    """An auditor reads who, what and of whom."""
    before = {(JUSTICE, PORTAL): frozenset({"criminal-records"}), (CIVIL, PORTAL): frozenset({"deaths"})}
    after = {(CIVIL, PORTAL): frozenset({"deaths", "birth-records"})}

    assert [str(change) for change in access_changes(before, after)] == [
        "PORTAL of DIGITAL gains birth-records of CIVILREG (REGISTRY)",
        "PORTAL of DIGITAL loses criminal-records of JUSTICE (REGISTRY)",
    ]


def test_a_group_is_called_a_group() -> None:
    """Global groups aren't subsystems."""
    rights = {("BJ-LAB:GOV:DIGITAL:MANAGEMENT", "BJ-LAB:security-server-owners"): frozenset({"clientReg"})}

    assert [str(change) for change in access_changes({}, rights)] == [
        "group security-server-owners gains clientReg of DIGITAL (MANAGEMENT)"
    ]


def test_no_change_is_no_sentence() -> None:
    """Order and kind of collection don't matter."""
    rights = {(CIVIL, PORTAL): frozenset({"a", "b"})}

    assert access_changes(rights, dict(rights)) == []


def test_rights_are_read_from_a_state() -> None:
    """Of all servers of a provider. Those that are being deleted don't count."""
    resources = [
        {"type": "xroad:index:Member", "inputs": {"member": "BJ-LAB:GOV:HR"}},
        {
            "type": "xroad:index:AccessRights",
            "inputs": {"server": "a", "provider": CIVIL, "rights": {PORTAL: ["birth-records"]}},
        },
        {
            "type": "xroad:index:AccessRights",
            "inputs": {"server": "b", "provider": CIVIL, "rights": {PORTAL: ["deaths"]}},
        },
        {
            "type": "xroad:index:AccessRights",
            "delete": True,
            "inputs": {"provider": JUSTICE, "rights": {PORTAL: ["criminal-records"]}},
        },
    ]

    assert recorded_rights(resources) == {(CIVIL, PORTAL): frozenset({"birth-records", "deaths"})}


STATE = [
    {"type": "xroad:index:GlobalGroup", "inputs": {"code": "readers", "members": [PORTAL, JUSTICE]}},
    {
        "type": "xroad:index:LocalGroup",
        "inputs": {"server": "a", "subsystem": CIVIL, "code": "doctors", "members": [JUSTICE]},
    },
    {
        "type": "xroad:index:AccessRights",
        "inputs": {
            "server": "a",
            "provider": CIVIL,
            "rights": {"BJ-LAB:readers": ["deaths"], "doctors": ["births"], PORTAL: ["births"]},
        },
    },
    {
        "type": "xroad:index:AccessRights",
        "inputs": {"server": "b", "provider": JUSTICE, "rights": {"doctors": ["records"]}},
    },
]
DEFAULTS = {
    GlobalGroupInputs: {"description": ""},
    LocalGroupInputs: {"description": ""},
    AccessRightsInputs: {},
}
EFFECTIVE = {
    (CIVIL, PORTAL): frozenset({"births", "deaths"}),
    (CIVIL, JUSTICE): frozenset({"births", "deaths"}),
    # Another provider's local group of that name isn't the one whose members are known.
    (JUSTICE, "doctors"): frozenset({"records"}),
}


def test_a_groups_rights_are_its_members() -> None:
    """Whoever joins a group gains what it may call: that isn't hidden behind the group's name."""
    assert recorded_rights(STATE) == EFFECTIVE


def test_servers_that_could_be_asked_say_what_they_hold() -> None:
    """Of the others the last apply counts; groups of the central server are as they are now."""
    held = {
        kind.kind: {
            str(index): Found(kind.model_validate({**defaults, **item["inputs"]}))
            for index, item in enumerate(STATE)
            if item["type"] == kind.token() and item["inputs"].get("server") != "b"
        }
        for kind, defaults in DEFAULTS.items()
    }
    gone = [*STATE[:2], {**STATE[2], "inputs": {**STATE[2]["inputs"], "rights": {JUSTICE: ["all"]}}}, STATE[3]]

    assert existing_rights(Existing(held, {"b": "it is down"}), gone) == EFFECTIVE


@pytest.mark.engine
def test_declared_rights_name_their_ground(declaration: FederationArgs) -> None:
    """Also those that come by a group."""
    provider, portal = "TEST:GOV:CIVILREG:REGISTRY", "TEST:GOV:DIGITAL:PORTAL"
    data = declaration.model_dump()
    data["instance"]["global_groups"] = [{"code": "readers", "description": "", "members": [portal]}]
    (server,) = [item for item in data["security_servers"] if item["server"] == "ss-civil"]
    server["access_rights"] = [
        {"provider": provider, "holder": "TEST:readers", "services": ["birth-records"], "reason": "Law 1"}
    ]
    args = FederationArgs.model_validate(data)

    assert declared_rights(args)[provider, portal] == {"birth-records"}
    assert reasons(args) == {(portal, provider, "birth-records"): "Law 1"}


def test_what_is_left_without_others() -> None:
    rights = {(CIVIL, PORTAL): frozenset({"a", "b"}), (JUSTICE, PORTAL): frozenset({"c"})}

    assert without(rights, {(CIVIL, PORTAL): frozenset({"b"}), (JUSTICE, PORTAL): frozenset({"c", "d"})}) == {
        (CIVIL, PORTAL): frozenset({"a"})
    }
