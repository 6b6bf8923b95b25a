"""Waits for a condition that a remote server reaches by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeVar

from stacks.providers.serving import ProviderError
from stacks.providers.xroad.errors import ApiError

T = TypeVar("T")


class DeadlineError(ProviderError):
    """A condition wasn't reached before its deadline."""


async def until(
    probe: Callable[[], Awaitable[T | None]],
    what: str,
    *,
    deadline_seconds: float,
    interval_seconds: float = 1.0,
    tolerated: Callable[[ApiError], bool] = lambda _: False,
    detail: Callable[[], str] = lambda: "",
) -> T:
    """Call `probe` until it returns something else than None or False; return that.

    A refusal that is `tolerated` means: not yet. Raises DeadlineError, naming `what` and the refusal or the
    `detail` of the last probe, once the deadline has passed.
    The interval grows by half each time up to five times its first value: quick answers stay quick
    and slow ones don't use up the server's request limit.
    """
    ends = monotonic() + deadline_seconds
    pause = interval_seconds
    while True:
        refused = ""
        try:
            found = await probe()
        except ApiError as error:
            if not tolerated(error):
                raise
            found, refused = None, str(error)
        if found is not None and found is not False:
            return found
        if monotonic() + pause > ends:
            told = refused or detail()
            reason = f" ({told})" if told else ""
            raise DeadlineError(f"{what}: not reached within {deadline_seconds:.0f} s{reason}")
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, interval_seconds * 5)
