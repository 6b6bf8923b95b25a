"""What the trust services refuse, and how their programs say so."""

from __future__ import annotations

import sys


class Refusal(Exception):  # noqa: N818 - nothing broke: what was asked for isn't done
    """Why something isn't done, in words for the person who asked, with the next step."""

    def __init__(self, message: str, next_step: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step


def told(refusal: Refusal) -> int:
    """Write a refusal to standard error, with the next step; return the exit code that goes with it."""
    sys.stderr.write(f"refused: {refusal.message}\n")
    if refusal.next_step:
        sys.stderr.write(f"next: {refusal.next_step}\n")
    sys.stderr.flush()
    return 1
