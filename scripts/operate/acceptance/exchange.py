"""Messages through the exchange: every declared pair of consumer and service, and every undeclared one."""

from __future__ import annotations

import json
from typing import Any, NamedTuple
from urllib.parse import quote

from estate import Estate
from estate.federation import Connection, SubsystemId
from estate.network import LISTENERS, Endpoint
from operate.acceptance import remote
from operate.acceptance.result import Check
from operate.workspace import Workspace

GROUP = "messages"
DENIED = "Server.ServerProxy.AccessDenied"
UNPROVEN = "Server.ClientProxy.SslAuthenticationFailed"
"""With connection HTTPS nobody speaks for a subsystem who hasn't its certificate (ug-ss, connection types)."""


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
    asked: dict[str, list[Pair]] = {}
    subsystems = estate.federation.subsystems()
    for pair in pairs(estate):
        asked.setdefault(subsystems[pair.consumer].security_servers[0], []).append(pair)
    answers = remote.ask(
        workspace,
        {
            server: {"http": [_request(estate, server, pair) for pair in tried]}
            for server, tried in asked.items()
        },
    )
    return [
        judged(estate, pair, answer)
        for server, tried in asked.items()
        for pair, answer in zip(tried, answers[server]["http"], strict=True)
    ]


def judged(estate: Estate, pair: Pair, answer: dict[str, Any]) -> Check:
    """A declared pair has to bring the record, an undeclared one the refusal that is due."""
    error = _error(answer)
    detail = f"status {answer['status']}, {error or 'no error'}"
    own = estate.federation.subsystems()[pair.consumer].connection
    if own is Connection.HTTPS:
        # Asked without a certificate: even what is declared has to be refused then.
        return Check(GROUP, str(pair), error == UNPROVEN, detail)
    if pair.declared:
        passed = answer["status"] == 200 and not error and _of(estate, pair) in answer["body"]
        return Check(GROUP, str(pair), passed, f"status {answer['status']}" if passed else detail)
    return Check(GROUP, str(pair), error == DENIED, detail)


def _request(estate: Estate, server: str, pair: Pair) -> dict[str, Any]:
    port = max(LISTENERS[Endpoint.INFORMATION_SYSTEMS].ports)
    instance = estate.federation.instance
    path = f"/r1/{instance}/{pair.provider}/{pair.service}/{_of(estate, pair)}"
    return {
        "url": f"https://{estate.fqdn(server)}:{port}{path}",
        "headers": {"X-Road-Client": f"{instance}/{pair.consumer}"},
    }


def _of(estate: Estate, pair: Pair) -> str:
    return _example(estate, pair.provider, pair.service)


def _example(estate: Estate, provider: SubsystemId, service: str) -> str:
    """An identifier that the sector system behind a service knows, as it stands in a path."""
    services = estate.federation.subsystems()[provider].services
    sector = next(item.sector for item in services if item.code == service)
    return quote(next(item.example for item in estate.sectors if item.name == sector), safe="")


def _error(answer: dict[str, Any]) -> str:
    """X-Road's error type; what came instead, if it isn't X-Road that refused; empty if nobody did."""
    if kind := answer["headers"].get("x-road-error"):
        return str(kind)
    if answer["status"] == 200:
        return ""
    try:
        return str(json.loads(answer["body"]).get("type", "")) or "an error of the provider's"
    except (ValueError, AttributeError):
        return str(answer["body"])[:80]
