"""What is wrong with an estate, and where."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

Location = tuple[str | int, ...]
"""Keys and indices from the root of the estate to a value."""


class Finding(NamedTuple):
    """A rule that the estate breaks, at a place in the data."""

    location: Location
    message: str


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
