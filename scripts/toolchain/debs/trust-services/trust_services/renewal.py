"""When the next certificate of an authority is due."""

from __future__ import annotations

from datetime import datetime

from cryptography import x509

_LEFT = 1 / 4
"""How much of a certificate's life is left then: a ceremony needs people."""


def due(certificate: x509.Certificate, now: datetime) -> bool:
    """Whether too little of a certificate's life is left, or nothing."""
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return ends - now < (ends - begins) * _LEFT
