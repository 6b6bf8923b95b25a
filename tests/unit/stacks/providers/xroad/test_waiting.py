"""Waiting for a condition."""

from __future__ import annotations

import asyncio

import pytest

from stacks.providers.xroad.errors import ApiError
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


def test_a_tolerated_refusal_means_not_yet() -> None:
    """It is told instead of what an earlier probe saw; others aren't waited out."""

    async def refused() -> bool:
        raise ApiError("PUT https://ss1", 409, {"error": {"code": "sending_failed"}}, None)

    def wait(tolerated: str) -> bool:
        return asyncio.run(
            until(
                refused,
                "it",
                deadline_seconds=0.01,
                interval_seconds=0.004,
                tolerated=lambda error: error.code == tolerated,
                detail=lambda: "status SAVED",
            )
        )

    with pytest.raises(DeadlineError, match=r"\(PUT https://ss1 answered 409 sending_failed\)"):
        wait("sending_failed")
    with pytest.raises(ApiError, match="sending_failed"):
        wait("another")
