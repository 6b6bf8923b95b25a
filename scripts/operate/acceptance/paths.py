"""Paths between zones: what the estate doesn't allow must be dropped, seen from a host of each zone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from estate import Estate
from estate.host import Host
from estate.network import LISTENERS
from estate.types import Protocol
from operate.acceptance import remote
from operate.acceptance.result import Check
from operate.workspace import Workspace


class Path(NamedTuple):
    """A TCP connection that somebody might try."""

    source: str
    zone: str
    destination: str
    address: str
    port: int


def forbidden(estate: Estate, source: Host) -> Iterator[Path]:
    """Every listener of another host that no flow opens to `source`."""
    opened = {
        (rule.destination, port)
        for rule in estate.rules()
        for port in rule.ports
        if any(source.address in network for network in rule.sources)
    }
    for host in estate.hosts:
        if host.name == source.name:
            continue
        offered = {
            port
            for listener in LISTENERS.values()
            if listener.protocol is Protocol.TCP
            and (not listener.roles or not listener.roles.isdisjoint(host.roles))
            for port in listener.ports
        }
        for port in sorted(offered):
            if (host.address, port) not in opened:
                yield Path(source.name, source.zone, host.name, str(host.address), port)


def observers(estate: Estate) -> list[Host]:
    """One host of each zone; routers stand in all zones, so they see nothing of the filters."""
    found: dict[str, Host] = {}
    for host in estate.hosts:
        if not host.legs:
            found.setdefault(host.zone, host)
    return list(found.values())


def check(workspace: Workspace, estate: Estate) -> list[Check]:
    """A check for each pair of zones. A refusal by the host itself also fails: the packet arrived."""
    paths = {host.name: list(forbidden(estate, host)) for host in observers(estate)}
    answers = remote.ask(
        workspace,
        {name: {"connect": [[path.address, path.port] for path in tried]} for name, tried in paths.items()},
    )
    results: dict[tuple[str, str], list[tuple[Path, str]]] = {}
    for name, tried in paths.items():
        for path, answer in zip(tried, answers[name]["connect"], strict=True):
            zone = estate.host(path.destination).zone
            results.setdefault((path.zone, zone), []).append((path, answer))
    return [_judged(start, end, found) for (start, end), found in results.items()]


def _judged(start: str, end: str, found: list[tuple[Path, str]]) -> Check:
    passed = [path for path, answer in found if answer != "dropped"]
    detail = f"{len(found)} paths dropped"
    if passed:
        shown = ", ".join(f"{p.source} → {p.destination}:{p.port}" for p in passed[:5])
        detail = f"{len(passed)} of {len(found)} paths are open: {shown}"
    return Check("forbidden paths", f"{start} → {end}", not passed, detail)
