"""The summary of a journey as a table for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def table(summary: Mapping[str, Any]) -> str:
    """All figures of a summary, a line each."""
    return "".join(f"{line}\n" for line in _lines(summary))


def _lines(summary: Mapping[str, Any]) -> Iterator[str]:
    steps = ", ".join(f"{count} {kind}" for kind, count in summary["steps"].items())
    yield f"{summary['days']} days from {summary['first_day'][:10]} on; steps: {steps}"
    yield f"{'renewed or made':<44}{'times':>8}{'fewest days left then':>24}"
    left = summary["least_days_left_at_renewal"]
    for kind, count in summary["renewals"].items():
        yield f"  {kind:<42}{count:>8}{left.get(kind, ''):>24}"
    yield f"{'looked at':<44}{'times':>8}"
    for kind, count in summary["asked"].items():
        yield f"  {kind:<42}{count:>8}"
    yield f"{'tryLater':<44}{'times':>8}"
    for kind, count in summary["try_later"].items():
        yield f"  {kind:<42}{count:>8}"
    yield f"{'expired, but served':<44}{summary['expired_served']:>8}"
    yield f"{'otherwise wrong':<44}{summary['wrong']:>8}"
    yield f"not run: {summary['played']}"
