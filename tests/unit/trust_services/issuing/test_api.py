"""What clients are answered over HTTP."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from cryptography import x509
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.trust_services.conftest import Place
from tests.unit.trust_services.issuing.ordering import SERVICE, Memory, authority, content, ec_key, fresh_key

from trust_services.issuing import linting
from trust_services.issuing.api import MAX_BODY_BYTES, Reader, application
from trust_services.issuing.chain import verify_chain
from trust_services.issuing.configuration import Client
from trust_services.issuing.orders import Order, Profile
from trust_services.issuing.record import Record
from trust_services.issuing.service import Service
from trust_services.issuing.signing import Authority

TOKENS = {"federation": "f" * 40, "another": "a" * 40, "officer": "o" * 40, "status": "s" * 40}
PROBLEM = "application/problem+json"


def clients() -> tuple[Client, ...]:
    """Two programs that order, an officer, and a service."""
    roles = {"federation": "orderer", "another": "orderer", "officer": "officer", "status": "service"}
    own = [{"profile": "status-responder", "name": SERVICE}]
    return tuple(
        Client.model_validate(
            {
                "name": name,
                "role": roles[name],
                "token_sha256": hashlib.sha256(token.encode()).hexdigest(),
                "services": own if roles[name] == "service" else [],
            }
        )
        for name, token in TOKENS.items()
    )


def as_(name: str) -> dict[str, str]:
    """The header that says who asks."""
    return {"Authorization": f"Bearer {TOKENS[name]}"}


@pytest.fixture
def api(place: Place, holder: Memory) -> Iterator[TestClient]:
    """A service that expects every member but STRANGE."""
    own = authority()

    def expects(sent: Order) -> bool:
        return sent.member is None or sent.member.code != "STRANGE"

    service = Service(Authority(own.terms(), holder), place.connect, expects)
    made = application(service, Reader(place.connect), clients(), [own.certificate, own.root])
    with TestClient(made, raise_server_exceptions=False) as client:
        yield client


def place_order(api: TestClient, sent: dict[str, object] | None = None, who: str = "federation") -> Any:
    """Sends an order."""
    return api.post("/orders", json=sent or content(), headers=as_(who))


def problem(response: Any, status: int) -> dict[str, Any]:
    """A problem document, which is as RFC 9457 says."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == PROBLEM
    found: dict[str, Any] = response.json()
    assert {"type", "title", "status", "detail"} <= set(found)
    assert found["status"] == status
    return found


def test_an_order_and_the_same_again(api: TestClient) -> None:
    """201, then 200 with the same certificate."""
    key = fresh_key()
    sent = content("authentication", key=key)
    first, second = place_order(api, sent), place_order(api, sent)

    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    made = x509.load_pem_x509_certificate(first.json()["certificate"].encode())
    assert made.public_key() == key.public_key()
    assert f"{made.serial_number:040x}" == first.json()["serial"]
    assert api.get(first.headers["location"], headers=as_("federation")).json() == first.json()


def test_an_order_that_waits(api: TestClient) -> None:
    """202 until an officer approves it, 200 afterwards."""
    sent = content(code="STRANGE")
    waiting = place_order(api, sent)
    assert waiting.status_code == 202
    assert waiting.json()["state"] == "waiting"
    assert "officer" in waiting.json()["next_step"]
    listed = api.get("/orders", params={"state": "waiting"}, headers=as_("officer")).json()
    assert [item["id"] for item in listed] == [waiting.json()["id"]]

    where = f"/orders/{waiting.json()['id']}/approval"
    approved = api.post(where, json={"decision": "approve"}, headers=as_("officer"))
    assert approved.json()["state"] == "issued"
    assert "certificate" in approved.json()
    again = place_order(api, sent)
    assert again.status_code == 200
    assert again.json() == approved.json()
    assert (
        "decided"
        in problem(api.post(where, json={"decision": "approve"}, headers=as_("officer")), 409)["detail"]
    )


def test_an_order_that_an_officer_refuses(api: TestClient) -> None:
    """A reason is needed, and told to whoever orders."""
    sent = content(code="STRANGE")
    where = f"/orders/{place_order(api, sent).json()['id']}/approval"
    assert (
        "reason" in problem(api.post(where, json={"decision": "refuse"}, headers=as_("officer")), 422)["detail"]
    )
    refusal = {"decision": "refuse", "reason": "not a member"}
    assert api.post(where, json=refusal, headers=as_("officer")).json()["state"] == "refused"

    told = problem(place_order(api, sent), 422)
    assert told["detail"] == "not a member"
    assert "new idempotency key" in told["next_step"]


