"""Ending a command as people and programs expect: messages without tracebacks, exact exit codes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import click
import typer

from operate.failure import ExitCode, Failure
from operate.reporting import Report


def run(application: typer.Typer, program: str) -> NoReturn:
    """Run the application with the command line's arguments and exit."""
    # A terminal that closes or a service manager that stops the run ends it as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = application(prog_name=program, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        # The reader of a pipe has seen enough; Python must not complain while it closes its output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(ExitCode.FAILED)
    sys.exit(code if isinstance(code, int) else ExitCode.OK)


@contextmanager
def reported(report: Report, *, interrupted: str = "") -> Iterator[None]:
    """End a command whose block fails with the failure's message and exit code.

    `interrupted` is what people read after Ctrl-C: how the work can be taken up again.
    """
    try:
        yield
    except Failure as failure:
        report.failure(failure)
        report.document({"result": "failed", "message": failure.message, "details": failure.details})
        raise typer.Exit(failure.code) from None
    except KeyboardInterrupt:
        report.warning(f"stopped. {interrupted}".strip())
        report.document({"result": "interrupted"})
        raise typer.Exit(ExitCode.INTERRUPTED) from None
