"""scripts/smartgouv federation: changes of access, drafted for approval; drift; what exists already."""

from __future__ import annotations

import time

import typer

from operate import command_line
from operate.command_line import Json, Lab, Site, require_raised
from operate.failure import ExitCode
from operate.files import exclusive
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
        workspace = open_workspace(site, lab)
        require_raised(workspace)
        with exclusive(workspace.lock_file, f"scripts/smartgouv federation propose {site}") as lock:
            run = Run(workspace, workspace.load(), report, lock)
            started = time.monotonic()
            with report.working("propose"):
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
        workspace = open_workspace(site, lab)
        require_raised(workspace)
        with exclusive(workspace.lock_file, f"scripts/smartgouv federation drift {site}") as lock:
            run = Run(workspace, workspace.load(), report, lock)
            started = time.monotonic()
            with report.working("drift"):
                found = federation.by_hand(run, pulumi_stack.recorded(run, federation.PROGRAM))
        for line in found.lines:
            report.line(line)
        report.done("drift", time.monotonic() - started, f"{len(found.lines)} things done by hand")
        report.document(found.document())
        if found.lines or found.unreachable:
            raise typer.Exit(ExitCode.FAILED)
