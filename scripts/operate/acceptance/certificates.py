"""Every TLS endpoint shows a certificate that chains to the site's root and carries the right name."""

from __future__ import annotations

from typing import Any

from estate import Estate
from estate.host import Host
from estate.network import LISTENERS, Endpoint, Shown
from operate.acceptance import remote
from operate.acceptance.result import Check
from operate.workspace import Workspace


def endpoints(estate: Estate, host: Host) -> list[dict[str, Any]]:
    """TLS endpoints of a host, in the probe's words."""
    found: list[dict[str, Any]] = []
    for endpoint, listener in LISTENERS.items():
        tls = listener.tls
        if tls is None or host not in estate.offering(endpoint):
            continue
        target: dict[str, Any] = {"address": str(host.address), "port": tls.port, "name": estate.fqdn(host)}
        if tls.starttls is not None:
            target["starttls"] = tls.starttls
        if tls.shows is Shown.MEMBER:
            target["hostname"] = False
        names = estate.aliases(host) if endpoint is Endpoint.HTTPS else ()
        found.extend({**target, "name": name} for name in (target["name"], *names))
    return found


def check(workspace: Workspace, estate: Estate) -> list[Check]:
    """A check for each host with all its endpoints."""
    targets = {host.name: endpoints(estate, host) for host in estate.hosts}
    answers = remote.ask(workspace, {name: {"tls": asked} for name, asked in targets.items()})
    checks = []
    for name, asked in targets.items():
        seen = answers[name]["tls"]
        wrong = [
            f"{target['name']}:{target['port']}: {answer['detail']}"
            for target, answer in zip(asked, seen, strict=True)
            if not answer["ok"]
        ]
        detail = "; ".join(wrong) or f"{len(asked)} endpoints chain to the root"
        checks.append(Check("certificates", name, not wrong, detail))
    return checks