def test_another_content_under_the_same_key(api: TestClient) -> None:
    """409."""
    place_order(api, content(idempotency_key="order-of-today"))

    assert (
        "other content" in problem(place_order(api, content(idempotency_key="order-of-today")), 409)["detail"]
    )


def test_a_key_of_another_member(api: TestClient) -> None:
    """409."""
    place_order(api, content(key=ec_key("shared")))

    found = problem(place_order(api, content(key=ec_key("shared"), code="JUSTICE")), 409)
    assert "another member" in found["detail"]
    assert found["next_step"]


def test_a_certificate_that_is_held_back(api: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """422 with what was found, and no certificate."""
    monkeypatch.setattr(linting, "findings", lambda _: ["ERROR a.test"])
    found = problem(place_order(api), 422)

    assert "a.test" in found["detail"]
    assert api.get(f"/orders/{found['order']}", headers=as_("officer")).json()["state"] == "refused"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"profile": "both"}, "profile"),
        ({"server": "ss1"}, "server"),
        ({"member": {"class": "GOV"}}, "member.code"),
        ({"csr": "nonsense"}, "well-formed"),
        ({"csr": "x" * 17000}, "16384"),
        ({"more": 1}, "more"),
        ({"idempotency_key": ""}, "idempotency_key"),
    ],
)
def test_an_order_that_isnt_as_it_must_be(api: TestClient, change: dict[str, object], words: str) -> None:
    """422 names the part, and doesn't quote what was sent."""
    found = problem(place_order(api, {**content(), **change}), 422)

    assert words in found["detail"]
    assert "nonsense" not in found["detail"]


def test_a_body_that_is_too_long(api: TestClient) -> None:
    """413, before it is read to its end."""
    problem(api.post("/orders", content=b" " * (MAX_BODY_BYTES + 1), headers=as_("federation")), 413)


NO_ORDER = "/orders/00000000-0000-4000-8000-000000000000"
ORDERER_ONLY = [("post", "/orders")]
OFFICER_ONLY = [("post", f"{NO_ORDER}/approval"), ("post", "/certificates/aa/revocation")]
KNOWN_ONLY = [("get", "/orders"), ("get", NO_ORDER), ("get", "/certificates/aa")]


def test_who_isnt_known_gets_nothing(api: TestClient) -> None:
    """401, whatever is sent."""
    officer = TOKENS["officer"]
    for header in ("", "Bearer", "Bearer ", "Bearer wrong", f"Basic {officer}", officer):
        for method, path in ORDERER_ONLY + OFFICER_ONLY + KNOWN_ONLY:
            headers = {"Authorization": header} if header else {}
            response = api.request(method, path, headers=headers, json={})
            problem(response, 401)
            assert response.headers["www-authenticate"] == "Bearer"


def test_who_orders_doesnt_decide(api: TestClient) -> None:
    """403; and who decides doesn't order."""
    for method, path in ORDERER_ONLY:
        problem(api.request(method, path, headers=as_("officer"), json=content()), 403)
    for method, path in OFFICER_ONLY:
        body = {"decision": "approve"} if "approval" in path else {"reason": "superseded"}
        problem(api.request(method, path, headers=as_("federation"), json=body), 403)


def test_a_service_orders_for_itself(api: TestClient) -> None:
    """What it was given, and nothing else; nobody else orders that."""
    made = place_order(api, content("status-responder"), "status")
    assert made.status_code == 201
    shown = made.json()
    assert (shown["service"], "member" in shown) == (SERVICE, False)
    assert api.get(made.headers["location"], headers=as_("status")).json() == shown
    assert [item["id"] for item in api.get("/orders", headers=as_("status")).json()] == [shown["id"]]

    for sent, who in (
        (content("time-stamping"), "status"),
        (content("signing"), "status"),
        (content("status-responder"), "federation"),
        (content("status-responder"), "officer"),
    ):
        found = problem(place_order(api, sent, who), 403)
        assert who in found["detail"]


def test_an_orderer_sees_its_own_orders_only(api: TestClient) -> None:
    """Another's isn't there for it."""
    mine, other = place_order(api).json()["id"], place_order(api, who="another").json()["id"]

    assert [item["id"] for item in api.get("/orders", headers=as_("federation")).json()] == [mine]
    problem(api.get(f"/orders/{other}", headers=as_("federation")), 404)
    assert {item["id"] for item in api.get("/orders", headers=as_("officer")).json()} == {mine, other}


