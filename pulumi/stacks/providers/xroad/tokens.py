"""Opens a server's token with its PIN, without ever locking it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from stacks.providers.serving import ProviderError

_DANGEROUS = frozenset({"USER_PIN_LOCKED", "USER_PIN_FINAL_TRY", "USER_PIN_COUNT_LOW", "USER_PIN_INCORRECT"})


class Token(Protocol):
    """What both servers say of a token."""

    @property
    def id(self) -> str:
        """Identifier in the API."""

    @property
    def logged_in(self) -> bool:
        """Whether its keys can be used."""

    @property
    def status(self) -> str:
        """`OK`, or what is wrong with it."""


async def open_token(
    token: Token, server: str, pin: Callable[[], str], log_in: Callable[[str, str], Awaitable[None]]
) -> None:
    """Log in to a closed token.

    A PIN that was refused before isn't tried again: a few wrong ones lock the token for good, and then
    only new keys help. ProviderError names the server and what to do.
    """
    if token.logged_in:
        return
    if token.status in _DANGEROUS:
        raise ProviderError(
            f"{server}: its token says {token.status}; check the PIN's secret and log in once by hand "
            "in the admin interface before trying again"
        )
    await log_in(token.id, pin())
