"""What is wrong with an estate, and where."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

Location = tuple[str | int, ...]
"""Keys and indices from the root of the estate to a value."""


class Finding(NamedTuple):
    """A rule that the estate breaks, at a place in the data."""

    location: Location
    message: str


def repeated(keys: Iterable[tuple[Hashable, Location]], say: Callable[[Hashable], str]) -> Iterator[Finding]:
    """A finding at each key that another one was before."""
    seen: set[Hashable] = set()
    for key, location in keys:
        if key in seen:
            yield Finding(location, say(key))
        seen.add(key)


class Problem(NamedTuple):
    """A finding as people need it: file, line (0: the whole file), value, sentence."""

    file: Path
    line: int
    value: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else str(self.file)
        value = f" [{self.value}]" if self.value else ""
        return f"{place}: {self.message}{value}"


class EstateError(Exception):
    """The estate can't be used; `problems` says why, in the order of files and lines."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(problems, key=lambda problem: (str(problem.file), problem.line))
        super().__init__("\n".join(str(problem) for problem in self.problems))
