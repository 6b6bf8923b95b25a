"""Citizens' requests through the portal."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

from estate import Estate
from estate.host import Role
from estate.network import Endpoint
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
    return Check("citizens' requests", f"{sector.name}: {sector.collection}", passed, detail)


def _citizen(estate: Estate) -> str:
    """A host outside the platform: it carries no role and stands where citizens do."""
    starts = {zone for flow in estate.flows if Endpoint.HTTPS in flow.to for zone in flow.source.zones}
    for host in estate.hosts:
        if not host.roles and host.zone in starts:
            return host.name
    return estate.hosts_with(Role.LOAD_BALANCER)[0].name
