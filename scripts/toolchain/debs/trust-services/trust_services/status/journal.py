"""Lines for the host's journal."""

from __future__ import annotations

import sys


def tell(message: str) -> None:
    """Write a line to standard error."""
    print(f"trust-status: {message}", file=sys.stderr, flush=True)
