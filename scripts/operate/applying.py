"""Applying a site: a run over stages, its result for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence

from estate import Estate
from operate import stages
from operate.failure import ExitCode, Failure
from operate.files import require_room
from operate.reporting import Report
from operate.run import Run
from operate.stages import Stage, StageRecord
from operate.workspace import Workspace

_ROOM_MEBIBYTES = 50
"""A run's logs and states, many times over: a full disk in the middle of a run is told, but later."""


def apply(
    workspace: Workspace,
    report: Report,
    *,
    lock: int,
    only: str | None = None,
    first: str | None = None,
    until: str | None = None,
    hosts: Sequence[str] = (),
    allow_prune: bool = False,
) -> list[StageRecord]:
    """Apply the chosen stages of the workspace's site, to these hosts or to all. Hold the workspace's lock."""
    chosen = _until(stages.selected(only, first), until)
    require_room(workspace.directory, _ROOM_MEBIBYTES)
    estate = workspace.load()
    run = Run(workspace, estate, report, lock, hosts=_known(hosts, estate), allow_prune=allow_prune)
    records = stages.apply(run, chosen)
    report.line(stages.summary(records))
    report.document(stages.document(run, records, "ok"))
    return records


def plan(
    workspace: Workspace,
    report: Report,
    *,
    only: str | None = None,
    first: str | None = None,
    hosts: Sequence[str] = (),
) -> list[StageRecord]:
    """Say what an apply of the chosen stages would do."""
    estate = workspace.load()
    run = Run(workspace, estate, report, hosts=_known(hosts, estate))
    records = stages.plan(run, stages.selected(only, first))
    report.document(stages.document(run, records, "planned"))
    return records


def _known(hosts: Sequence[str], estate: Estate) -> Sequence[str]:
    """The hosts, all of which the estate has. Failure that names its own if it lacks one."""
    names = [host.name for host in estate.hosts]
    for host in hosts:
        if host not in names:
            raise Failure(
                f"there's no host '{host}'", details="hosts: " + ", ".join(names), code=ExitCode.BAD_INPUT
            )
    return hosts


def _until(chosen: Sequence[Stage], last: str | None) -> Sequence[Stage]:
    if last is None:
        return chosen
    stages.selected(last, None)
    names = [stage.name for stage in chosen]
    return chosen[: names.index(last) + 1] if last in names else ()
