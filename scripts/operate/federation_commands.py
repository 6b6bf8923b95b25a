"""scripts/smartgouv federation: changes of access, drafted for approval; drift; what exists already."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from operate import command_line
from operate.command_line import Json, Lab, Site, require_raised
from operate.failure import ExitCode
from operate.files import exclusive, write_atomically
from operate.reporting import Report
from operate.run import Run
from operate.workspace import open_workspace

application = typer.Typer(help="The federation: who takes part and who may call what.", no_args_is_help=True)


@application.command()
def propose(site: Site, lab: Lab = None, as_json: Json = False) -> None:
    """Write the draft of a change of access rights, for approvers to read and sign."""
    from operate import federation, pulumi_stack

    report = Report(as_json=as_json)
    with command_line.reported(report):
        started = time.monotonic()
        with _run(site, lab, "propose", report) as run:
            found = federation.meaning(run, pulumi_stack.recorded(run, federation.PROGRAM))
            federation.tell(run, found)
            draft = federation.propose(run, found)
        report.done("propose", time.monotonic() - started, str(draft))
        report.document({"draft": str(draft), **found.document()})


@application.command("drift")
def show_drift(site: Site, lab: Lab = None, as_json: Json = False) -> None:
    """Find what was done by hand since the last apply. Ends with 1 if there is anything."""
    from operate import federation, pulumi_stack

    report = Report(as_json=as_json)
    with command_line.reported(report):
        started = time.monotonic()
        with _run(site, lab, "drift", report) as run:
            found = federation.by_hand(run, pulumi_stack.recorded(run, federation.PROGRAM))
        for line in found.lines:
            report.line(line)
        report.done("drift", time.monotonic() - started, f"{len(found.lines)} things done by hand")
        report.document(found.document())
        if found.lines or found.unreachable:
            raise typer.Exit(ExitCode.FAILED)


@application.command("import")
def import_(
    site: Site,
    output: Annotated[
        Path | None, typer.Option("--output", help="Write the data to this file, not to standard output.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print: leave the state of applies as it is.")
    ] = False,
    lab: Lab = None,
    as_json: Json = False,
) -> None:
    """Print the federation that exists as a site's federation.yml, and take it over into the state.

    Writes nothing to any server. Ends with 1 if something exists that the data can't say.
    """
    from operate import federation

    # The data goes to standard output, so people read beside it.
    report = Report(as_json=True)
    with command_line.reported(report, interrupted="Nothing was written to any server."):
        started = time.monotonic()
        with _run(site, lab, "import", report) as run:
            composed, count = federation.bring_in(run, adopt=not dry_run)
        for sentence in composed.untold:
            report.warning(sentence)
        if composed.groundless:
            report.warning(f"{composed.groundless} rights have no ground yet: look for 'Imported'")
        taken = "looked at" if dry_run else "taken over"
        report.done("import", time.monotonic() - started, f"{count} objects {taken}")
        if output is not None:
            write_atomically(output, composed.text())
        if as_json:
            found = {"objects": count, "untold": composed.untold, "groundless": composed.groundless}
            report.document({**found, "data": composed.document})
        elif output is None:
            typer.echo(composed.text(), nl=False)
        if composed.untold:
            raise typer.Exit(ExitCode.FAILED)


@contextmanager
def _run(site: str, lab: str | None, verb: str, report: Report) -> Iterator[Run]:
    """A run over the site, alone in its workspace, with progress shown."""
    workspace = open_workspace(site, lab)
    require_raised(workspace)
    with (
        exclusive(workspace.lock_file, f"scripts/smartgouv federation {verb} {site}") as lock,
        report.working(verb),
    ):
        yield Run(workspace, workspace.load(), report, lock)
