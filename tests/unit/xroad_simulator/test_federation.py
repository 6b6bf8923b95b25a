"""Messages through a whole federation: rights, refusals, restarts, signatures."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING

import httpx
import pytest
from cryptography.exceptions import InvalidSignature
from tests.unit.xroad_simulator.conftest import wait_for

from xroad_simulator.certificates import signing_member
from xroad_simulator.security.hash_chain import Proof
from xroad_simulator.security.message import request_hash
from xroad_simulator.security.signatures import Signature

if TYPE_CHECKING:
    from tests.unit.xroad_simulator.conftest import Federation

PIN = "Secret-1234"
CACHE_SECONDS = 1.2
"""Longer than the servers keep rights in these tests."""


@pytest.fixture
def allowed(federation: Federation) -> None:
    """The portal may call birth records."""
    federation.give()
    time.sleep(CACHE_SECONDS)


def error_of(response: httpx.Response) -> tuple[int, str]:
    """Status and type of an error that X-Road made, told the same in header and body."""
    assert set(response.json()) == {"type", "message", "detail"}
    assert response.json()["type"] == response.headers["X-Road-Error"]
    return response.status_code, response.headers["X-Road-Error"]


def test_message_without_a_right_is_denied(federation: Federation) -> None:
    federation.take()
    time.sleep(CACHE_SECONDS)
    assert error_of(federation.message()) == (500, "Server.ServerProxy.AccessDenied")


@pytest.mark.usefixtures("allowed")
def test_message_with_a_right(federation: Federation) -> None:
    response = federation.message("/123?full=true", headers={"X-Road-Id": "first-message"})
    assert response.status_code == 200, response.text
    assert response.json() == {"path": "/birth-records/123?full=true"}
    assert response.headers["X-Road-Id"] == "first-message"
    assert response.headers["X-Road-Client"] == "TEST/GOV/DIGITAL/PORTAL"
    assert response.headers["X-Road-Service"] == "TEST/GOV/CIVIL/REGISTRY/birth-records"
    assert response.headers["X-Road-Request-Id"]


@pytest.mark.usefixtures("allowed")
def test_body_arrives_and_comes_back(federation: Federation) -> None:
    response = federation.message("/", "POST", content=b"Kossi")
    assert (response.status_code, response.json()) == (201, {"received": "Kossi"})


@pytest.mark.usefixtures("allowed")
def test_error_of_the_service_passes_unchanged(federation: Federation) -> None:
    response = federation.message("/404")
    assert (response.status_code, response.json()) == (404, {"detail": "no such record"})
    assert "X-Road-Error" not in response.headers


@pytest.mark.usefixtures("allowed")
def test_both_sides_log_what_the_members_signed(federation: Federation) -> None:
    answer = federation.message("/7", headers={"X-Road-Id": "logged-message"})
    for server, side in ((federation.management, "consumer"), (federation.civil, "provider")):
        with sqlite3.connect(server.state / "security.db") as database:
            rows = database.execute(
                "SELECT is_response, message, body, signature, chain_result, chain FROM message_record "
                "WHERE message_id = 'logged-message' AND side = ? ORDER BY number",
                (side,),
            ).fetchall()
        assert [row[0] for row in rows] == [0, 1]
        members = []
        for _, message, body, xml, result, chain in rows:
            parts = [message.encode()] + ([] if body is None else [body])
            signature = Signature(xml, None if result is None else Proof(result, chain))
            members.append(str(signing_member(signature.verify(parts), "TEST")))
            with pytest.raises(InvalidSignature):
                signature.verify([message.encode() + b"x", *parts[1:]])
        assert members == ["TEST:GOV:DIGITAL", "TEST:GOV:CIVIL"]
        request = rows[0]
        assert answer.headers["X-Road-Request-Hash"] == request_hash(request[1].encode(), request[2] or b"")


@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"headers": {"X-Road-Client": ""}}, (400, "Client.BadRequest")),
        ({"service": "TEST/GOV/CIVIL"}, (400, "Client.BadRequest")),
        ({"headers": {"X-Road-Client": "TEST/GOV/CIVIL/REGISTRY"}}, (500, "Server.ClientProxy.UnknownMember")),
        ({"service": "TEST/GOV/HEALTH/REGISTRY/x"}, (500, "Server.ClientProxy.UnknownMember")),
        ({"service": "TEST/GOV/CIVIL/REGISTRY/marriages"}, (500, "Server.ServerProxy.UnknownService")),
        (
            {"headers": {"X-Road-Security-Server": "TEST/GOV/CIVIL/SS9"}},
            (500, "Server.ClientProxy.UnknownMember"),
        ),
    ],
)
def test_errors_say_where_they_arose(
    federation: Federation, arguments: dict[str, object], error: tuple[int, str]
) -> None:
    assert error_of(federation.message(**arguments)) == error


@pytest.mark.usefixtures("allowed")
def test_disabled_service_is_refused(federation: Federation) -> None:
    api = federation.apis["civil"]
    described = api.ask("GET", "/clients/TEST:GOV:CIVIL:REGISTRY/service-descriptions")[0]
    notice = {"disabled_notice": "until Monday"}
    api.ask("PUT", f"/service-descriptions/{described['id']}/disable", json=notice)
    try:
        response = federation.message()
        assert error_of(response) == (500, "Server.ServerProxy.ServiceDisabled")
        assert "until Monday" in response.json()["message"]
    finally:
        api.ask("PUT", f"/service-descriptions/{described['id']}/enable")


@pytest.mark.usefixtures("allowed")
def test_client_that_wants_tls_is_refused_without(federation: Federation) -> None:
    api = federation.apis["management"]
    path = "/clients/TEST:GOV:DIGITAL:PORTAL"
    api.ask("PATCH", path, json={"connection_type": "HTTPS_NO_AUTH"})
    try:
        refused = (500, "Server.ClientProxy.SslAuthenticationFailed")
        assert error_of(federation.message()) == refused
        assert federation.message(tls=True).status_code == 200
        api.ask("PATCH", path, json={"connection_type": "HTTPS"})
        assert error_of(federation.message(tls=True)) == refused
    finally:
        api.ask("PATCH", path, json={"connection_type": "HTTP"})


def test_health_is_good(federation: Federation) -> None:
    assert httpx.get(federation.civil.port(5588), trust_env=False).status_code == 200


@pytest.mark.usefixtures("allowed")
def test_a_server_in_maintenance_gets_no_messages(federation: Federation) -> None:
    """Asked for by a message to the management services, told by the configuration, minded by consumers."""
    api, path = federation.apis["civil"], "/system/maintenance-mode"
    refused = federation.apis["management"].refused("PUT", f"{path}/enable", json={})
    assert refused == (409, "forbidden_enable_maintenance_mode_for_management_service")
    api.ask("PUT", f"{path}/enable", json={"message": "Back at noon"})
    try:
        wait_for(lambda: federation.message().status_code != 200)
        assert error_of(federation.message()) == (500, "Server.ClientProxy.maintenance_mode")
        assert "administrator: Back at noon" in federation.message().json()["message"]
        wait_for(lambda: api.ask("GET", path)["status"] == "ENABLED_MAINTENANCE_MODE")
    finally:
        api.ask("PUT", f"{path}/disable")
    wait_for(lambda: federation.message().status_code == 200)


def test_service_description_is_read(federation: Federation) -> None:
    service = federation.apis["civil"].ask("GET", "/services/TEST:GOV:CIVIL:REGISTRY:birth-records")
    assert service["url"] == f"{federation.service}/birth-records"
    assert [(e["method"], e["path"]) for e in service["endpoints"]] == [("GET", "/*")]


def test_duplicates(federation: Federation) -> None:
    assert federation.give().status_code in (201, 409)
    again = federation.give()
    assert (again.status_code, again.json()["error"]["code"]) == (409, "duplicate_accessright")
    center = federation.center
    before = len(center.ask("GET", "/certification-services"))
    added = center.ask(
        "POST",
        "/certification-services",
        data={
            "certificate_profile_info": (
                "ee.ria.xroad.common.certificateprofile.impl.BasicCertificateProfileInfoProvider"
            ),
            "tls_auth": "false",
            "default_csr_format": "PEM",
        },
        files={"certificate": ("ca.pem", federation.authority.pem)},
    )
    assert len(center.ask("GET", "/certification-services")) == before + 1
    center.ask("DELETE", f"/certification-services/{added['id']}")
    third = {"key_label": "second", "token_id": "0"}
    center.ask("POST", "/configuration-sources/EXTERNAL/signing-keys", json=third)
    refused = center.refused("POST", "/configuration-sources/EXTERNAL/signing-keys", json=third)
    assert refused == (400, "token_action_not_possible")


def test_roles_are_enforced(federation: Federation) -> None:
    observer = federation.civil.api(federation.exchanges, ["XROAD_SECURITYSERVER_OBSERVER"])
    assert observer.call("GET", "/clients").status_code == 200
    assert observer.call("POST", "/clients", json={}).status_code == 403
    assert (
        httpx.get(
            f"{federation.civil.url}/api/v1/clients",
            headers={"Authorization": "X-Road-ApiKey token=guessed"},
            verify=False,  # noqa: S501 - a self-signed certificate of this test's own server
            trust_env=False,
        ).status_code
        == 401
    )


def test_keys_are_useless_without_the_pin(federation: Federation) -> None:
    with sqlite3.connect(federation.civil.state / "security.db") as database:
        stored = " ".join(row[0] for row in database.execute("SELECT body FROM record"))
    assert "PRIVATE KEY" not in stored
    assert PIN not in stored
    api_keys = [api._http.headers["Authorization"] for api in federation.apis.values()]
    assert not any(key.partition("=")[2] in stored for key in api_keys)


def test_registration_waits_for_approval(federation: Federation) -> None:
    """What nobody approves stays waiting; what the center declines can't be approved any more."""
    center, api = federation.center, federation.apis["civil"]
    client = {"member_class": "GOV", "member_code": "CIVIL", "subsystem_code": "ARCHIVE"}
    added = api.ask("POST", "/clients", json={"client": client, "ignore_warnings": False})
    api.ask("PUT", f"/clients/{added['id']}/register")
    waiting = center.ask("GET", "/management-requests?sort=id&desc=true&status=WAITING")["items"]
    assert [item["client_id"]["encoded_id"] for item in waiting] == ["TEST:GOV:CIVIL:ARCHIVE"]
    number = waiting[0]["id"]
    center.ask("DELETE", f"/management-requests/{number}")
    assert center.refused("POST", f"/management-requests/{number}/approval")[0] == 409
    assert api.ask("GET", f"/clients/{added['id']}")["status"] == "REGISTRATION_IN_PROGRESS"


