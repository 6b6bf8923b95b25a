"""Times as the admin APIs write them: UTC, milliseconds, 24 characters."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """This moment in UTC."""
    return datetime.now(UTC)


def timestamp(moment: datetime) -> str:
    """`2026-11-24T02:00:00.000Z`: 24 characters, as the definitions demand."""
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
