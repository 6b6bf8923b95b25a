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

RIGHT = "/clients/TEST:GOV:CIVILREG:REGISTRY/service-clients/TEST:GOV:DIGITAL:PORTAL/access-rights"


def without_rights(args: FederationArgs) -> FederationArgs:
    servers = tuple(item.model_copy(update={"access_rights": ()}) for item in args.security_servers)
    return args.model_copy(update={"security_servers": servers})


def rights(simulation: Simulation) -> list[str]:
    found: list[dict[str, Any]] = simulation.call("ss-civil", "GET", RIGHT).json()
    return [item["service_code"] for item in found]


def test_a_federation_from_empty_to_empty(
    simulation: Simulation, stack: Stack, declaration: FederationArgs
) -> None:
    """Up, up again, drift, prune, destroy."""
    stack.declare(declaration)
    first = stack.run("up")
    assert set(first) == {"create"}
    assert rights(simulation) == ["birth-records"]

    assert set(stack.run("preview")) == {"same"}
    assert stack.writes() == []
    assert set(stack.run("up")) == {"same"}
    assert stack.writes() == []

    state = "\n".join(path.read_text(encoding="utf-8") for path in (stack.folder / "state").rglob("*.json"))
    keys = [path.read_text(encoding="utf-8") for path in (simulation.folder / "secrets").glob("api-key-*")]
    assert len(keys) == 3
    assert not any(secret in state for secret in (PIN, PASSWORD, *keys))

    # Somebody takes the right away by hand: a refresh sees it, the next up mends it.
    simulation.call("ss-civil", "POST", f"{RIGHT}/delete", json={"items": [{"service_code": "birth-records"}]})
    stack.run("refresh")
    assert stack.writes() == []
    assert stack.run("up").get("create") == 1
    assert rights(simulation) == ["birth-records"]

    # The right leaves the declaration: it is announced in words, then pruned.
    fewer = without_rights(declaration)
    recorded = recorded_rights(stack.run("export")["resources"])
    managed = {key: value for key, value in recorded.items() if "security-server-owners" not in key[1]}
    assert access_changes(managed, fewer.access_rights()) == [
        "PORTAL of DIGITAL loses birth-records of CIVILREG (REGISTRY)"
    ]
    stack.declare(fewer)
    assert stack.run("preview").get("delete") == 1
    assert rights(simulation) == ["birth-records"]
    assert stack.run("up").get("delete") == 1
    assert rights(simulation) == []

    assert set(stack.run("destroy")) == {"delete"}
    assert simulation.call("central", "GET", "/member-classes").json() == []
    assert simulation.call("central", "GET", "/security-servers").json()["items"] == []

    # What was destroyed can come back on the same servers.
    stack.declare(declaration)
    assert set(stack.run("up")) == {"create"}
    assert rights(simulation) == ["birth-records"]


@pytest.mark.parametrize("seconds", [4.0, 7.0])
def test_a_killed_up_is_taken_up_again(
    simulation: Simulation, stack: Stack, declaration: FederationArgs, seconds: float
) -> None:
    """After kill -9 a rerun ends in the declared state; no key is made twice, nothing else is approved."""
    stack.declare(declaration)
    process = stack.start("up")
    time.sleep(seconds)
    stack.kill(process)
    stack.run("recover")
    stack.run("up")

    assert rights(simulation) == ["birth-records"]
    (token,) = simulation.call("central", "GET", "/tokens").json()
    assert len(token["configuration_signing_keys"]) == 2
    for name in ("ss-portal", "ss-civil"):
        (token,) = simulation.call(name, "GET", "/tokens").json()
        assert sorted(key["usage"] for key in token["keys"]) == ["AUTHENTICATION", "SIGNING"]
        assert all(len(key["certificates"]) == 1 for key in token["keys"])
    assert len(simulation.call("central", "GET", "/certification-services").json()) == 1
    assert set(stack.run("up")) == {"same"}
    assert stack.writes() == []
