"""What one authority publishes: its certificate, its revocation list, and answers about its certificates."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from trust_services import files
from trust_services.certificate_state import CertificateState
from trust_services.refusal import Refusal
from trust_services.signing import SigningKey
from trust_services.status.publisher import Publisher, publish_crl
from trust_services.status.signing import Signer
from trust_services.status.verification import Authority

BATCH = 200
"""Certificates whose answers are signed in one round: a revocation waits for no more than these."""


class AuthorityStatus:
    """Keeps an authority's published files current. For one thread at a time."""

    def __init__(
        self, name: str, issuer: x509.Certificate, folder: Path, *, freshness: timedelta, list_life: timedelta
    ) -> None:
        """`freshness` is how old an answer may become, `list_life` how long a list is good."""
        self.name = name
        self.issuer = issuer
        self.answers = 0
        """How many are published."""
        self.list: x509.CertificateRevocationList | None = None
        """The one that is published; None if that isn't known."""
        self._folder = folder
        self._freshness = freshness
        self._list_life = list_life
        self._verifier = Authority(issuer, freshness)
        self._publisher: Publisher | None = None
        self._answers_due = datetime.min.replace(tzinfo=UTC)

    def published(self, kind: str) -> Path:
        """A published file."""
        return self._folder / f"{self.name}.{kind}"

    def own(self, states: Iterable[CertificateState]) -> list[CertificateState]:
        """Those that this authority issued."""
        identifier = self.issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
        return [state for state in states if state.issuer in (None, identifier)]

    def use(self, signer: Signer | None, now: datetime) -> str:
        """Have answers signed by `signer` from now on; why those before aren't taken over, if they aren't."""
        if signer is None:
            self._publisher = None
            return ""
        if self._publisher is not None and self._publisher.signer is signer:
            return ""
        self._publisher = Publisher(self.published("answers"), signer, self._freshness)
        self._answers_due = now
        return self._publisher.resume(now)

    def publish_certificate(self) -> None:
        """Write the authority's certificate."""
        put(self.published("crt"), self.issuer.public_bytes(Encoding.DER))

    def publish_list(self, key: SigningKey | None, states: Iterable[CertificateState], now: datetime) -> bool:
        """Make a revocation list if one is due; whether one was made. Refusal without the authority's key."""
        path = self.published("crl")
        if self.list is None or not path.exists():
            self.list = self._published_list(path, now)
        revoked = [one for one in _current(states, now - self._list_life) if one.revoked_at is not None]
        before = self.list
        if before is not None and _listed(before) == {(one.serial, *one.shown) for one in revoked}:
            half = before.last_update_utc + (before.next_update_utc - before.last_update_utc) / 2  # type: ignore[operator] # ours has one
            if now < half:
                return False
        if key is None:
            raise Refusal(f"the token has no key of '{self.name}'", "look at the key's label in the settings")
        # Grows with time, also after the last list was lost; and beyond the last one if the clock was set back.
        last = _number(before) if before is not None else 0
        number = max(int(now.timestamp()), last + 1)
        ends = now + self._list_life
        publish_crl(path, self.issuer, key, revoked, number=number, this_update=now, next_update=ends)
        self.list = x509.load_der_x509_crl(path.read_bytes())
        return True

    def publish_answers(self, states: Iterable[CertificateState], now: datetime, *, changed: bool) -> int:
        """Sign what is due; how many certificates wait for the next round. Refusal without a signer."""
        if self._publisher is None:
            raise Refusal("there is no responder to sign them", "look at what was told of its certificate")
        if not (changed or now >= self._answers_due or not self.published("answers").exists()):
            return 0
        # Due at once until this has succeeded, whatever happens.
        self._answers_due = now
        # Not told about for ever: what has ended isn't asked about any more.
        done = self._publisher.publish(_current(states, now - self._list_life), now, at_most=BATCH)
        self.answers = done.answers
        if not done.waiting:
            self._answers_due = now + self._freshness / 30
        return done.waiting

    def _published_list(self, path: Path, now: datetime) -> x509.CertificateRevocationList | None:
        try:
            content = path.read_bytes()
            self._verifier.revocation_list(content, None, now)
        except (OSError, Refusal):
            return None
        return x509.load_der_x509_crl(content)


def put(path: Path, content: bytes) -> None:
    """Write a file unless it says this already."""
    if not path.exists() or path.read_bytes() != content:
        files.write(path, content)


def _current(states: Iterable[CertificateState], ended: datetime) -> list[CertificateState]:
    """Those that hadn't ended at `ended`."""
    return [state for state in states if state.not_after is None or state.not_after >= ended]


def _number(found: x509.CertificateRevocationList) -> int:
    return found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def _listed(
    found: x509.CertificateRevocationList,
) -> set[tuple[int, datetime | None, x509.ReasonFlags | None]]:
    listed: set[tuple[int, datetime | None, x509.ReasonFlags | None]] = set()
    for entry in found:
        try:
            reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
        except x509.ExtensionNotFound:
            reason = None
        listed.add((entry.serial_number, entry.revocation_date_utc, reason))
    return listed
