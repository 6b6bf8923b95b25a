"""Answers to GET requests that several resources ask for while nothing is changed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_REMEMBERING: ContextVar[bool] = ContextVar("remembering", default=False)


@contextmanager
def remembered() -> Iterator[None]:
    """Within it, a GET request that was sent since the last write isn't sent again.

    For looking at what exists: a refresh, an import, a listing. Not for waiting, where the same question has
    another answer each time, nor for what decides about a write.
    """
    token = _REMEMBERING.set(True)
    try:
        yield
    finally:
        _REMEMBERING.reset(token)


class Memory:
    """Answers of all servers of a federation. A write to any of them may change what the others answer."""

    def __init__(self) -> None:
        self._answers: dict[object, asyncio.Future[Any]] = {}

    async def answer(self, question: object, ask: Callable[[], Awaitable[Any]]) -> Any:
        """The remembered answer, or that of `ask`. Those who ask at the same time wait for one request.

        A failure is told to all who wait for it and isn't remembered.
        """
        if not _REMEMBERING.get():
            return await ask()
        found = self._answers.get(question)
        if found is None:
            found = self._answers[question] = asyncio.ensure_future(ask())
            found.add_done_callback(lambda done: self._drop_failure(question, done))
        # One who gives up, as at a cancelled run, doesn't take the answer from the others.
        return await asyncio.shield(found)

    def forget(self) -> None:
        """Ask everything anew: something was written."""
        self._answers.clear()

    def _drop_failure(self, question: object, done: asyncio.Future[Any]) -> None:
        if (done.cancelled() or done.exception() is not None) and self._answers.get(question) is done:
            del self._answers[question]
