"""The acceptance looks at what it should and judges what it sees."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from estate import load
from estate.federation import SubsystemId
from operate.acceptance import certificates, evidence, exchange, paths, pods, probe
from operate.acceptance.result import Check
from operate.messages.answer import Answer
from operate.messages.verification import Check as Outcome
from operate.messages.verification import Verdict
from operate.workspace import Workspace


def test_forbidden_paths_are_what_no_flow_opens() -> None:
    """A citizen may reach the portal and nothing else."""
    estate = load("lab")
    citizen = estate.host("citizen1")

    tried = {(path.destination, path.port) for path in paths.forbidden(estate, citizen)}

    assert ("balancer1", 443) not in tried
    assert ("ca1", 9443) not in tried
    assert {("balancer1", 8404), ("database1", 5432), ("control1", 6443), ("worker1", 30080)} <= tried


def test_each_zone_is_seen_from_inside() -> None:
    """One observer a zone, and no router: it stands in all of them."""
    estate = load("lab")
    observers = paths.observers(estate)

    assert {host.zone for host in observers} == {zone.name for zone in estate.zones}
    assert "router1" not in {host.name for host in observers}


def test_an_answer_from_the_host_itself_fails_the_path() -> None:
    """A refusal means that the packet arrived: only silence is a drop."""
    path = paths.Path("citizen1", "public", "database1", "10.80.30.11", 5432)

    assert paths._judged("public", "data", [(path, "dropped")]).passed
    assert not paths._judged("public", "data", [(path, "refused")]).passed
    assert "citizen1 → database1:5432" in paths._judged("public", "data", [(path, "open")]).detail


def test_a_pod_is_asked_for_its_own_paths_and_for_those_of_others() -> None:
    """The portal alone reaches the exchange; nobody reaches another system's pods, the API or a node."""
    estate = load("lab")
    listed = {
        "items": [
            {
                "metadata": {"namespace": name, "name": f"{name}-1"},
                "spec": {"containers": [{"ports": [{"containerPort": 8000}]}]},
                "status": {"podIP": address},
            }
            for name, address in (
                ("portal", "10.80.131.5"),
                ("health", "10.80.132.6"),
                ("kube-system", "10.1.1.1"),
            )
        ]
    }
    running = pods.running(estate, json.dumps(listed))
    portal, health = pods.allowed(estate, "portal"), pods.allowed(estate, "health")

    assert ("names", "10.80.192.10", 53) in health
    assert {target.name for target in portal} - {target.name for target in health} == {"ss-portal"}
    tried = {(target.name, target.port) for target in pods.forbidden(estate, "health", running, health)}
    assert {("portal-1", 8000), ("control1", 6443), ("control1", 10250), ("worker1", 30080)} <= tried
    assert not {("health-1", 8000), ("database1", 5432)} & tried
    assert ("kube-system-1", 8000) not in tried


def test_a_path_of_a_pod_must_be_as_it_should() -> None:
    """Open where it is needed; elsewhere dropped, not refused."""
    target = pods.Target("database1", "10.80.30.11", 5432)

    def judged(own: str, other: str) -> list[bool]:
        return [check.passed for check in pods._judged("health", [target], [target], [own, other])]

    assert judged("open", "dropped") == [True, True]
    assert judged("dropped", "refused") == [False, False]


def test_tls_endpoints_follow_the_roles() -> None:
    """The load balancer must show a certificate for every name that it serves."""
    estate = load("lab")
    balancer = certificates.endpoints(estate, estate.host("balancer1"))
    database = certificates.endpoints(estate, estate.host("database1"))

    assert {"portal.lab.smartgouv.test", "civil-registry.services.lab.smartgouv.test"} <= {
        target["name"] for target in balancer if target["port"] == 443
    }
    assert [target["starttls"] for target in database if target["port"] == 5432] == ["postgres"]
    assert {target["port"] for target in certificates.endpoints(estate, estate.host("central1"))} == {
        443,
        4000,
        9100,
    }
    server = certificates.endpoints(estate, estate.host("ss-health"))
    assert {target["port"]: target.get("hostname", True) for target in server} == {
        4000: True,
        5500: False,
        8443: True,
        9100: True,
    }


def test_hidden_fields_are_found_in_any_order() -> None:
    """The portal's token is sent back as a browser would."""
    page = '<form><input name="csrf" value="abc" type="hidden"><input type="text" name="number"></form>'

    assert probe._hidden(page) == [("csrf", "abc")]


def test_evidence_counts_failures(tmp_path: Path) -> None:
    """JUnit and JSON say the same."""
    checks = [
        Check("requests", "birth-records", passed=True, detail="200"),
        Check("requests", "diplomas", passed=False, detail="502 <bad> & worse"),
    ]
    junit, document = evidence.write(tmp_path, checks)
    # Our own file, written a moment ago.
    suite = ET.parse(junit).getroot().find("testsuite")  # noqa: S314

    assert suite is not None
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert [item["passed"] for item in json.loads(document.read_text())] == [True, False]


