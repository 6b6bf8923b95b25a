"""What the trust services refuse."""

from __future__ import annotations


class Refusal(Exception):  # noqa: N818 - nothing broke: what was asked for isn't done
    """Why something isn't done, in words for the person who asked, with the next step."""

    def __init__(self, message: str, next_step: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step
