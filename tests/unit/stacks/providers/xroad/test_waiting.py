"""Waiting for a condition."""

from __future__ import annotations

import asyncio

import pytest

from stacks.providers.xroad.waiting import DeadlineError, until


def test_it_returns_what_the_probe_found() -> None:
    """None and False mean: not yet."""
    answers = iter([None, False, "there"])

    async def probe() -> str | None:
        return next(answers)  # type: ignore[return-value]

    assert asyncio.run(until(probe, "it", deadline_seconds=5, interval_seconds=0.001)) == "there"


def test_a_deadline_names_the_condition_and_the_last_look() -> None:
    """An operator reads what was waited for and what was seen instead."""

    async def probe() -> bool:
        return False

    with pytest.raises(
        DeadlineError, match=r"the client is registered: not reached within 0 s \(status SAVED\)"
    ):
        asyncio.run(
            until(
                probe,
                "the client is registered",
                deadline_seconds=0.01,
                interval_seconds=0.004,
                detail=lambda: "status SAVED",
            )
        )
