"""A federation whose certificates' status is asked for and whose messages are time-stamped."""

from __future__ import annotations

import base64
import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509 import ocsp

from federation_rig.trust_services import rsa_key
from xroad_simulator import time_stamps
from xroad_simulator.security import hash_chain
from xroad_simulator.security.hash_chain import Proof
from xroad_simulator.security.message import read_multipart
from xroad_simulator.security.signatures import Opened

if TYPE_CHECKING:
    from tests.unit.xroad_simulator.conftest import Federation, Server

DEADLINE_SECONDS = 60
CERTIFICATES = "SELECT body FROM record WHERE kind = 'certificate'"
WAITING = "SELECT count(*) FROM message_record WHERE stamp IS NULL"


@pytest.fixture(autouse=True)
def working(federation: Federation) -> Iterator[None]:
    """A federation that works before each test and after it."""
    federation.give()
    until(lambda: works(federation))
    yield
    trust = federation.trust
    trust.revoked.clear()
    trust.unknown.clear()
    trust.away.clear()
    until(lambda: works(federation))


def works(federation: Federation) -> bool:
    """A message passes, and every server has heard that its own certificates are good."""
    if federation.message().status_code != 200:
        return False
    active = [
        item
        for name in ("management", "civil")
        for token in federation.apis[name].ask("GET", "/tokens")
        for key in token["keys"]
        for item in key["certificates"]
        if item["active"]
    ]
    return all(item["ocsp_status"] == "OCSP_RESPONSE_GOOD" for item in active)


def until(reached: Any) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def certificates(federation: Federation, name: str, usage: str) -> list[dict[str, Any]]:
    (token,) = federation.apis[name].ask("GET", "/tokens")
    return [item for key in token["keys"] if key["usage"] == usage for item in key["certificates"]]


def serial(federation: Federation, name: str, usage: str) -> int:
    return int(certificates(federation, name, usage)[0]["certificate_details"]["serial"])


def error(federation: Federation) -> str:
    return federation.message().headers.get("X-Road-Error", "")


