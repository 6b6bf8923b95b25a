"""Initialization fails in one step of several, as X-Road's does, and what is left lets a second try finish."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.xroad_simulator import single
from tests.unit.xroad_simulator.conftest import PIN, SYSTEM

from xroad_simulator.faults import Fault

CENTER = {
    "software_token_pin": PIN,
    "instance_identifier": "TEST",
    "central_server_address": "central.example.test",
}
SERVER = {
    "owner_member_class": "GOV",
    "owner_member_code": "CIVIL",
    "security_server_code": "SS1",
    "software_token_pin": PIN,
    "ignore_warnings": False,
}


def without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in names}


def test_the_token_of_a_central_server_fails(tmp_path: Path) -> None:
    """Nothing is left of the try."""
    made = single.central(tmp_path)
    api = made.api()
    made.server.faults.add(Fault(kind="fail", step="initialization.token"))
    assert api.refused("POST", "/initialization", json=CENTER) == (409, "init_software_token_failed")
    status = api.ask("GET", "/initialization/status")
    assert set(status.values()) == {"", "NOT_INITIALIZED"}
    api.ask("POST", "/initialization", json=CENTER)
    assert api.refused("POST", "/initialization", json=CENTER) == (409, "init_already_initialized")


def test_the_openpgp_key_of_a_central_server_fails(tmp_path: Path) -> None:
    """The token is there, although name and address aren't."""
    made = single.central(tmp_path)
    api = made.api()
    made.server.faults.add(Fault(kind="fail", step="initialization.gpg"))
    assert api.refused("POST", "/initialization", json=CENTER) == (500, "gpg_key_generation_failed")
    status = api.ask("GET", "/initialization/status")
    assert status == {
        "instance_identifier": "",
        "central_server_address": "",
        "software_token_init_status": "INITIALIZED",
    }
    api.ask("POST", "/initialization", json=CENTER)
    assert api.ask("GET", "/initialization/status")["instance_identifier"] == "TEST"
    api.ask("PUT", "/tokens/0/login", json={"password": PIN})


@pytest.fixture
def center(tmp_path: Path, furnished: Path) -> single.Single:
    """A central server that works."""
    return single.reopen(furnished, tmp_path / "central")


def test_the_token_of_a_security_server_fails(tmp_path: Path, center: single.Single) -> None:
    made = single.security(tmp_path / "security", center.server)
    api = made.api()
    made.server.faults.add(Fault(kind="fail", step="initialization.token"))
    assert api.refused("POST", "/initialization", json=SERVER) == (500, "software_token_init_failed")
    status = api.ask("GET", "/initialization/status")
    assert status["software_token_init_status"] == "NOT_INITIALIZED"
    assert status["is_server_code_initialized"] is False
    assert api.call("POST", "/initialization", json=SERVER).status_code == 201


def test_the_openpgp_key_of_a_security_server_fails(tmp_path: Path, center: single.Single) -> None:
    """Owner and code are undone, the token isn't: the second try must leave out the PIN, and is warned."""
    made = single.security(tmp_path / "security", center.server)
    api = made.api()
    made.server.faults.add(Fault(kind="fail", step="initialization.gpg"))
    assert api.refused("POST", "/initialization", json=SERVER) == (500, "gpg_key_generation_failed")
    status = api.ask("GET", "/initialization/status")
    assert status["software_token_init_status"] == "INITIALIZED"
    assert (status["is_server_code_initialized"], status["is_server_owner_initialized"]) == (False, False)

    again = api.call("POST", "/initialization", json=SERVER)
    assert again.json()["error"] == {"code": "invalid_init_params", "metadata": ["pin_code_exists"]}
    rest = without(SERVER, "software_token_pin")
    warned = api.call("POST", "/initialization", json=rest)
    assert [item["code"] for item in warned.json()["warnings"]] == ["init_software_token_initialized"]
    finished = api.call("POST", "/initialization", json={**rest, "ignore_warnings": True})
    assert finished.status_code == 201
    status = api.ask("GET", "/initialization/status")
    assert (status["is_server_code_initialized"], status["is_server_owner_initialized"]) == (True, True)


def test_warnings_of_an_initialization(tmp_path: Path, center: single.Single) -> None:
    made = single.security(tmp_path / "security", center.server)
    body = {**SERVER, "owner_member_code": "NOBODY"}
    warned = made.api().call("POST", "/initialization", json=body)
    assert (warned.status_code, warned.json()["error"]["code"]) == (400, "warnings_detected")
    assert warned.json()["warnings"] == [{"code": "init_unregistered_member", "metadata": ["TEST:GOV:NOBODY"]}]


@pytest.mark.parametrize("pin", ["Short-1", "onlylowercase", "12345678901"])
def test_a_weak_pin_is_refused_where_the_policy_is_enforced(
    tmp_path: Path, center: single.Single, pin: str
) -> None:
    strict = single.central(tmp_path / "strict", enforce_pin_policy=True)
    refused = strict.api([SYSTEM]).call("POST", "/initialization", json={**CENTER, "software_token_pin": pin})
    assert refused.json()["error"]["code"] == "token_weak_pin"
    made = single.security(tmp_path / "security", center.server, enforce_pin_policy=True)
    body = {**SERVER, "software_token_pin": pin}
    assert made.api().refused("POST", "/initialization", json=body) == (400, "token_weak_pin")
    body = {**SERVER, "software_token_pin": "Pín-0123456789"}
    assert made.api().refused("POST", "/initialization", json=body) == (400, "invalid_characters_pin")
    assert made.api().call("POST", "/initialization", json=SERVER).status_code == 201
