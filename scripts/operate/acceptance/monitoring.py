"""Prometheus sees every host up."""

from __future__ import annotations

import json
import time

from estate import Estate
from estate.host import Role
from estate.network import LISTENERS, Endpoint
from operate.acceptance import remote
from operate.acceptance.result import Check
from operate.workspace import Workspace


def check(workspace: Workspace, estate: Estate) -> list[Check]:
    """A check for each monitoring host: the metric `up` of every host's exporter is 1."""
    port = LISTENERS[Endpoint.PROMETHEUS].port
    checks = []
    for monitor in estate.hosts_with(Role.MONITORING):
        url = f"https://{estate.fqdn(monitor)}:{port}/api/v1/query?query=up%7Bjob%3D%22node%22%7D"
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            answers = remote.ask(workspace, {monitor.name: {"http": [{"url": url}]}})
            answer = answers[monitor.name]["http"][0]
            found = _judged(estate, monitor.name, answer["status"], answer["body"])
            if found.passed or time.monotonic() > deadline:
                break
            time.sleep(5)
        checks.append(found)
    return checks


PATIENCE_SECONDS = 75
"""A target that was just added is asked within one interval, and the intervals are spread."""


def _judged(estate: Estate, monitor: str, status: int, body: str) -> Check:
    if status != 200:
        return Check("monitoring", monitor, passed=False, detail=f"Prometheus answers {status}: {body[:120]}")
    series = json.loads(body)["data"]["result"]
    up = {item["metric"]["instance"].split(":")[0] for item in series if item["value"][1] == "1"}
    down = [host.name for host in estate.hosts if not {estate.fqdn(host), host.name, str(host.address)} & up]
    detail = f"not up: {', '.join(down)}" if down else f"{len(estate.hosts)} hosts up"
    return Check("monitoring", monitor, not down, detail)
