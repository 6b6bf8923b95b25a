"""What an engine with its program and provider uses of the machine."""

from __future__ import annotations

import os
from pathlib import Path

from federation_rig.processes import descendants

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Used:
    """The largest memory and the last processor time, by process, of all looks."""

    def __init__(self) -> None:
        self.largest = 0
        """Bytes that all had resident together, at the look when they were the most."""
        self.bytes: dict[str, int] = {}
        self._processor: dict[int, tuple[str, float]] = {}

    @property
    def processor_seconds(self) -> dict[str, float]:
        """By process. What a process used after the last look is missing."""
        found: dict[str, float] = {}
        for name, seconds in self._processor.values():
            found[name] = found.get(name, 0.0) + seconds
        return found

    def look(self, program: int) -> None:
        """See what the program's process and its descendants use now."""
        together: dict[str, int] = {}
        for process in (program, *descendants(program)):
            try:
                status = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
            except OSError:
                continue
            # The name, which may hold anything, stands in brackets.
            fields = status.rpartition(")")[2].split()
            name = _name(process, program)
            together[name] = together.get(name, 0) + int(fields[21]) * _PAGE
            self._processor[process] = name, (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND
        self.largest = max(self.largest, sum(together.values()))
        for name, size in together.items():
            self.bytes[name] = max(self.bytes.get(name, 0), size)


def _name(process: int, program: int) -> str:
    if process == program:
        return "program"
    command = Path(f"/proc/{process}/cmdline")
    try:
        return "provider" if b"pulumi-resource-" in command.read_bytes() else "engine"
    except OSError:
        return "engine"
