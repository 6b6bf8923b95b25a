"""Waits for a condition that a remote server reaches by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeVar

from stacks.providers.serving import ProviderError

T = TypeVar("T")


class DeadlineError(ProviderError):
    """A condition wasn't reached before its deadline."""


async def until(
    probe: Callable[[], Awaitable[T | None]],
    what: str,
    *,
    deadline_seconds: float,
    interval_seconds: float = 1.0,
    detail: Callable[[], str] | None = None,
) -> T:
    """Call `probe` until it returns something else than None or False; return that.

    Raises DeadlineError, naming `what` and the `detail` of the last probe, once the deadline has passed.
    The interval grows by half each time up to five times its first value: quick answers stay quick
    and slow ones don't use up the server's request limit.
    """
    ends = monotonic() + deadline_seconds
    pause = interval_seconds
    while True:
        found = await probe()
        if found is not None and found is not False:
            return found
        if monotonic() + pause > ends:
            reason = f" ({detail()})" if detail is not None else ""
            raise DeadlineError(f"{what}: not reached within {deadline_seconds:.0f} s{reason}")
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, interval_seconds * 5)
