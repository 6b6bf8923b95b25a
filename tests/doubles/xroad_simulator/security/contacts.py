"""How asking for certificates' status and for time stamps fares: what diagnostics tell."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Contact:
    """How the last question to a service went."""

    at: datetime
    problem: str | None = None


@dataclass
class StampingState:
    """How time-stamping fares. Lost with the process, as in X-Road."""

    failing_since: float | None = None
    """On the monotonic clock; None while it works."""
    contacts: dict[str, Contact] = field(default_factory=dict)
    """By a service's address."""
