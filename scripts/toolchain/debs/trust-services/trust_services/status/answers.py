"""OCSP answers, as they lie in a publication: signed, and read without any key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509 import ocsp

from trust_services.refusal import Refusal
from trust_services.status.certificate_id import shortest_request


@dataclass(frozen=True, slots=True)
class Answer:
    """One signed answer about one certificate."""

    der: bytes
    """The OCSPResponse."""
    request: bytes
    """The shortest request that it answers."""
    serial: int
    this_update: datetime
    """When the status was known to be right: the time of signing."""
    next_update: datetime
    """When a newer answer will be there at the latest."""
    revoked_at: datetime | None
    reason: x509.ReasonFlags | None


def read(der: bytes) -> tuple[Answer, ocsp.OCSPResponse]:
    """An answer, and what the library read. Refusal unless it is of the form that `signing` gives it."""
    try:
        response = ocsp.load_der_ocsp_response(der)
        if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            raise Refusal("an answer has the status of an error")
        if response.certificate_status is ocsp.OCSPCertStatus.UNKNOWN:
            raise Refusal("an answer says 'unknown'")
        next_update = response.next_update_utc
        if next_update is None:
            raise Refusal("an answer has no nextUpdate")
        request = shortest_request(
            response.issuer_name_hash,
            response.issuer_key_hash,
            response.serial_number,
            response.hash_algorithm,
        )
        answer = Answer(
            der,
            request,
            response.serial_number,
            response.this_update_utc,
            next_update,
            response.revocation_time_utc,
            response.revocation_reason,
        )
    # The library refuses several SingleResponses with ValueError.
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Refusal(f"an answer can't be read: {error}") from error
    return answer, response
