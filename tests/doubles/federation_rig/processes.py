"""Which processes belong to one."""

from __future__ import annotations

import contextlib
from pathlib import Path


def descendants(process: int) -> list[int]:
    """Processes that a process started, and theirs. Each of its threads has children of its own."""
    found: list[int] = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in task.read_text(encoding="ascii").split():
                found += [int(child), *descendants(int(child))]
    return found
