"""Changes of access rights in words."""

from __future__ import annotations

from stacks.federation.access import access_changes, recorded_rights

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
