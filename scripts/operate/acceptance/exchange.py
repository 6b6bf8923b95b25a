"""Messages through the exchange: every declared pair of consumer and service, and every undeclared one.

What got through has to be provable afterwards: both servers give out the signed documents, and each is
checked with the root certificate alone.
"""

from __future__ import annotations

import base64
import json
import tempfile
import uuid
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from estate import Estate
from estate.federation import Connection, SubsystemId
from estate.network import LISTENERS, Endpoint
from operate.acceptance import remote
from operate.acceptance.result import Check
from operate.failure import Failure
from operate.messages import answer as documents
from operate.workspace import Workspace

GROUP = "messages"
DOCUMENTS = "signed documents"
DENIED = "Server.ServerProxy.AccessDenied"
UNPROVEN = "Server.ClientProxy.SslAuthenticationFailed"
"""With connection HTTPS nobody speaks for a subsystem who hasn't its certificate (ug-ss, connection types)."""


_BOTH = 2
"""A request and its response."""


class Pair(NamedTuple):
    """A subsystem that could call a service, and whether the estate says that it may."""

    consumer: SubsystemId
    provider: SubsystemId
    service: str
    declared: bool

    def __str__(self) -> str:
        return f"{self.consumer} → {self.provider}/{self.service}"


def pairs(estate: Estate) -> list[Pair]:
    """Every subsystem with every service; its own are no exception, as X-Road makes none.

    A right that is narrowed to endpoints counts if one of them covers the request that is made.
    """
    declared = {
        (holder, SubsystemId.parse(right.provider), service)
        for right in estate.federation.access_rights
        for service in right.services
        if not right.endpoints
        or any(
            endpoint.covers("GET", f"/{_example(estate, SubsystemId.parse(right.provider), service)}")
            for endpoint in right.endpoints
        )
        for holder in estate.federation.holders(right)
    }
    subsystems = estate.federation.subsystems()
    return [
        Pair(consumer, provider, service.code, (consumer, provider, service.code) in declared)
        for consumer in subsystems
        for provider, offering in subsystems.items()
        for service in offering.services
    ]


def check(workspace: Workspace, estate: Estate) -> list[Check]:
    """Ask for each pair on the consumer's own security server, as its information system would."""
    asked: dict[str, list[tuple[Pair, str]]] = {}
    subsystems = estate.federation.subsystems()
    for pair in pairs(estate):
        server = subsystems[pair.consumer].security_servers[0]
        asked.setdefault(server, []).append((pair, f"acceptance-{uuid.uuid4()}"))
    answers = remote.ask(
        workspace,
        {
            server: {"http": [_request(estate, server, pair, message) for pair, message in tried]}
            for server, tried in asked.items()
        },
    )
    checks, passed = [], []
    for server, tried in asked.items():
        for (pair, message), answer in zip(tried, answers[server]["http"], strict=True):
            checks.append(judged(estate, pair, answer))
            if pair.declared and checks[-1].passed and answer["status"] == HTTPStatus.OK:
                passed.append((pair, message))
    return [*checks, *check_documents(workspace, estate, passed)]


def check_documents(workspace: Workspace, estate: Estate, messages: Sequence[tuple[Pair, str]]) -> list[Check]:
    """Have the signed documents of messages from the servers of both sides, and check them offline."""
    subsystems = estate.federation.subsystems()
    asked: dict[str, list[tuple[Pair, str, SubsystemId]]] = {}
    for pair, message in messages:
        for side in (pair.consumer, pair.provider):
            if subsystems[side].connection is not Connection.HTTPS:
                asked.setdefault(subsystems[side].security_servers[0], []).append((pair, message, side))
    answers = remote.ask(
        workspace,
        {
            server: {"http": [_document(estate, server, message, side) for _, message, side in wanted]}
            for server, wanted in asked.items()
        },
    )
    return [
        _provable(workspace, pair, server, answer)
        for server, wanted in asked.items()
        for (pair, _, _), answer in zip(wanted, answers[server]["http"], strict=True)
    ]


