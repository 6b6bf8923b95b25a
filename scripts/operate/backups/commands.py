"""scripts/smartgouv backup and restore: the exchange's servers off their hosts, and onto new ones."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from operate import command_line
from operate.command_line import DryRun, Json, Lab, Site, Yes
from operate.failure import ExitCode
from operate.reporting import Report

Folder = Annotated[
    Path | None, typer.Option("--folder", help="Where backups lie, instead of this machine's own folder.")
]

_LATEST = "latest"


def backup(
    site: Site,
    host: Annotated[
        list[str] | None, typer.Option("--host", help="Only this host's server; again for more.")
    ] = None,
    folder: Folder = None,
    dry_run: DryRun = False,
    lab: Lab = None,
    as_json: Json = False,
) -> None:
    """Back up the central and security servers, and bring the backups off their hosts."""
    from operate.backups import kept, taking
    from operate.backups.servers import servers

    report = Report(as_json=as_json)
    with command_line.reported(
        report, interrupted="What was brought here is whole; the same command takes the rest."
    ):
        with command_line.one_run(site, lab, "backup SITE", report) as run:
            chosen = servers(run.estate, host or [])
            place = kept.folder(run.workspace, folder)
            started = time.monotonic()
            with report.working("backup"):
                looks = taking.look(run, chosen)
                if not dry_run:
                    taken = taking.back_up(run, looks, place)
        if dry_run:
            for found in looks:
                told = found.problem or f"X-Road {found.version}, to {place / found.server.host}"
                report.line(f"would back up {found.server.host}: {found.server.identity}, {told}")
            report.document(
                {
                    "folder": str(place),
                    "servers": {found.server.host: found.problem or "ready" for found in looks},
                }
            )
        else:
            for item in taken:
                if item.failure:
                    report.warning(f"{item.server.host}: {item.failure}")
                else:
                    report.change(f"{item.server.host}: {item.path}")
            count = sum(not item.failure for item in taken)
            report.done("backup", time.monotonic() - started, f"{count} of {len(taken)} servers backed up")
            report.document({"folder": str(place), "backups": [item.document() for item in taken]})
        if any(found.problem for found in looks) or (not dry_run and any(item.failure for item in taken)):
            raise typer.Exit(ExitCode.FAILED)


def restore(
    site: Site,
    host: Annotated[str, typer.Argument(help="The host, installed anew and with the stage exchange applied.")],
    backup: Annotated[str, typer.Option("--backup", help="A backup's file, or `latest`.")] = _LATEST,
    folder: Folder = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Replace a server that isn't empty; take a backup of another system."),
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    lab: Lab = None,
    as_json: Json = False,
) -> None:
    """Bring a lost server back from its backup, with its keys and certificates, onto a new host."""
    from operate.backups import kept, restoring
    from operate.backups.servers import servers

    report = Report(as_json=as_json)
    with command_line.reported(report, interrupted="The same command goes on from here."):
        with command_line.one_run(site, lab, f"restore SITE {host}", report) as run:
            (server,) = servers(run.estate, [host])
            place = kept.folder(run.workspace, folder)
            file = kept.latest(place, host) if backup == _LATEST else Path(backup).absolute()
            again = [run.continuation, f"--backup {file}", *(["--force"] if force else [])]
            run.continuation = " ".join(again)
            chosen = restoring.examine(run, server, file, force=force)
            for line in chosen.lines():
                report.line(line)
            if chosen.manifest is None:
                report.warning(
                    "no manifest lies beside it: X-Road's version then isn't known, only that it is compatible"
                )
            if not dry_run:
                command_line.agree(f"Restore {host}?", yes=yes)
                started = time.monotonic()
                with report.working(f"restore {host}"):
                    restoring.restore(run, chosen)
                report.done("restore", time.monotonic() - started, f"{server.identity} works on {host}")
                report.line(
                    f"next     scripts/smartgouv plan {site} federation{run.workspace.lab_option('--lab')}"
                    "   # what has changed since the backup"
                )
        report.document({"result": "dry run" if dry_run else "ok", **chosen.document()})
