"""What the status program is told: the state of certificates, and when one has changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True)
class CertificateState:
    """A released certificate's state."""

    serial: int
    revoked_at: datetime | None
    """None while the certificate is good."""
    reason: str | None
    """A CRLReason by the name that RFC 5280 section 5.3.1 gives it."""
    not_after: datetime
    """Its last second. A list needs to name it no longer once it has named it after this."""


class StatusSource(Protocol):
    """Where states are read. Raises psycopg.Error while they can't be."""

    def states(self, serials: Sequence[str] | None = None) -> Iterator[CertificateState]:
        """The state of every certificate that was ever released, or of some (20 octets in hexadecimal)."""


class StatusPublisher(Protocol):
    """Signs OCSP answers and the revocation list anew. Called after the record has committed.

    What it raises is logged and changes nothing: the record stands, and the program also looks at it by itself.
    """

    def changed(self, source: StatusSource, serials: Sequence[str]) -> None:
        """These certificates were issued or revoked just now. `source` may be used until this returns."""
