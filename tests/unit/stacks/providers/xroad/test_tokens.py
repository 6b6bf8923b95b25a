"""Opening a token."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from stacks.providers.serving import ProviderError
from stacks.providers.xroad.tokens import open_token


@dataclass
class Token:
    """A token in some condition."""

    id: str = "0"
    logged_in: bool = False
    status: str = "OK"


def attempts(token: Token) -> list[tuple[str, str]]:
    made: list[tuple[str, str]] = []

    async def log_in(identifier: str, pin: str) -> None:
        made.append((identifier, pin))

    asyncio.run(open_token(token, "ss1", lambda: "Secret-1234", log_in))
    return made


def test_a_closed_token_is_opened_once() -> None:
    """One attempt with the PIN of the secret."""
    assert attempts(Token()) == [("0", "Secret-1234")]


def test_an_open_token_needs_no_pin() -> None:
    """The secret isn't even read."""
    assert attempts(Token(logged_in=True)) == []


@pytest.mark.parametrize(
    "status", ["USER_PIN_INCORRECT", "USER_PIN_COUNT_LOW", "USER_PIN_FINAL_TRY", "USER_PIN_LOCKED"]
)
def test_a_pin_that_was_refused_is_not_tried_again(status: str) -> None:
    """The next wrong attempt could lock the token for good."""
    with pytest.raises(ProviderError, match=rf"ss1: its token says {status}"):
        attempts(Token(status=status))