def rows(server: Server, query: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(server.state / "security.db", timeout=10) as database:
        return database.execute(query).fetchall()


def test_own_certificates_are_asked_for_and_good(federation: Federation) -> None:
    """By SHA-1 and without a nonce; the admin API and the diagnostics tell."""
    asked = [ocsp.load_der_ocsp_request(request) for request in federation.trust.asked]

    for name in ("management", "civil"):
        for usage in ("AUTHENTICATION", "SIGNING"):
            assert serial(federation, name, usage) in {request.serial_number for request in asked}
            assert certificates(federation, name, usage)[0]["ocsp_status"] == "OCSP_RESPONSE_GOOD"
        told = federation.apis[name].ask("GET", "/diagnostics/ocsp-responders")
        (responder,) = [item for service in told for item in service["ocsp_responders"]]
        assert (responder["url"], responder["status_class"]) == (federation.trust.url, "OK")
    assert {request.hash_algorithm.name for request in asked} == {"sha1"}
    assert all(not list(request.extensions) for request in asked)


@pytest.mark.parametrize(
    ("name", "usage", "refused"),
    [
        ("management", "SIGNING", "Server.ClientProxy.CannotCreateSignature"),
        ("civil", "SIGNING", "Server.ServerProxy.CannotCreateSignature"),
        ("management", "AUTHENTICATION", "Server.ClientProxy.SslAuthenticationFailed"),
    ],
)
def test_a_revoked_certificate_is_not_used(federation: Federation, name: str, usage: str, refused: str) -> None:
    """From the next answer on, which comes by itself."""
    federation.trust.revoked[serial(federation, name, usage)] = datetime.now(UTC)
    until(lambda: error(federation) == refused)
    assert certificates(federation, name, usage)[0]["ocsp_status"] == "OCSP_RESPONSE_REVOKED"


def test_a_server_without_a_good_authentication_certificate_is_unhealthy(federation: Federation) -> None:
    """The load balancer's question tells why."""
    federation.trust.revoked[serial(federation, "civil", "AUTHENTICATION")] = datetime.now(UTC)

    def told() -> bool:
        answer = httpx.get(federation.civil.port(5588), trust_env=False)
        return (answer.status_code, answer.text) == (500, "Authentication key OCSP response is not good")

    until(told)


def test_messages_pass_while_the_responder_is_away(federation: Federation) -> None:
    """The last answers are good for their time; the diagnostics tell that there are no new ones."""
    federation.trust.away.add("/")

    def failing() -> bool:
        told = federation.apis["civil"].ask("GET", "/diagnostics/ocsp-responders")
        return any(item["status_class"] == "FAIL" for service in told for item in service["ocsp_responders"])

    until(failing)
    assert federation.message().status_code == 200


def test_a_certificate_without_a_known_status_is_not_activated(federation: Federation) -> None:
    """A new signing certificate waits for its status; then it can be activated."""
    api = federation.apis["civil"]
    federation.trust.away.add("/")
    hash_ = federation.make_certificate("civil", "SIGNING", "TEST:GOV:CIVIL")
    found = api.ask("GET", f"/token-certificates/{hash_}")
    assert found["active"] is False
    assert "OCSP responder" in found["ocsp_verify_before_activation_error"]

    refused = api.call("PUT", f"/token-certificates/{hash_}/activate")
    assert refused.status_code == 500
    assert "OCSP" in str(refused.json()["error"]["metadata"])
    assert api.ask("GET", f"/token-certificates/{hash_}")["active"] is False

    federation.trust.away.clear()
    assert api.call("PUT", f"/token-certificates/{hash_}/activate").status_code == 204
    found = api.ask("GET", f"/token-certificates/{hash_}")
    assert (found["active"], found["ocsp_status"]) == (True, "OCSP_RESPONSE_GOOD")
    assert "ocsp_verify_before_activation_error" not in found
    api.ask("PUT", f"/token-certificates/{hash_}/disable")
    api.ask("DELETE", f"/token-certificates/{hash_}")


def test_a_key_that_has_a_certificate_may_get_another(federation: Federation) -> None:
    """Both are the key's; one goes, the key stays."""
    api = federation.apis["civil"]

    def signing_key() -> dict[str, Any]:
        (token,) = api.ask("GET", "/tokens")
        (key,) = (key for key in token["keys"] if key["usage"] == "SIGNING" and key["certificates"])
        found: dict[str, Any] = key
        return found

    key = signing_key()
    assert "GENERATE_SIGN_CSR" in key["possible_actions"]
    path = f"/keys/{key['id']}/csrs"
    wanted = {
        "key_usage_type": "SIGNING",
        "ca_name": "Trust services",
        "csr_format": "PEM",
        "member_id": "TEST:GOV:CIVIL",
        "subject_field_values": {"C": "BJ"},
    }
    assert api.refused("POST", path, json={**wanted, "key_usage_type": "AUTHENTICATION"})[0] == 400
    request = api.call("POST", path, json=wanted)
    assert request.status_code == 201
    certificate = federation.authority.issue(request.content, "SIGNING")
    hash_ = api.ask("POST", "/token-certificates", content=certificate)["certificate_details"]["hash"]

    assert len(signing_key()["certificates"]) == 2
    assert signing_key()["certificate_signing_requests"] == []
    api.ask("PUT", f"/token-certificates/{hash_}/disable")
    api.ask("DELETE", f"/token-certificates/{hash_}")
    assert signing_key()["id"] == key["id"]


def test_a_server_shows_the_status_of_its_own_certificates(federation: Federation) -> None:
    """On port 5577, over plain HTTP, by SHA-1 and as many as are asked for; of others it knows nothing."""
    kinds = ("AUTHENTICATION", "SIGNING")
    encoded = [certificates(federation, "civil", kind)[0]["certificate_details"]["hash"] for kind in kinds]
    stored = [json.loads(body)["certificate"] for (body,) in rows(federation.civil, CERTIFICATES)]
    known = [x509.load_der_x509_certificate(base64.b64decode(text)) for text in stored]
    by_hash = {item.fingerprint(hashes.SHA256()).hex().upper(): item for item in known}
    names = [by_hash[hash_].fingerprint(hashes.SHA1()).hex() for hash_ in encoded]  # noqa: S303 - X-Road's names
    address = federation.civil.port(5577)
    shown = httpx.get(f"{address}/", params=[("cert", hash_) for hash_ in names], trust_env=False)

    assert shown.headers["content-type"].startswith('multipart/related; type="application/ocsp-response"')
    parts = read_multipart("multipart/related", shown.headers["content-type"], shown.content)
    assert [kind for kind, _ in parts] == ["application/ocsp-response"] * 2
    answers = [ocsp.load_der_ocsp_response(content) for _, content in parts]
    assert {answer.certificate_status for answer in answers} == {ocsp.OCSPCertStatus.GOOD}
    assert [answer.serial_number for answer in answers] == [serial(federation, "civil", kind) for kind in kinds]
    for query, told in (
        (f"?cert={names[0]}&cert=00", "Could not find OCSP response for certificate 00"),
        (f"?cert={encoded[0]}", f"Could not find OCSP response for certificate {encoded[0]}"),
        ("", "Could not get cert hashes"),
    ):
        refused = httpx.get(f"{address}/{query}", trust_env=False)
        assert (refused.status_code, refused.text) == (500, told)
    assert httpx.head(address, trust_env=False).status_code == 200
    assert httpx.post(f"{address}/", trust_env=False).status_code == 500


def test_a_message_carries_the_status_of_its_signer(federation: Federation) -> None:
    """So that the log proves later that the certificate was good when it signed; and the CA's certificate."""
    federation.message("/1", headers={"X-Road-Id": "with-status"})
    for server in (federation.management, federation.civil):
        found = rows(server, "SELECT signature FROM message_record WHERE message_id = 'with-status'")
        assert len(found) == 2
        for (xml,) in found:
            opened = Opened.read(xml)
            (status,) = opened.statuses
            assert ocsp.load_der_ocsp_response(status).certificate_status is ocsp.OCSPCertStatus.GOOD
            assert opened.authorities == (federation.authority.certificate,)


def test_the_log_is_time_stamped_in_batches(federation: Federation) -> None:
    """Each record's signature is under a time stamp of the approved service, by its own chain."""
    federation.message("/2", headers={"X-Road-Id": "stamped"})
    until(lambda: rows(federation.civil, WAITING) == [(0,)])

    found = rows(
        federation.civil,
        "SELECT m.signature, m.stamp_chain, s.chain_result, s.token "
        "FROM message_record m JOIN stamp_record s ON s.number = m.stamp WHERE m.message_id = 'stamped'",
    )
    assert len(found) == 2
    for xml, chain, result, token in found:
        hash_chain.verify(
            Proof(result, chain), {"/META-INF/signatures.xml": hashlib.sha512(xml.encode()).digest()}
        )
        approved = [federation.trust.stamp_certificate]
        assert time_stamps.verify(token, hashlib.sha512(result.encode()).digest(), approved)


def test_messages_pass_for_a_while_without_time_stamps(federation: Federation) -> None:
    """Then no more (`acceptable-timestamp-failure-period`); once it works again everything is stamped."""
    federation.trust.away.add("/stamps")
    assert federation.message().status_code == 200
    until(lambda: error(federation) == "Server.ClientProxy.LoggingFailed.TimestamperFailed")
    (told,) = federation.apis["management"].ask("GET", "/diagnostics/timestamping-services")
    assert told["status_class"] == "FAIL"

    federation.trust.away.clear()
    until(lambda: federation.message().status_code == 200)
    until(lambda: rows(federation.management, WAITING) == [(0,)])


@pytest.mark.parametrize(("name", "place"), [("management", "ClientProxy"), ("civil", "ServerProxy")])
def test_a_server_without_a_time_stamping_service_refuses(
    federation: Federation, name: str, place: str
) -> None:
    """Told by the side that lacks it; to the caller also when that is its peer."""
    api = federation.apis[name]
    (used,) = api.ask("GET", "/system/timestamping-services")
    api.ask("POST", "/system/timestamping-services/delete", json=used)
    try:
        assert error(federation) == f"Server.{place}.LoggingFailed.mlog.no_timestamping_provider_found"
    finally:
        api.ask("POST", "/system/timestamping-services", json=used)


def test_a_renewed_time_stamping_certificate_works_once_it_is_approved(federation: Federation) -> None:
    """Beside the earlier one, under the same name and address; then that one may go."""
    trust, center = federation.trust, federation.center
    (before,) = center.ask("GET", "/timestamping-services")
    trust.stamp_with(rsa_key("renewed"))

    def status() -> str:
        federation.message()
        (told,) = federation.apis["management"].ask("GET", "/diagnostics/timestamping-services")
        found: str = told["status_class"]
        return found

    until(lambda: status() == "FAIL")
    center.ask(
        "POST",
        "/timestamping-services",
        data={"url": trust.stamps_url, "cost_type": "FREE"},
        files={"certificate": ("tsa.pem", trust.stamp_pem)},
    )
    until(lambda: status() == "OK")
    center.ask("DELETE", f"/timestamping-services/{before['id']}")
    time.sleep(3)
    assert status() == "OK"
    assert x509.load_pem_x509_certificate(trust.stamp_pem) == trust.stamp_certificate
