"""scripts/smartgouv recover: a cluster whose etcd lost its majority, on one control plane that is left."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

import typer

from estate import Estate
from estate.host import Role
from operate import command_line, remote
from operate.command_line import DryRun, Json, Lab, Site, Yes
from operate.failure import ExitCode, Failure
from operate.playbooks import run_playbook
from operate.reporting import Report
from operate.run import Run

_TOOL = "/usr/local/sbin/etcd-snapshot"
_FOLDER = "/var/lib/etcd-snapshots"
_TIME = "%Y%m%dT%H%M%SZ"


def recover(
    site: Site,
    host: Annotated[str, typer.Argument(help="The control plane that is to go on.")],
    gone: Annotated[
        list[str] | None,
        typer.Option("--gone", help="A silent control plane whose disk never comes back; again for more."),
    ] = None,
    snapshot: Annotated[
        str | None,
        typer.Option("--snapshot", help="The time of a kept snapshot to use, instead of the newest."),
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    lab: Lab = None,
    as_json: Json = False,
) -> None:
    """Let the Kubernetes cluster go on with one control plane, where etcd has lost its majority for good."""
    report = Report(as_json=as_json)
    with command_line.reported(report, interrupted="The same command goes on from here."):
        words = [f"recover SITE {host}", *(f"--gone {name}" for name in gone or [])]
        words += [f"--snapshot {snapshot}"] if snapshot else []
        with command_line.one_run(site, lab, " ".join(words), report) as run:
            others = _others(run.estate, host, gone or [])
            kept = _kept(run, host)
            if snapshot is not None and snapshot not in kept:
                raise Failure(
                    f"{host} has no snapshot {snapshot}",
                    details=f"in {_FOLDER}: " + (", ".join(kept[-8:]) or "none"),
                    code=ExitCode.BAD_INPUT,
                )
            for line in _lines(host, others, gone or [], kept, snapshot):
                report.line(line)
            recovery = {"gone": gone or [], "snapshot": f"{_FOLDER}/{snapshot}.db" if snapshot else ""}
            changed = _recover(run, host, recovery, dry_run=dry_run, yes=yes)
            if not dry_run:
                again = f"{run.workspace.apply_command} --stage cluster"
                report.line(f"next     {again}   # {', '.join(others)} join again")
                report.line("         where a machine was made anew, first its stages base and trust")
        report.document(
            {
                "result": "dry run" if dry_run else "ok",
                "host": host,
                "gone": gone or [],
                "snapshot": snapshot or "latest",
                "kept": kept,
                "changed": changed,
            }
        )


def _others(estate: Estate, host: str, gone: list[str]) -> list[str]:
    """The other control planes. Failure where a name is of none."""
    names = [item.name for item in estate.hosts_with(Role.KUBERNETES_CONTROL_PLANE)]
    for name in (host, *gone):
        if name not in names:
            raise Failure(
                f"'{name}' is no control plane",
                details="control planes: " + ", ".join(names),
                code=ExitCode.BAD_INPUT,
            )
    if host in gone:
        raise Failure(f"'{host}' can't be gone: it is to go on", code=ExitCode.BAD_INPUT)
    return [name for name in names if name != host]


def _kept(run: Run, host: str) -> list[str]:
    """Times of the snapshots that the host keeps, the last one last."""
    found = remote.output(run.workspace, host, "sudo", _TOOL, "list", purpose="listing the snapshots of etcd")
    return sorted(found.split())


def _lines(host: str, others: list[str], gone: list[str], kept: list[str], snapshot: str | None) -> list[str]:
    """What will be done, for people."""
    last = kept[-1] if kept else "none"
    source = f"snapshot {snapshot}" if snapshot else f"what etcd has now; if it doesn't run, snapshot {last}"
    age = f", {_age(snapshot or last)}" if kept else ""
    return [
        f"recover  etcd on {host}, as its only member",
        f"from     {source}{age}",
        f"then     {', '.join(others)} have no part of the cluster any more, and join it as new ones",
        f"kept     what was there, in {_FOLDER}/before-…, until you remove it",
        *(f"gone     {name}: if it ever starts with its present disk, there are two clusters" for name in gone),
    ]


def _age(moment: str) -> str:
    taken = datetime.strptime(moment, _TIME).replace(tzinfo=UTC)
    return f"{(datetime.now(UTC) - taken).total_seconds() / 60:.0f} min old"


def _recover(
    run: Run,
    host: str,
    recovery: Mapping[str, object],
    *,
    dry_run: bool,
    yes: bool,
) -> int:
    """Run the playbook, or only see whether it would be refused; how many things changed."""
    report = run.report
    # Refusals come before anybody is asked.
    with report.working("examine"):
        _play(run, host, recovery, check=True)
    if dry_run:
        return 0
    command_line.agree(f"Recover the cluster on {host}?", yes=yes)
    began, result, changed = time.monotonic(), "failed", 0
    try:
        with report.working(f"recover {host}"):
            changed = _play(run, host, recovery)
        result = "ok"
    finally:
        run.record(
            f"recover {host}", result=result, changed=changed, seconds=round(time.monotonic() - began, 1)
        )
    report.done("recover", time.monotonic() - began, f"the cluster serves, with {host} alone")
    return changed


def _play(run: Run, host: str, recovery: Mapping[str, object], *, check: bool = False) -> int:
    return run_playbook(
        run.workspace,
        "recover_cluster",
        run.report,
        check=check,
        lock=run.lock,
        hosts=[host],
        variables={"kubernetes_recovery": recovery},
    ).changed
