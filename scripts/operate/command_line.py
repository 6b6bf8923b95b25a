"""Ending a command as people and programs expect: messages without tracebacks, exact exit codes."""

from __future__ import annotations

import errno
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from operate.failure import ExitCode, Failure
from operate.files import disk_full, exclusive
from operate.locations import state_home
from operate.reporting import Report
from operate.run import Run
from operate.workspace import Workspace, open_workspace

Site = Annotated[str, typer.Argument(help="A site under inventories/.")]
Lab = Annotated[str | None, typer.Option("--lab", help="Which lab, where the site is one.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, for programs.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Don't ask: a person agreed.")]
AllowPrune = Annotated[
    bool,
    typer.Option("--allow-prune", help="Members may leave the federation, and access may be taken away."),
]


def run(application: typer.Typer, program: str) -> NoReturn:
    """Run the application with the command line's arguments and exit."""
    # A service manager that stops the run, or a terminal that closes, ends it as Ctrl-C does.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    application(prog_name=program)
    raise SystemExit(ExitCode.OK)


@contextmanager
def reported(report: Report, *, interrupted: str = "") -> Iterator[None]:
    """End a command whose block fails with the failure's message and exit code.

    `interrupted` is what people read after Ctrl-C: how the work can be taken up again.
    """
    try:
        yield
    except Failure as failure:
        _fail(report, failure)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        # A failed write, unlike a failed opening, doesn't name its file.
        _fail(report, disk_full(Path(error.filename).parent if error.filename else state_home()))
    except KeyboardInterrupt:
        report.warning(f"stopped. {interrupted}".strip())
        report.document({"result": "interrupted"})
        raise typer.Exit(ExitCode.INTERRUPTED) from None


@contextmanager
def one_run(site: str, lab: str | None, words: str, report: Report) -> Iterator[Run]:
    """A run over the site, alone in its workspace; `words` are what was typed, `SITE` for the site's name."""
    workspace = open_workspace(site, lab)
    require_raised(workspace)
    again = f"scripts/smartgouv {words.replace('SITE', site)}{workspace.lab_option('--lab')}"
    with exclusive(workspace.lock_file, again) as lock:
        yield Run(workspace, workspace.load(), report, lock, again)


def agree(question: str, *, yes: bool) -> None:
    """Go on if a person agrees, or agreed already. Failure where nobody can be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Failure("nobody is here to agree", next_step="# say --yes", code=ExitCode.BAD_INPUT)
    if not typer.confirm(question, err=True):
        raise Failure("not agreed; nothing was done")


def _fail(report: Report, failure: Failure) -> NoReturn:
    report.failure(failure)
    report.document({"result": "failed", "message": failure.message, "details": failure.details})
    raise typer.Exit(failure.code) from None


def require_raised(workspace: Workspace) -> None:
    """A lab is raised by scripts/lab, which knows this machine; its overlay shows that it was."""
    if workspace.lab is not None and not workspace.overlay_file.exists():
        raise Failure(
            f"lab '{workspace.lab}' doesn't exist on this machine",
            next_step=workspace.lab_command("up"),
        )
