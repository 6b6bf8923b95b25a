"""The state of a certificate: what OCSP answers and revocation lists say about it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from trust_services.refusal import Refusal


@dataclass(frozen=True)
class CertificateState:
    """A certificate of the authority, as its record has it."""

    serial: int
    revoked_at: datetime | None = None
    reason: x509.ReasonFlags | None = None
    not_after: datetime | None = None
    """Its last second, where that is known: it isn't told about for ever after."""
    issuer: bytes | None = None
    """Its authority's key identifier (RFC 5280, section 4.2.1.2). None where there is but one authority."""

    def __post_init__(self) -> None:
        if self.revoked_at is None and self.reason is not None:
            raise Refusal(f"certificate {self.serial:x} has a reason of revocation, but isn't revoked")
        if self.revoked_at is not None and self.revoked_at.tzinfo is None:
            raise Refusal(f"certificate {self.serial:x} has a time of revocation without a time zone")
        if self.reason is x509.ReasonFlags.remove_from_crl:
            # RFC 5280 section 5.3.1: of delta CRLs only.
            raise Refusal(f"certificate {self.serial:x}: 'removeFromCRL' says nothing about a certificate")

    @property
    def shown(self) -> tuple[datetime | None, x509.ReasonFlags | None]:
        """Revocation as answers and CRLs show it: whole seconds, and no reason rather than 'unspecified'.

        RFC 5280 section 5.3.1 asks for the latter.
        """
        if self.revoked_at is None:
            return None, None
        reason = None if self.reason is x509.ReasonFlags.unspecified else self.reason
        return self.revoked_at.replace(microsecond=0), reason