def test_state_survives_a_kill(federation: Federation) -> None:
    """After kill -9 everything is there but the PIN; with it, messages move again."""
    federation.give()
    for name in ("central", "civil"):
        server = next(s for s in federation.servers if s.state.name == name)
        server.kill()
        server.start()
        assert federation.apis[name].ask("GET", "/tokens")[0]["logged_in"] is False
    assert httpx.get(federation.civil.port(5588), trust_env=False).status_code == 500
    assert federation.message().is_error
    for name in ("central", "civil"):
        federation.apis[name].ask("PUT", "/tokens/0/login", json={"password": PIN})
    deadline = time.monotonic() + 60
    while not federation.message().is_success and time.monotonic() < deadline:
        time.sleep(0.5)
    assert federation.message("/9").json() == {"path": "/birth-records/9"}


def test_wrong_pins_lock_the_token(federation: Federation) -> None:
    api = federation.apis["management"]
    api.ask("PUT", "/tokens/0/logout")
    codes = [api.refused("PUT", "/tokens/0/login", json={"password": "wrong-pin-1"}) for _ in range(3)]
    assert codes == [(400, "pin_incorrect"), (400, "pin_incorrect"), (409, "action_not_possible")]
    assert api.call("PUT", "/tokens/0/login", json={"password": PIN}).status_code == 409
    assert api.ask("GET", "/tokens/0")["status"] == "USER_PIN_LOCKED"
    federation.management.kill()
    federation.management.start()
    api.ask("PUT", "/tokens/0/login", json={"password": PIN})
