"""A federation of simulators, managed by a real engine from empty to empty again."""

from __future__ import annotations

import time
from typing import Any

import pytest

from federation_rig.simulation import PASSWORD, PIN, Simulation
from federation_rig.stack import Stack
from federation_rig.trust_services import rsa_key
from stacks.federation.access import access_changes, recorded_rights
from stacks.federation.arguments import FederationArgs
from stacks.providers.xroad.resources.certification_service import fingerprint

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
    assert [str(change) for change in access_changes(recorded, fewer.access_rights())] == [
        "PORTAL of DIGITAL loses birth-records of CIVILREG (REGISTRY)"
    ]
    stack.declare(fewer)
    assert stack.run("preview").get("delete") == 1
    assert stack.writes() == []
    assert stack.run("up").get("delete") == 1
    assert holders(simulation) == []


def test_status_and_time_stamps_are_registered_renewed_and_pruned(
    simulation: Simulation, stack: Stack, declaration: FederationArgs
) -> None:
    """Servers have certificates with a good status; a renewed time-stamping certificate is one update."""
    stack.declare(declaration)
    stack.run("up")
    trust = simulation.trust
    (authority,) = simulation.call("central", "GET", "/certification-services").json()
    path = f"/certification-services/{authority['id']}/ocsp-responders"
    responders = simulation.call("central", "GET", path).json()
    assert [(item["url"], item["has_certificate"]) for item in responders] == [(trust.url, False)]
    for name in ("ss-portal", "ss-civil"):
        (token,) = simulation.call(name, "GET", "/tokens").json()
        statuses = [item["ocsp_status"] for key in token["keys"] for item in key["certificates"]]
        assert statuses == ["OCSP_RESPONSE_GOOD"] * 2
        used = simulation.call(name, "GET", "/system/timestamping-services").json()
        assert [item["url"] for item in used] == [trust.stamps_url]

    before = approved_stamps(simulation)
    trust.stamp_with(rsa_key("renewed"))
    simulation.publish_stamp_certificate()
    assert stack.run("up").get("update") == 1
    assert approved_stamps(simulation) == [(trust.stamps_url, fingerprint(trust.stamp_pem))]
    assert approved_stamps(simulation) != before
    assert set(stack.run("up")) == {"same"}

    servers = tuple(item.model_copy(update={"timestamping": ()}) for item in declaration.security_servers)
    instance = declaration.instance.model_copy(update={"timestamping": ()})
    stack.declare(declaration.model_copy(update={"security_servers": servers, "instance": instance}))
    stack.run("up")
    assert approved_stamps(simulation) == []
    for name in ("ss-portal", "ss-civil"):
        assert simulation.call(name, "GET", "/system/timestamping-services").json() == []


def approved_stamps(simulation: Simulation) -> list[tuple[str, str]]:
    found = simulation.call("central", "GET", "/timestamping-services").json()
    return [(item["url"], item["certificate"]["hash"].replace(":", "").upper()) for item in found]


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
