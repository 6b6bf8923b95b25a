"""What the acceptance found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    group: str
    name: str
    passed: bool
    detail: str
    """What was seen; never a citizen's data."""
    seconds: float = 0.0
