"""The issuing key, and certificates made with it: built, signed, checked, linted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from trust_services.held_token import HeldToken
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
        self._held = HeldToken(place, pin_file)
        self._label = label
        self._key: SigningKey | None = None

    def key(self) -> SigningKey:
        """The key; Unavailable while the token is absent, locked, or refuses the PIN."""
        if self._key is None:
            self._key = self._held.token().key(self._label)
            if self._key is None:
                self.forget()
                raise Unavailable(
                    f"the token has no key '{self._label}'", "look at `token.key` in the configuration"
                )
        return self._key

    def forget(self) -> None:
        """Close the token."""
        self._key = None
        self._held.forget()


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