def test_a_certificate_is_revoked(api: TestClient) -> None:
    """Once, for a reason that RFC 5280 has."""
    serial = place_order(api).json()["serial"]
    where = f"/certificates/{serial}"
    assert api.get(where, headers=as_("federation")).json()["revocation"] is None
    problem(api.post(f"{where}/revocation", json={"reason": "certificateHold"}, headers=as_("officer")), 422)
    revoked = api.post(f"{where}/revocation", json={"reason": "keyCompromise"}, headers=as_("officer")).json()

    assert revoked["revocation"]["reason"] == "keyCompromise"
    assert api.get(where, headers=as_("federation")).json()["revocation"] == revoked["revocation"]
    again = api.post(f"{where}/revocation", json={"reason": "superseded"}, headers=as_("officer"))
    assert "already" in problem(again, 409)["detail"]


@pytest.mark.parametrize("serial", ["aa", "0", "xyz", "f" * 41, "%00", "' OR 1=1"])
def test_a_serial_number_that_isnt_there(api: TestClient, serial: str) -> None:
    """404, whatever it looks like."""
    problem(api.get(f"/certificates/{serial}", headers=as_("officer")), 404)


def test_a_serial_number_may_be_written_as_openssl_does(api: TestClient) -> None:
    """With colons, in capitals, without leading zeros."""
    serial = place_order(api).json()["serial"]
    plain = serial.lstrip("0").upper()

    assert api.get(f"/certificates/{plain}", headers=as_("officer")).json()["serial"] == serial


def test_open_pages(api: TestClient) -> None:
    """The chain, health and figures need no token."""
    own = authority()
    place_order(api)
    chain = x509.load_pem_x509_certificates(api.get("/authorities/current").content)
    figures = api.get("/metrics").text

    assert chain == [own.certificate, own.root]
    assert api.get("/health").json() == {"status": "ok"}
    assert 'trust_services_events_total{kind="issued"} 1' in figures
    assert "trust_services_record_sequence 4" in figures
    assert "trust_services_orders_waiting 0" in figures
    for profile in Profile:
        for days in (30, 7, 1):
            assert f'trust_services_certificates_ending{{profile="{profile}",days="{days}"}} 0' in figures


def test_figures_that_take_long_keep_nobody_waiting(api: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Orders are taken and shown meanwhile."""
    asked, told = threading.Event(), threading.Event()

    def slow(_: Record) -> dict[tuple[str, int], int]:
        asked.set()
        assert told.wait(30)
        return {}

    monkeypatch.setattr(Record, "ending", slow)
    with ThreadPoolExecutor(1) as pool:
        figures = pool.submit(api.get, "/metrics")
        try:
            assert asked.wait(30)
            placed = place_order(api)
            assert placed.status_code == 201
            assert api.get(placed.headers["location"], headers=as_("federation")).status_code == 200
            assert not figures.done()
        finally:
            told.set()
        assert figures.result().status_code == 200


def test_what_isnt_there(api: TestClient) -> None:
    """Paths and methods have problem documents as well."""
    problem(api.get("/nothing"), 404)
    problem(api.delete("/orders"), 405)
    problem(api.get("/orders/not-a-uuid", headers=as_("officer")), 422)
    problem(api.get("/orders?state=lost", headers=as_("officer")), 422)
    problem(api.get("/orders?limit=0", headers=as_("officer")), 422)


def test_without_the_key(api: TestClient, holder: Memory) -> None:
    """503 with the reason and when to ask again; reading goes on."""
    kept = place_order(api).json()
    holder.trouble = "the token is locked"
    response = place_order(api)

    assert problem(response, 503)["detail"] == "the token is locked"
    assert int(response.headers["retry-after"]) > 0
    assert "locked" in problem(api.get("/health"), 503)["detail"]
    assert api.get(f"/orders/{kept['id']}", headers=as_("federation")).json() == kept


def test_without_the_database(api: TestClient, place: Place) -> None:
    """503 everywhere, and the same order is issued once it is back."""
    sent = content()
    place_order(api)
    api.get("/metrics")
    place.server.stop()
    try:
        for response in (place_order(api, sent), api.get("/metrics"), api.get("/health")):
            assert "record" in problem(response, 503)["detail"]
            assert int(response.headers["retry-after"]) > 0
    finally:
        place.server.start()

    assert place_order(api, sent).status_code == 201
    assert api.get("/health").status_code == 200


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_sent_is_answered(api: TestClient, place: Place, data: st.DataObject) -> None:
    """Never 500, never a certificate for what isn't an order, and the record holds."""
    changed = st.builds(
        lambda key, value: {**content(), key: value},
        st.sampled_from(["profile", "member", "server", "service", "csr", "idempotency_key", "other"]),
        JSON,
    )
    text = (JSON | changed).map(lambda item: json.dumps(item).encode())
    body = data.draw(st.binary(max_size=300) | text)
    response = api.post("/orders", content=body, headers=as_("federation"))

    assert response.status_code in {201, 409, 422}
    if response.status_code != 201:
        problem(response, response.status_code)
    with place.connect() as connection:
        assert verify_chain(connection).broken == ""
