"""A token that a service keeps open, and opens again after it failed."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack, suppress
from pathlib import Path

import pkcs11
from pkcs11 import exceptions

from trust_services.issuing.refusals import Unavailable
from trust_services.refusal import Refusal
from trust_services.token import Token, TokenPlace

_WRONG_PIN = (exceptions.PinIncorrect, exceptions.PinLenRange, exceptions.PinInvalid, exceptions.PinLocked)


class HeldToken:
    """Opened when it is first needed."""

    def __init__(self, place: TokenPlace, pin_file: Path) -> None:
        self._place = place
        self._pin_file = pin_file
        self._open = ExitStack()
        self._token: Token | None = None
        self._refused_pin = b""

    def token(self) -> Token:
        """The token; Unavailable while it is absent, locked, or refuses the PIN."""
        if self._token is None:
            self._token = self._opened()
        return self._token

    def forget(self) -> None:
        """Close the token."""
        self._token = None
        self._open.close()

    def _opened(self) -> Token:
        try:
            pin = self._pin_file.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise Unavailable("the token's PIN can't be read", f"look at {self._pin_file}") from error
        # A token locks itself after a few wrong PINs: one that was refused isn't tried again.
        digest = hashlib.sha256(pin.encode()).digest()
        if digest == self._refused_pin:
            raise Unavailable("the token refused this PIN", f"put the right one into {self._pin_file}")
        # A library that has looked for tokens before doesn't see one that has come since.
        with suppress(RuntimeError, exceptions.PKCS11Error):
            pkcs11.lib(self._place.library).reinitialize()
        try:
            return self._open.enter_context(self._place.open(pin))
        except Refusal as refusal:
            self.forget()
            if isinstance(refusal.__cause__, _WRONG_PIN):
                self._refused_pin = digest
            raise Unavailable(refusal.message, refusal.next_step) from refusal
