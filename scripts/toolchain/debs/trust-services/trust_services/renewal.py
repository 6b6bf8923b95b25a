"""When the next certificate is due."""

from __future__ import annotations

from datetime import datetime

from cryptography import x509

AUTHORITY = 1 / 4
"""How much of an authority's certificate's life is left then: a ceremony needs people."""

SERVICE = 1 / 3
"""Of a service's certificate: it is renewed by a program, and time is left to mend the program."""


def due(certificate: x509.Certificate, now: datetime, left: float = AUTHORITY) -> bool:
    """Whether less than the part `left` of a certificate's life is left, or nothing."""
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return ends - now < (ends - begins) * left
