"""Citizens' requests through the portal, and requests that the exchange must refuse."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any

from estate import Estate
from estate.federation import Connection, SubsystemId
from estate.host import Role
from estate.network import LISTENERS, Endpoint
from estate.platform import Sector
from operate.acceptance import remote
from operate.acceptance.result import Check
from operate.workspace import Workspace

LANGUAGE = "fr"


def check(workspace: Workspace, estate: Estate) -> list[Check]:
    """For each sector, a citizen asks on the portal's page and reads the record on the answer."""
    citizen = _citizen(estate)
    visit = {
        "base": f"https://{estate.portal.host_name}",
        "requests": [
            {"path": service_path(sector), "fields": {"identifier": sector.example}}
            for sector in estate.sectors
        ],
    }
    pages = remote.ask(workspace, {citizen: {"portal": visit}})[citizen]["portal"]
    return [_judged(sector, page) for sector, page in zip(estate.sectors, pages, strict=True)]


def service_path(sector: Sector) -> str:
    """The page of a sector's service on the portal."""
    return f"/{LANGUAGE}/services/{sector.collection}/"


def _judged(sector: Sector, page: dict[str, Any]) -> Check:
    body = unescape(page["body"])
    message = re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", body)
    shown = sector.example in body
    passed = page["status"] == 200 and shown and message is not None
    detail = f"answered, message {message.group(0)}" if passed and message else f"status {page['status']}"
    if not passed:
        detail += "" if shown else "; the page doesn't show the record"
        detail += "" if message else "; the page names no message"
    return Check("citizens' requests", f"{sector.name.value}: {sector.collection}", passed, detail)


def check_refusals(workspace: Workspace, estate: Estate) -> list[Check]:
    """Who may connect without a certificate asks for what it has no right to: AccessDenied must come."""
    federation = estate.federation
    subsystems = federation.subsystems()
    rights = {
        (SubsystemId.parse(right.client), SubsystemId.parse(right.provider), service)
        for right in federation.access_rights
        for service in right.services
    }
    port = max(LISTENERS[Endpoint.INFORMATION_SYSTEMS].ports)
    asked: dict[str, list[dict[str, Any]]] = {}
    names: dict[str, list[str]] = {}
    for client, own in subsystems.items():
        if own.connection is not Connection.HTTPS_NO_AUTH:
            continue
        for provider, other in subsystems.items():
            for service in other.services:
                if (client, provider, service.code) in rights:
                    continue
                # Asked on the client's own security server, as its information system would.
                server = f"https://{estate.fqdn(own.security_server)}:{port}"
                url = f"{server}/r1/{federation.instance}/{provider}/{service.code}"
                headers = {"X-Road-Client": f"{federation.instance}/{client}"}
                asked.setdefault(own.security_server, []).append({"url": url, "headers": headers})
                names.setdefault(own.security_server, []).append(f"{client} → {provider}/{service.code}")
    answers = remote.ask(workspace, {host: {"http": requests} for host, requests in asked.items()})
    return [
        _refused(name, answer)
        for host, called in names.items()
        for name, answer in zip(called, answers[host]["http"], strict=True)
    ]


def _refused(name: str, answer: dict[str, Any]) -> Check:
    kind = answer["headers"].get("x-road-error", "")
    try:
        kind = kind or json.loads(answer["body"]).get("type", "")
    except ValueError:
        kind = kind or answer["body"][:80]
    passed = kind == "Server.ServerProxy.AccessDenied"
    return Check("refused requests", name, passed, f"status {answer['status']}, {kind or 'no error type'}")


def _citizen(estate: Estate) -> str:
    """A host outside the platform: it carries no role and stands where citizens do."""
    starts = {zone for flow in estate.flows if Endpoint.HTTPS in flow.to for zone in flow.source.zones}
    for host in estate.hosts:
        if not host.roles and host.zone in starts:
            return host.name
    return estate.hosts_with(Role.LOAD_BALANCER)[0].name
