"""The issuing key, and certificates made with it: built, signed, checked, linted."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import pkcs11
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pkcs11 import exceptions

from trust_services.issuing import linting, profiles
from trust_services.issuing.refusals import Unavailable
from trust_services.issuing.rules import Accepted
from trust_services.refusal import Refusal
from trust_services.signing import SigningKey, certificate_hash
from trust_services.token import TokenPlace

Clock = Callable[[], datetime]


class KeyHolder(Protocol):
    """Gives the issuing key while it can be used."""

    def key(self) -> SigningKey:
        """The key; Unavailable, with the reason, while it can't be used."""

    def forget(self) -> None:
        """The key failed: look for it anew next time."""


class TokenKey:
    """The issuing key in a PKCS#11 token, opened when it is first needed and again after it failed."""

    def __init__(self, place: TokenPlace, label: str, pin_file: Path) -> None:
        self._place = place
        self._label = label
        self._pin_file = pin_file
        self._open = ExitStack()
        self._key: SigningKey | None = None
        self._refused_pin = b""

    def key(self) -> SigningKey:
        """The key; Unavailable while the token is absent, locked, or refuses the PIN."""
        if self._key is None:
            self._key = self._found()
        return self._key

    def forget(self) -> None:
        """Close the token."""
        self._key = None
        self._open.close()

    def _found(self) -> SigningKey:
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
            key = self._open.enter_context(self._place.open(pin)).key(self._label)
        except Refusal as refusal:
            self.forget()
            wrong = (
                exceptions.PinIncorrect,
                exceptions.PinLenRange,
                exceptions.PinInvalid,
                exceptions.PinLocked,
            )
            if isinstance(refusal.__cause__, wrong):
                self._refused_pin = digest
            raise Unavailable(refusal.message, refusal.next_step) from refusal
        if key is None:
            self.forget()
            raise Unavailable(
                f"the token has no key '{self._label}'", "look at `token.key` in the configuration"
            )
        return key


class Authority:
    """Makes certificates under its terms."""

    def __init__(self, terms: profiles.Terms, holder: KeyHolder, clock: Clock | None = None) -> None:
        self.terms = terms
        self._holder = holder
        self._clock = clock or (lambda: datetime.now(UTC))

    def require_ready(self) -> None:
        """Unavailable unless a certificate could be made now: nothing is written down for one that can't."""
        try:
            self.terms.validity(next(iter(self.terms.life)), self._clock())
        except Refusal as refusal:
            raise Unavailable(refusal.message, refusal.next_step) from refusal
        key = self._holder.key()
        spki = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if key.public_key().public_bytes(*spki) != self.terms.issuer.public_key().public_bytes(*spki):
            self._holder.forget()
            raise Unavailable(
                "the token's key isn't the one that the issuing certificate names",
                "look at `token.key` and `issuer.certificate` in the configuration",
            )

    def make(self, accepted: Accepted, serial: int) -> tuple[x509.Certificate, list[str]]:
        """A signed certificate, and what the linter holds against it. Not to be released before it is recorded.

        Unavailable if the token doesn't sign, or signs wrongly.
        """
        builder = profiles.certificate(accepted, serial, self.terms, self._clock())
        key = self._holder.key()
        try:
            made = builder.sign(key, certificate_hash(key))
            # A faulty signature can give an RSA key away (Boneh, DeMillo, Lipton 1997): it isn't let out.
            made.verify_directly_issued_by(self.terms.issuer)
        except (Refusal, InvalidSignature) as error:
            self._holder.forget()
            message = error.message if isinstance(error, Refusal) else "the token's signature is wrong"
            raise Unavailable(message, "look at the token, then order again") from error
        return made, linting.findings(made.public_bytes(Encoding.DER))