def _provable(workspace: Workspace, pair: Pair, server: str, answer: dict[str, Any]) -> Check:
    name = f"{pair}, at {server}"
    if answer["status"] != HTTPStatus.OK:
        return Check(DOCUMENTS, name, False, f"status {answer['status']}, {answer['body'][:80]}")
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "messages.zip")
        file.write_bytes(base64.b64decode(answer["body"]))
        try:
            found = documents.verify(file, workspace.root_certificate)
        except Failure as failure:
            return Check(DOCUMENTS, name, False, failure.message)
    broken = [
        f"{check.name}: {check.text}"
        for verdict in found.verdicts
        for check in verdict.checks
        if not check.passed
    ]
    detail = broken[0] if broken else f"{len(found.verdicts)} documents prove who sent what, and when"
    return Check(DOCUMENTS, name, found.valid and len(found.verdicts) == _BOTH, detail)


def judged(estate: Estate, pair: Pair, answer: dict[str, Any]) -> Check:
    """A declared pair has to bring the record, an undeclared one the refusal that is due."""
    error = _error(answer)
    detail = f"status {answer['status']}, {error or 'no error'}{_told(answer)}"
    own = estate.federation.subsystems()[pair.consumer].connection
    if own is Connection.HTTPS:
        # Asked without a certificate: even what is declared has to be refused then.
        return Check(GROUP, str(pair), error == UNPROVEN, detail)
    if pair.declared:
        passed = answer["status"] == HTTPStatus.OK and not error and _of(estate, pair) in answer["body"]
        return Check(GROUP, str(pair), passed, f"status {answer['status']}" if passed else detail)
    return Check(GROUP, str(pair), error == DENIED, detail)


def _request(estate: Estate, server: str, pair: Pair, message: str) -> dict[str, Any]:
    instance = estate.federation.instance
    path = f"/r1/{instance}/{pair.provider}/{pair.service}/{_of(estate, pair)}"
    return {
        "url": f"{_at(estate, server)}{path}",
        "headers": {"X-Road-Client": f"{instance}/{pair.consumer}", "X-Road-Id": message},
    }


def _document(estate: Estate, server: str, message: str, side: SubsystemId) -> dict[str, Any]:
    """Ask for the containers of request and response as one of the server's clients; stamped now if need be."""
    wanted = {
        "queryId": message,
        "xRoadInstance": estate.federation.instance,
        "memberClass": side.member_class,
        "memberCode": side.member,
        "subsystemCode": side.subsystem,
        "force": "",
    }
    return {"url": f"{_at(estate, server)}/asic?{urlencode(wanted)}", "binary": True}


def _at(estate: Estate, server: str) -> str:
    return f"https://{estate.fqdn(server)}:{max(LISTENERS[Endpoint.INFORMATION_SYSTEMS].ports)}"


def _of(estate: Estate, pair: Pair) -> str:
    return _example(estate, pair.provider, pair.service)


def _example(estate: Estate, provider: SubsystemId, service: str) -> str:
    """An identifier that the sector system behind a service knows, as it stands in a path."""
    services = estate.federation.subsystems()[provider].services
    sector = next(item.sector for item in services if item.code == service)
    return quote(next(item.example for item in estate.sectors if item.name == sector), safe="")


def _told(answer: dict[str, Any]) -> str:
    """What X-Road says about its error beside the type; empty without one."""
    try:
        message = json.loads(answer["body"])["message"] if "x-road-error" in answer["headers"] else ""
    except (ValueError, TypeError, KeyError):
        message = ""
    return f": {str(message)[:160]}" if message else ""


def _error(answer: dict[str, Any]) -> str:
    """X-Road's error type; what came instead, if it isn't X-Road that refused; empty if nobody did."""
    if kind := answer["headers"].get("x-road-error"):
        return str(kind)
    if answer["status"] == HTTPStatus.OK:
        return ""
    try:
        return str(json.loads(answer["body"]).get("type", "")) or "an error of the provider's"
    except (ValueError, AttributeError):
        return str(answer["body"])[:80]
