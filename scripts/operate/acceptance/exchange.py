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
    """Every subsystem with every service; its own are no exception, as X-Road makes none."""
    declared = {
        (holder, SubsystemId.parse(right.provider), service)
        for right in estate.federation.access_rights
        for holder in estate.federation.holders(right)
        for service in right.services
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
        passed = answer["status"] == 200 and not error and _example(estate, pair) in answer["body"]
        return Check(GROUP, str(pair), passed, f"status {answer['status']}" if passed else detail)
    return Check(GROUP, str(pair), error == DENIED, detail)


def _request(estate: Estate, server: str, pair: Pair) -> dict[str, Any]:
    port = max(LISTENERS[Endpoint.INFORMATION_SYSTEMS].ports)
    instance = estate.federation.instance
    path = f"/r1/{instance}/{pair.provider}/{pair.service}/{quote(_example(estate, pair), safe='')}"
    return {
        "url": f"https://{estate.fqdn(server)}:{port}{path}",
        "headers": {"X-Road-Client": f"{instance}/{pair.consumer}"},
    }


def _example(estate: Estate, pair: Pair) -> str:
    """An identifier that the sector system behind the service knows."""
    services = estate.federation.subsystems()[pair.provider].services
    sector = next(service.sector for service in services if service.code == pair.service)
    return next(item.example for item in estate.sectors if item.name == sector)


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
