"""Telling people what the tool chain does and how long it took."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Protocol

from operate.reporting import Report

_TICK_SECONDS = 1.0


class Step:
    """A piece of work that is under way; what it notes is shown when it is done."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """Add a fact about the result, such as its size."""
        self.notes.append(text)


class Progress(Protocol):
    """Who is told about the work: a terminal, a log, or nobody."""

    def step(self, kind: str, what: str) -> contextlib.AbstractContextManager[Step]:
        """Work begins; the end of the block is its end."""
        ...


class Silent:
    """Tells nobody."""

    @contextlib.contextmanager
    def step(self, kind: str, what: str) -> Iterator[Step]:
        """Nothing is shown."""
        del kind, what
        yield Step()


class Reported:
    """Tells the readers of a report: a line for each thing that was done, none for what was there."""

    def __init__(self, report: Report) -> None:
        self._report = report

    @contextlib.contextmanager
    def step(self, kind: str, what: str) -> Iterator[Step]:
        """Show what is being done and for how long, and a line when it has succeeded."""
        step = Step()
        began = time.monotonic()
        done = threading.Event()

        def tell() -> None:
            while not done.wait(_TICK_SECONDS):
                self._report.progress(f"{kind}: {what}")

        self._report.progress(f"{kind}: {what}")
        teller = threading.Thread(target=tell, daemon=True)
        teller.start()
        try:
            yield step
        finally:
            done.set()
            teller.join()
        self._report.done(kind, time.monotonic() - began, ", ".join([what, *step.notes]))
