"""What people see: progress with elapsed time, results, failures with the next step."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.status import Status

from operate.failure import Failure

_SILENCE_SECONDS = 30.0
"""Where there's no terminal, how long a step may last before a line says that it still runs."""


def seconds(duration: float) -> str:
    """A duration for people: `0.4 s`, `12 s`, `3 min 05 s`."""
    if duration < 10:
        return f"{duration:.1f} s"
    if duration < 60:
        return f"{duration:.0f} s"
    return f"{int(duration) // 60} min {int(duration) % 60:02d} s"


class Report:
    """A run's voice. People read it on standard output, or on standard error beside JSON."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self._console = Console(stderr=as_json, highlight=False, soft_wrap=True)
        if not self._console.is_terminal:
            # Where nobody has a window, a table must not be cut.
            self._console.width = 160
        self._status: Status | None = None
        self._started = 0.0
        self._told = 0.0
        self._label = ""
        self._latest = ""

    @property
    def console(self) -> Console:
        """Where people read, for tables and other rich output."""
        return self._console

    def line(self, text: str, style: str = "") -> None:
        """One line, as it is: square brackets aren't markup."""
        self._console.print(escape(text), style=style or None)

    def done(self, label: str, duration: float, text: str) -> None:
        """A finished step with its time and result."""
        self._console.print(f"[green]ok[/]      {escape(label):<11}{seconds(duration):>13}  {escape(text)}")

    def change(self, text: str) -> None:
        """Something that the run changed."""
        self._console.print(f"[yellow]changed[/] {escape(text)}")

    def warning(self, text: str) -> None:
        """Something that people should know and that stops nothing."""
        self._console.print(f"[yellow]note[/]    {escape(text)}")

    def failure(self, failure: Failure) -> None:
        """A failure: what, why, and the next command to type. As JSON too where that was asked for."""
        self._console.print(f"[bold red]failed[/]  {escape(failure.message)}")
        for text in failure.details.splitlines():
            self._console.print(f"        {escape(text)}")
        if failure.next_step:
            self._console.print("next:")
            for text in failure.next_step.splitlines():
                self._console.print(f"        [bold]{escape(text)}[/]")

    def document(self, value: Any) -> None:
        """The result for programs, if JSON was asked for."""
        if self.as_json:
            json.dump(value, sys.stdout, indent=2, default=str)
            sys.stdout.write("\n")
            sys.stdout.flush()

    def progress(self, text: str) -> None:
        """What is being done now: on a terminal at once, elsewhere now and then."""
        self._latest = text
        self.progress_again()

    def progress_again(self) -> None:
        """Show the same progress with the time that has passed since."""
        now = time.monotonic()
        latest = f" · {self._latest}" if self._latest else ""
        text = f"{self._label} · {seconds(now - self._started)}{latest}"
        if self._status is not None:
            self._status.update(escape(text))
        elif self._label and now - self._told >= _SILENCE_SECONDS:
            self._told = now
            self.line(f"...     {text}")

    @contextlib.contextmanager
    def working(self, label: str) -> Iterator[None]:
        """Show `label`, elapsed time and the latest progress while the block runs. Blocks may nest."""
        outer = (self._label, self._latest, self._started)
        self._label, self._latest = label, ""
        self._started = self._told = time.monotonic()
        try:
            if self._console.is_terminal and self._status is None:
                with self._console.status(escape(label)) as status:
                    self._status = status
                    yield
            else:
                self.progress("")
                yield
        finally:
            if not outer[0]:
                self._status = None
            self._label, self._latest, self._started = outer
