"""Telling people what the tool chain does and how long it took."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Protocol

from operate.reporting import Report


class Step:
    """A piece of work that is under way; what it notes is shown when it is done."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """Add a fact about the result, such as its size."""
        self.notes.append(text)


class Progress(Protocol):
    """Who is told about the work: a terminal, a log, or nobody."""

    def step(self, what: str, how: str) -> contextlib.AbstractContextManager[Step]:
        """Work on `what` begins; the end of the block is its end."""
        ...


class Silent:
    """Tells nobody."""

    @contextlib.contextmanager
    def step(self, what: str, how: str) -> Iterator[Step]:
        """Nothing is shown."""
        del what, how
        yield Step()


class Reported:
    """Tells the reader of a run's report: one line for what was done, nothing for what was there."""

    def __init__(self, report: Report) -> None:
        self._report = report

    @contextlib.contextmanager
    def step(self, what: str, how: str) -> Iterator[Step]:
        """Show `what` with the elapsed time while the block runs, and a line when it has succeeded."""
        step = Step()
        began = time.monotonic()
        with self._report.working(f"{what}: being {how}"):
            yield step
        self._report.done(what, time.monotonic() - began, ", ".join([how, *step.notes]))
