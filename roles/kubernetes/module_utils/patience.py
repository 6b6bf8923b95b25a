"""Waiting for what takes its time, and no longer than is agreed."""

from __future__ import annotations

import time
from collections.abc import Callable


def waited(trouble: Callable[[], str], deadline_seconds: float) -> str:
    """The trouble that is left when it has gone or the deadline has passed: empty if it has gone."""
    deadline = time.monotonic() + deadline_seconds
    while (found := trouble()) and time.monotonic() < deadline:
        time.sleep(1)
    return found
