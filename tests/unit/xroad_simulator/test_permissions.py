"""Who may do what: X-Road's permissions, by role, on both servers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute
from tests.unit.xroad_simulator import single
from tests.unit.xroad_simulator.conftest import REGISTRATION, SECURITY, SERVICE, SYSTEM

from xroad_simulator import coverage
from xroad_simulator.central.permissions import ROLES as CENTRAL
from xroad_simulator.security.permissions import ROLES as OF_SECURITY_SERVERS

OBSERVER, MANAGEMENT = "XROAD_SECURITYSERVER_OBSERVER", "XROAD_MANAGEMENT_SERVICE"
OPEN = {
    "GET /initialization/status",
    "GET /openapi.yaml",
    # Which permission it takes depends on the request.
    "POST /management-requests",
    "POST /management-requests/{number}/approval",
    "DELETE /management-requests/{number}",
    "PUT /language/{code}",
}
"""Operations for anybody who is known."""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, furnished: Path) -> dict[str, single.Single]:
    """A central server that works, and a security server that has heard of it."""
    folder = tmp_path_factory.mktemp("servers")
    center = single.reopen(furnished, folder / "central")
    return {"central": center, "security": single.security(folder / "security", center.server)}


def permissions_of(route: APIRoute) -> list[str]:
    """The permissions that a route's checks close over."""
    return [
        name
        for dependency in route.dependant.dependencies
        if dependency.call is not None and getattr(dependency.call, "__closure__", None)
        for cell in dependency.call.__closure__
        if isinstance(cell.cell_contents, tuple)
        for name in cell.cell_contents
    ]


@pytest.mark.parametrize(
    ("kind", "table"), [("central", CENTRAL), ("security", OF_SECURITY_SERVERS)], ids=["central", "security"]
)
def test_every_operation_asks_for_a_permission(kind: str, table: dict[str, Any]) -> None:
    for router in coverage.ROUTERS[kind]:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            for method in route.methods or ():
                asked = permissions_of(route)
                assert bool(asked) is (f"{method} {route.path}" not in OPEN), f"{method} {route.path}"
                assert set(asked) <= set(table)


@pytest.mark.parametrize(
    ("kind", "method", "path", "allowed"),
    [
        ("central", "GET", "/members/TEST:GOV:CIVIL", {REGISTRATION}),
        ("central", "GET", "/member-classes", {REGISTRATION, SECURITY}),
        ("central", "GET", "/certification-services", {SYSTEM, MANAGEMENT}),
        ("central", "GET", "/configuration-sources/INTERNAL/anchor/download", {SECURITY}),
        ("central", "GET", "/configuration-sources/INTERNAL/anchor", {SECURITY, SYSTEM}),
        ("central", "GET", "/management-services-configuration", {SECURITY}),
        ("central", "GET", "/timestamping-services", {SYSTEM}),
        ("central", "GET", "/management-requests", {REGISTRATION}),
        ("central", "GET", "/system/version", {SYSTEM, SECURITY, REGISTRATION, MANAGEMENT}),
        ("security", "GET", "/clients", {SECURITY, REGISTRATION, SERVICE, OBSERVER}),
        ("security", "GET", "/tokens", {SECURITY, REGISTRATION, SYSTEM, OBSERVER}),
        ("security", "GET", "/system/anchor/download", {SECURITY, SYSTEM}),
        ("security", "GET", "/system/server-address", {SYSTEM}),
        ("security", "GET", "/member-names?member_class=GOV&member_code=CIVIL", {SYSTEM}),
        ("security", "GET", "/diagnostics/globalconf", {SYSTEM, OBSERVER}),
        ("security", "GET", "/diagnostics/addon-status", {SYSTEM, OBSERVER, SECURITY}),
    ],
)
def test_who_may(
    servers: dict[str, single.Single], kind: str, method: str, path: str, allowed: set[str]
) -> None:
    server = servers[kind]
    answers = {
        role.value: server.api([role.value]).call(method, path).status_code
        for role in server.server.gate.server_roles
    }
    assert {role for role, status in answers.items() if status != 403} == allowed


def test_only_the_registration_service_speaks_for_security_servers(servers: dict[str, single.Single]) -> None:
    body = {
        "type": "CLIENT_REGISTRATION_REQUEST",
        "origin": "SECURITY_SERVER",
        "security_server_id": "TEST:GOV:CIVIL:SS1",
        "client_id": "TEST:GOV:CIVIL:MAIN",
    }
    center = servers["central"]

    def status(role: str, origin: str) -> int:
        answer = center.api([role]).call("POST", "/management-requests", json={**body, "origin": origin})
        return answer.status_code

    assert status(REGISTRATION, "SECURITY_SERVER") == 403
    assert status(MANAGEMENT, "CENTER") == 403
    assert status(SYSTEM, "CENTER") == 403
    assert status(MANAGEMENT, "SECURITY_SERVER") == 404
    assert status(REGISTRATION, "CENTER") == 404


def test_a_caller_is_told_what_it_may(servers: dict[str, single.Single]) -> None:
    told = servers["central"].api([SYSTEM])._http.get("/api/v1/user").json()
    assert told["roles"] == [SYSTEM]
    assert "BACKUP_CONFIGURATION" in told["permissions"]
    assert "ADD_NEW_MEMBER" not in told["permissions"]


def test_a_revoked_key_ends_at_once(servers: dict[str, single.Single]) -> None:
    """The node that revokes a key empties its own cache (`ApiKeyRepository.java`)."""
    server = servers["central"].server
    api = servers["central"].api([SYSTEM])
    assert api.call("GET", "/system/version").status_code == 200
    server.gate.revoke_key(max(key.id for key in server.gate.all_keys()))
    assert api.call("GET", "/system/version").status_code == 401
