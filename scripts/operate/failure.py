"""Why a command can't go on, and what to type next."""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """What a command's exit status means."""

    OK = 0
    FAILED = 1
    """The command was understood and didn't succeed."""
    BAD_INPUT = 2
    """The command line or the estate can't be used; nothing was touched."""
    INTERRUPTED = 130
    """Stopped from the keyboard."""


class Failure(Exception):  # noqa: N818 - what people read is a failure, not an error of the program
    """A sentence for people, its cause in detail, and the next command.

    Neither text may hold a secret: both reach the terminal and the ledger.
    """

    def __init__(
        self,
        message: str,
        *,
        details: str = "",
        next_step: str = "",
        code: ExitCode = ExitCode.FAILED,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.next_step = next_step
        self.code = code
