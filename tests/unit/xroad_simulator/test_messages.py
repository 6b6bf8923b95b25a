"""Messages through a whole federation: rights by endpoint, metaservices, signed documents, a kill."""

from __future__ import annotations

import io
import sqlite3
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from operate.messages import answer

if TYPE_CHECKING:
    from tests.unit.xroad_simulator.conftest import Federation, Server

PIN = "Secret-1234"
CACHE_SECONDS = 1.2
DEADLINE_SECONDS = 60
REGISTRY = "TEST:GOV:CIVIL:REGISTRY"
PORTAL = "TEST:GOV:DIGITAL:PORTAL"
WAITING = "SELECT count(*) FROM message_record WHERE stamp IS NULL"


@pytest.fixture(autouse=True)
def allowed(federation: Federation) -> Iterator[None]:
    """The portal may call birth records, before each test and after it."""
    federation.give()
    until(lambda: federation.message().status_code == 200)
    yield
    federation.trust.away.clear()
    federation.give()
    until(lambda: federation.message().status_code == 200)


def until(reached: Any) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def rows(server: Server, query: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(server.state / "security.db", timeout=10) as database:
        return database.execute(query).fetchall()


def documents(server: Server, client: str, message_id: str, more: str = "") -> httpx.Response:
    instance, member_class, code, subsystem = client.split(":")
    query = (
        f"queryId={message_id}&xRoadInstance={instance}&memberClass={member_class}"
        f"&memberCode={code}&subsystemCode={subsystem}{more}"
    )
    return httpx.get(f"{server.port(8080)}/asic?{query}", trust_env=False, timeout=30)


def test_both_sides_give_out_what_the_root_alone_verifies(federation: Federation, tmp_path: Path) -> None:
    """From a message to the proof of it, by code that shares nothing with the servers."""
    root = tmp_path / "root.crt"
    root.write_bytes(federation.authority.root.public_bytes(Encoding.PEM))
    sent = federation.message("/", "POST", content=b"Kossi", headers={"X-Road-Id": "proven"})
    assert sent.status_code == 201
    for server, client in ((federation.management, PORTAL), (federation.civil, REGISTRY)):
        until(lambda server=server: rows(server, WAITING) == [(0,)])
        downloaded = documents(server, client, "proven")
        assert downloaded.headers["content-type"] == "application/zip"
        path = tmp_path / "proven.zip"
        path.write_bytes(downloaded.content)
        found = answer.verify(path, root)
        assert found.valid, [verdict.checks for verdict in found.verdicts]
        request, response = (verdict.document() for verdict in found.verdicts)
        assert (request["kind"], request["client"]) == ("request", "TEST/GOV/DIGITAL/PORTAL")
        assert (response["kind"], response["what"]) == ("response", "201 Created")
        assert response["service"] == "TEST/GOV/CIVIL/REGISTRY/birth-records"
        for only, verdict in (("request", request), ("response", response)):
            one = documents(server, client, "proven", f"&{only}Only&unique")
            assert one.headers["content-type"] == "application/vnd.etsi.asic-e+zip"
            assert verdict["file"] in one.headers["content-disposition"]
            with zipfile.ZipFile(io.BytesIO(downloaded.content)) as file:
                assert file.read(verdict["file"]) == one.content


def test_documents_that_cant_be_had(federation: Federation) -> None:
    """Nobody else's, none without a stamp, none without saying which; as plain text."""
    federation.message(headers={"X-Road-Id": "asked"})
    until(lambda: rows(federation.management, WAITING) == [(0,)])
    for client, more, expected in (
        (PORTAL, "&requestOnly&responseOnly", (400, "cannot be used at the same time")),
        (PORTAL, "&unique", (400, "not applicable without")),
        ("TEST:GOV:DIGITAL:MANAGEMENT", "", (404, "No signed documents found")),
        (REGISTRY, "", (401, "not found")),
    ):
        refused = documents(federation.management, client, "asked", more)
        assert refused.status_code == expected[0]
        assert expected[1] in refused.text
    missing = httpx.get(f"{federation.management.port(8080)}/asic?queryId=asked", trust_env=False)
    assert (missing.status_code, missing.text) == (400, 'Parameter "xRoadInstance"  must be specified.')
    federation.trust.away.add("/stamps")
    federation.message(headers={"X-Road-Id": "unstamped"})
    early = documents(federation.management, PORTAL, "unstamped")
    assert (early.status_code, early.text) == (500, "Message signature has not been timestamped yet!")
    forced = documents(federation.management, PORTAL, "unstamped", "&force")
    assert (forced.status_code, forced.text) == (500, "Could not create missing timestamp!")
    federation.trust.away.clear()
    assert documents(federation.management, PORTAL, "unstamped", "&force").status_code == 200


def test_what_x_roads_own_verifier_needs(federation: Federation) -> None:
    content = httpx.get(f"{federation.civil.port(8080)}/verificationconf", trust_env=False).content
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        assert file.read("verificationconf/instance-identifier") == b"TEST"
        assert b"<instanceIdentifier>TEST</instanceIdentifier>" in file.read(
            "verificationconf/TEST/shared-params.xml"
        )


def test_the_clients_are_listed(federation: Federation) -> None:
    """As JSON for who accepts it, as XML for others; of no other instance."""
    address = f"{federation.management.port(8080)}/listClients"
    listed = httpx.get(address, headers={"Accept": "application/json"}, trust_env=False).json()["member"]
    named = {":".join(str(part) for part in (*_parts(item["id"]),)): item["name"] for item in listed}
    assert named[REGISTRY] == "Agency CIVIL"
    assert "TEST:GOV:HEALTH" in named
    xml = httpx.get(address, trust_env=False)
    assert xml.headers["content-type"].startswith("text/xml")
    assert "<ns1:subsystemCode>REGISTRY</ns1:subsystemCode>" in xml.text
    assert httpx.get(f"{address}?xRoadInstance=OTHER", trust_env=False).status_code == 500


def _parts(identifier: dict[str, str]) -> list[str]:
    names = ("xroad_instance", "member_class", "member_code", "subsystem_code")
    return [identifier[name] for name in names if name in identifier]


def test_metaservices(federation: Federation) -> None:
    """Without a right: what there is, what may be called, and how it is described without its address."""
    registry = "TEST/GOV/CIVIL/REGISTRY"
    (offered,) = federation.message("", service=f"{registry}/listMethods").json()["service"]
    assert (offered["service_code"], offered["service_type"]) == ("birth-records", "OPENAPI")
    assert offered["endpoint_list"] == [{"method": "GET", "path": "/*"}]
    assert federation.message("", service=f"{registry}/allowedMethods").json()["service"] == [offered]
    described = federation.message("?serviceCode=birth-records", service=f"{registry}/getOpenAPI")
    assert described.json()["servers"] == [{"url": "/birth-records"}]
    assert described.headers["X-Road-Request-Hash"]
    federation.take()
    time.sleep(CACHE_SECONDS)
    assert federation.message("", service=f"{registry}/listMethods").json()["service"] == [offered]
    assert federation.message("", service=f"{registry}/allowedMethods").json() == {"service": []}
    for query, error in (
        ("", "InvalidRequest"),
        ("?serviceCode=marriages", "InternalError"),
    ):
        refused = federation.message(query, service=f"{registry}/getOpenAPI")
        assert refused.headers["X-Road-Error"] == f"Server.ServerProxy.{error}"
    posted = federation.message("", "POST", service=f"{registry}/listMethods")
    assert posted.headers["X-Road-Error"] == "Server.ServerProxy.UnknownService"


def test_a_right_to_one_method_and_path(federation: Federation) -> None:
    """Nothing else of the service, and no way around by spelling."""
    api = federation.apis["civil"]
    federation.take()
    service = api.ask("GET", f"/services/{REGISTRY}:birth-records")
    (generated,) = service["endpoints"]
    added = api.ask(
        "POST",
        f"/services/{REGISTRY}:birth-records/endpoints",
        json={"service_code": "birth-records", "method": "POST", "path": "/people/**"},
    )
    client = {"items": [{"id": PORTAL, "service_client_type": "SUBSYSTEM"}]}
    for endpoint in (generated, added):
        api.ask("POST", f"/endpoints/{endpoint['id']}/service-clients", json=client)
    time.sleep(CACHE_SECONDS)

    def error(path: str, method: str = "GET") -> str:
        return federation.message(path, method, content=b"x" if method == "POST" else None).headers.get(
            "X-Road-Error", ""
        )

    denied = "Server.ServerProxy.AccessDenied"
    try:
        assert [error("/123"), error("/a%20b"), error("/people/1/2", "POST")] == ["", "", ""]
        for path, method in (
            ("/123/4", "GET"),
            ("", "GET"),
            ("/123", "POST"),
            ("/people/../123", "POST"),
            ("/people/%2e%2e/123", "POST"),
            ("/people/%2E%2E%2F123", "POST"),
            ("/%2e%2e/123", "GET"),
            ("/1%2F2", "GET"),
        ):
            assert error(path, method) == denied, path
    finally:
        api.ask("DELETE", f"/endpoints/{added['id']}")
        api.ask("POST", f"/endpoints/{generated['id']}/service-clients/delete", json=client)


def test_errors_as_xml(federation: Federation) -> None:
    """For who accepts that."""
    for accept, kind in (
        ("text/xml", "text/xml"),
        ("application/xml;q=0.9", "application/xml"),
        ("text/*", "text/xml"),
    ):
        refused = federation.message("", headers={"X-Road-Client": "", "Accept": accept})
        assert refused.headers["content-type"].startswith(kind)
        assert "<error><type>Client.BadRequest</type>" in refused.text


def test_headers_of_the_client_and_of_the_service(federation: Federation) -> None:
    """X-Road's list doesn't go on; everything else does, the accepted encodings too."""
    from tests.unit.xroad_simulator.conftest import _Registry

    _Registry.seen.clear()
    headers = {
        "X-Road-UserId": "BJ123",
        "X-Road-Issue": "case 7",
        "X-Road-Represented-Party": "COM/1234",
        "Accept-Encoding": "br",
        "X-Own": "kept",
        "User-Agent": "portal",
        "X-Road-Request-Id": "forged",
        "X-Road-Request-Hash": "forged",
        "TE": "trailers",
    }
    told = federation.message("/5", headers=headers)
    (seen,) = _Registry.seen
    given = {name.lower(): value for name, value in seen.items()}
    assert (given["x-road-userid"], given["x-road-issue"]) == ("BJ123", "case 7")
    assert (given["x-road-represented-party"], given["accept-encoding"]) == ("COM/1234", "br")
    assert given["x-own"] == "kept"
    assert given["x-road-request-id"] == told.headers["X-Road-Request-Id"] != "forged"
    assert not {"user-agent", "te", "x-road-request-hash"} & set(given)
    assert not {"server", "connection"} & {name.lower() for name in told.headers}
    assert told.headers["X-Road-Request-Hash"] != "forged"


def test_a_kill_in_the_middle_of_messages(federation: Federation) -> None:
    """What was logged stays; what wasn't stamped gets its stamp after the restart; nothing gets two."""
    federation.trust.away.add("/stamps")
    passed: list[str] = []
    going = threading.Event()

    def send() -> None:
        for number in range(1000):
            try:
                if federation.message(headers={"X-Road-Id": f"killed-{number}"}).status_code != 200:
                    return
            except httpx.HTTPError:
                return
            passed.append(f"killed-{number}")
            # At once: without stamps the server passes messages on for five seconds only.
            going.set()

    sender = threading.Thread(target=send)
    sender.start()
    assert going.wait(60)
    federation.civil.kill()
    sender.join(60)
    counted = "SELECT message_id, is_response, stamp FROM message_record WHERE message_id LIKE 'killed-%'"
    before = rows(federation.civil, counted)
    assert {(message_id, 1, None) for message_id in passed} <= set(before)
    assert before
    federation.trust.away.clear()
    federation.civil.start()
    federation.apis["civil"].ask("PUT", "/tokens/0/login", json={"password": PIN})
    until(lambda: rows(federation.civil, WAITING) == [(0,)])

    after = rows(federation.civil, counted)
    assert [row[:2] for row in after[: len(before)]] == [row[:2] for row in before]
    unused = "SELECT number FROM stamp_record WHERE number NOT IN (SELECT stamp FROM message_record)"
    assert rows(federation.civil, unused) == []
    assert documents(federation.civil, REGISTRY, passed[-1]).status_code == 200
