"""Counting answers, together for all workers of a server."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence


class Tally:
    """Counters that processes share, once forked or handed over at their start.

    Each process counts in a row of its own, so that none waits for another.
    """

    def __init__(self, names: Sequence[str], processes: int) -> None:
        self._places = {name: place for place, name in enumerate(names)}
        self._counts = multiprocessing.RawArray("Q", len(names) * processes)
        self._joined = multiprocessing.Value("i", 0)
        self._row = 0

    def join(self) -> None:
        """Take a row for this process. To be called once in each, before it counts."""
        with self._joined:
            self._row = self._joined.value * len(self._places)
            self._joined.value += 1

    def count(self, name: str) -> None:
        """One more."""
        self._counts[self._row + self._places[name]] += 1

    def totals(self) -> dict[str, int]:
        """How many of each, of all processes."""
        width = len(self._places)
        return {name: sum(self._counts[place::width]) for name, place in self._places.items()}