PORTAL = SubsystemId("GOV", "DIGITAL", "PORTAL")
MONITORING = SubsystemId("GOV", "DIGITAL", "MONITORING")
CIVIL = SubsystemId("GOV", "CIVILREG", "REGISTRY")
RECORD = {"status": 200, "headers": {}, "body": '{"identifier": "BJ-2024-000001"}'}
DENIED = {"status": 500, "headers": {"x-road-error": "Server.ServerProxy.AccessDenied"}, "body": "{}"}


def test_every_subsystem_is_tried_with_every_service() -> None:
    """Eleven subsystems and eight services: 15 pairs are declared, and none is left out."""
    pairs = exchange.pairs(load("lab"))

    assert len(set(pairs)) == len(pairs) == 88
    assert sum(pair.declared for pair in pairs) == 15
    assert exchange.Pair(PORTAL, CIVIL, "birth-records", declared=True) in pairs
    assert exchange.Pair(CIVIL, CIVIL, "birth-records", declared=False) in pairs


@pytest.mark.parametrize(
    ("consumer", "declared", "answer", "passes"),
    [
        (PORTAL, True, RECORD, True),
        (PORTAL, True, DENIED, False),
        (PORTAL, True, {**RECORD, "body": "{}"}, False),
        (PORTAL, True, {"status": 404, "headers": {}, "body": "BJ-2024-000001"}, False),
        (PORTAL, False, DENIED, True),
        (PORTAL, False, RECORD, False),
        (PORTAL, False, {"status": 0, "headers": {}, "body": "timed out"}, False),
        (PORTAL, False, {**DENIED, "headers": {"x-road-error": "Server.ServerProxy.UnknownService"}}, False),
        (MONITORING, False, DENIED, False),
        (
            MONITORING,
            False,
            {**DENIED, "headers": {"x-road-error": "Server.ClientProxy.SslAuthenticationFailed"}},
            True,
        ),
    ],
)
def test_a_pair_is_judged_by_the_answer_that_is_due(
    consumer: SubsystemId, declared: bool, answer: dict[str, Any], passes: bool
) -> None:
    """A refusal for another reason than the missing right proves nothing about rights."""
    pair = exchange.Pair(consumer, CIVIL, "birth-records", declared)

    assert exchange.judged(load("lab"), pair, answer).passed is passes


@pytest.fixture
def given_out(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What servers answer when they are asked for documents, and what they were asked."""
    given: dict[str, Any] = {"answer": {"status": 200, "headers": {}, "body": "UEs="}, "asked": {}}

    def ask(_: object, questions: dict[str, Any]) -> dict[str, Any]:
        given["asked"] = {
            server: [item["url"] for item in asked["http"]] for server, asked in questions.items()
        }
        return {server: {"http": [given["answer"]] * len(asked["http"])} for server, asked in questions.items()}

    monkeypatch.setattr(exchange.remote, "ask", ask)
    return given


def documents_of_a_message(tmp_path: Path) -> list[Check]:
    pair = exchange.Pair(PORTAL, CIVIL, "birth-records", declared=True)
    return exchange.check_documents(Workspace("lab", tmp_path, "lab"), load("lab"), [(pair, "m 1")])


def verdicts(*passed: bool) -> Callable[..., Answer]:
    """Answers of the verification: a container each, with one check."""
    found = [Verdict("c.asice", [Outcome("signature", one, "it isn't the signer's")]) for one in passed]
    return lambda file, _root: Answer(file, found, None)


def test_both_servers_are_asked_for_the_documents(
    given_out: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each in the name of its own client; request and response have to be provable."""
    monkeypatch.setattr(exchange.documents, "verify", verdicts(True, True))

    checks = documents_of_a_message(tmp_path)

    assert [check.passed for check in checks] == [True, True]
    assert {server: [url.partition("?")[2] for url in urls] for server, urls in given_out["asked"].items()} == {
        server: [
            f"queryId=m+1&xRoadInstance=BJ-LAB&memberClass=GOV&memberCode={code}&subsystemCode={sub}&force="
        ]
        for server, code, sub in (
            ("ss-portal", "DIGITAL", "PORTAL"),
            ("ss-civil-registry", "CIVILREG", "REGISTRY"),
        )
    }


@pytest.mark.parametrize("found", [(True,), (True, False), ()])
def test_a_document_that_proves_nothing_fails(
    found: tuple[bool, ...], given_out: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So does a request without its response."""
    monkeypatch.setattr(exchange.documents, "verify", verdicts(*found))

    assert not any(check.passed for check in documents_of_a_message(tmp_path))
    assert given_out["asked"]


def test_documents_that_are_refused_or_damaged_fail(given_out: dict[str, Any], tmp_path: Path) -> None:
    """With what was said of them."""
    (tmp_path / "root.crt").write_text("no certificate", "ascii")
    assert "can't be used as the root" in documents_of_a_message(tmp_path)[0].detail

    given_out["answer"] = {"status": 404, "headers": {}, "body": "No signed documents found"}
    assert [check.detail for check in documents_of_a_message(tmp_path)] == [
        "status 404, No signed documents found"
    ] * 2
