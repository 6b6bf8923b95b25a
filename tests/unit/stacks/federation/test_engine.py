"""A federation of simulators, managed by a real engine from empty to empty again."""

from __future__ import annotations

import time
from typing import Any

import pytest

from federation_rig.simulation import PASSWORD, PIN, Simulation
from federation_rig.stack import Stack
from stacks.federation.access import access_changes, recorded_rights
from stacks.federation.arguments import FederationArgs

pytestmark = pytest.mark.engine

PROVIDER = "TEST:GOV:CIVILREG:REGISTRY"
HOLDER = "TEST:GOV:DIGITAL:PORTAL"


def without_rights(args: FederationArgs) -> FederationArgs:
    servers = tuple(item.model_copy(update={"access_rights": ()}) for item in args.security_servers)
    return args.model_copy(update={"security_servers": servers})


def holders(simulation: Simulation) -> list[str]:
    path = f"/services/{PROVIDER}:birth-records/service-clients"
    found: list[dict[str, Any]] = simulation.call("ss-civil", "GET", path).json()
    return [item["id"] for item in found]


def take_right_by_hand(simulation: Simulation) -> None:
    path = f"/clients/{PROVIDER}/service-clients/{HOLDER}/access-rights/delete"
    simulation.call("ss-civil", "POST", path, json={"items": [{"service_code": "birth-records"}]})


def test_a_federation_is_made_kept_and_pruned(
    simulation: Simulation, stack: Stack, declaration: FederationArgs
) -> None:
    """Up; a second up writes nothing; drift is seen and mended; what leaves the declaration is pruned."""
    stack.declare(declaration)
    assert set(stack.run("up")) == {"create"}
    assert holders(simulation) == [HOLDER]

    assert set(stack.run("up")) == {"same"}
    assert stack.writes() == []

    states = (stack.folder / "state").rglob("*.json")
    text = "\n".join(path.read_text(encoding="utf-8") for path in states)
    keys = [path.read_text(encoding="utf-8") for path in (simulation.folder / "secrets").glob("api-key-*")]
    assert len(keys) == 3
    assert not any(secret in text for secret in (PIN, PASSWORD, *keys))

    take_right_by_hand(simulation)
    assert stack.run("refresh").get("delete") == 1
    assert stack.writes() == []
    assert stack.run("up").get("create") == 1
    assert holders(simulation) == [HOLDER]

    fewer = without_rights(declaration)
    recorded = recorded_rights(stack.run("export")["resources"])
    assert access_changes(recorded, declaration.access_rights()) == []
    assert access_changes(recorded, fewer.access_rights()) == [
        "PORTAL of DIGITAL loses birth-records of CIVILREG (REGISTRY)"
    ]
    stack.declare(fewer)
    assert stack.run("preview").get("delete") == 1
    assert stack.writes() == []
    assert stack.run("up").get("delete") == 1
    assert holders(simulation) == []


def test_a_killed_up_is_taken_up_again_and_a_destroyed_federation_returns(
    simulation: Simulation, stack: Stack, declaration: FederationArgs
) -> None:
    """After kill -9 a rerun ends in the declared state: nothing is made twice."""
    stack.declare(declaration)
    process = stack.start("up")
    deadline = time.monotonic() + 120
    while "/keys-with-csrs" not in stack.requests() and time.monotonic() < deadline:
        time.sleep(0.2)
    stack.kill(process)
    stack.run("recover")
    stack.run("up")

    assert holders(simulation) == [HOLDER]
    (token,) = simulation.call("central", "GET", "/tokens").json()
    assert len(token["configuration_signing_keys"]) == 2
    assert len(simulation.call("central", "GET", "/certification-services").json()) == 1
    for name in ("ss-portal", "ss-civil"):
        (token,) = simulation.call(name, "GET", "/tokens").json()
        assert sorted(key["usage"] for key in token["keys"]) == ["AUTHENTICATION", "SIGNING"]
        assert [len(key["certificates"]) for key in token["keys"]] == [1, 1]

    assert set(stack.run("destroy")) == {"delete"}
    assert simulation.call("central", "GET", "/member-classes").json() == []
    assert simulation.call("central", "GET", "/security-servers").json()["items"] == []

    assert set(stack.run("up")) == {"create"}
    assert holders(simulation) == [HOLDER]
