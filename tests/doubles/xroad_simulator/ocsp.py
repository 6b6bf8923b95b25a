"""Certificate status as X-Road asks for it and judges it (its `OcspClient` and `OcspVerifier`).

A request is a POST with one CertID of SHA-1 and without a nonce. Of an answer the first SingleResponse
counts; it must repeat the CertID. Its signer is the certificate that the configuration names for the
responder, the CA itself, or whom the CA certified to sign OCSP answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from xroad_simulator.certificates import is_current

REQUEST_TYPE, RESPONSE_TYPE = "application/ocsp-request", "application/ocsp-response"
_CLOCK_DIFFERENCE = timedelta(seconds=60)


class OcspError(Exception):
    """An answer that can't be relied on, or that says that a certificate isn't good; the code is X-Road's."""

    def __init__(self, detail: str, code: str = "incorrect_validation_info") -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class Status(StrEnum):
    """A certificate's status in the words of the admin API."""

    GOOD = "OCSP_RESPONSE_GOOD"
    REVOKED = "OCSP_RESPONSE_REVOKED"
    SUSPENDED = "OCSP_RESPONSE_SUSPENDED"
    UNKNOWN = "OCSP_RESPONSE_UNKNOWN"


@dataclass(frozen=True, slots=True)
class Statement:
    """What a verified answer says. Whether it is still fresh is another question."""

    status: Status
    this_update: datetime
    next_update: datetime | None

    def require_good(self, freshness: timedelta, moment: datetime) -> None:
        """OcspError unless the certificate is good and the answer neither too old nor of the future."""
        if self.this_update > moment + _CLOCK_DIFFERENCE:
            raise OcspError(f"OCSP response is of the future (thisUpdate: {self.this_update})")
        if self.this_update + freshness < moment:
            raise OcspError(f"OCSP response is too old (thisUpdate: {self.this_update})")
        if self.next_update is not None and self.next_update < moment:
            raise OcspError(f"OCSP response has expired (nextUpdate: {self.next_update})")
        if self.status is not Status.GOOD:
            name = self.status.removeprefix("OCSP_RESPONSE_")
            raise OcspError(f"OCSP response indicates certificate status is {name}", "cert_validation")


def request(certificate: x509.Certificate, issuer: x509.Certificate) -> bytes:
    """The question about one certificate."""
    # X-Road names certificates by SHA-1; nothing is protected by it.
    builder = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, hashes.SHA1())  # noqa: S303
    return builder.build().public_bytes(Encoding.DER)


@lru_cache(maxsize=1024)
def read(
    answer: bytes,
    certificate: x509.Certificate,
    issuer: x509.Certificate,
    registered: tuple[x509.Certificate, ...],
) -> Statement:
    """What an answer says about a certificate; OcspError unless somebody signed it who may.

    `registered` are the certificates that the configuration names for the CA's responders.
    """
    try:
        response = ocsp.load_der_ocsp_response(answer)
        if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            raise OcspError(f"OCSP response has status {response.response_status.name}")
        first = next(iter(response.responses))
        asked = ocsp.load_der_ocsp_request(request(certificate, issuer))
        if _name(first) != _name(asked):
            raise OcspError("OCSP response does not apply to certificate")
        _require_signer(response, issuer, registered)
        return Statement(_status(first), first.this_update_utc, first.next_update_utc)
    except (ValueError, TypeError, StopIteration, UnsupportedAlgorithm) as error:
        raise OcspError(f"OCSP response can't be read: {error}") from error


def _name(of: ocsp.OCSPSingleResponse | ocsp.OCSPRequest) -> tuple[str, bytes, bytes, int]:
    return of.hash_algorithm.name, of.issuer_name_hash, of.issuer_key_hash, of.serial_number


def _status(single: ocsp.OCSPSingleResponse) -> Status:
    if single.certificate_status is ocsp.OCSPCertStatus.GOOD:
        return Status.GOOD
    if single.certificate_status is ocsp.OCSPCertStatus.UNKNOWN:
        return Status.UNKNOWN
    on_hold = single.revocation_reason is x509.ReasonFlags.certificate_hold
    return Status.SUSPENDED if on_hold else Status.REVOKED


def _require_signer(
    response: ocsp.OCSPResponse, issuer: x509.Certificate, registered: tuple[x509.Certificate, ...]
) -> None:
    named = [item for item in _candidates(response, issuer, registered) if _is_named(response, item)]
    if not named:
        raise OcspError("OCSP response is not signed by anybody who may")
    if not any(_signed(response, item) for item in named):
        raise OcspError("OCSP response signature is not valid")


def _candidates(
    response: ocsp.OCSPResponse, issuer: x509.Certificate, registered: tuple[x509.Certificate, ...]
) -> Iterator[x509.Certificate]:
    yield from registered
    yield issuer
    for carried in response.certificates:
        try:
            carried.verify_directly_issued_by(issuer)
            usage = carried.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
            continue
        if ExtendedKeyUsageOID.OCSP_SIGNING in usage and is_current(carried):
            yield carried


def _is_named(response: ocsp.OCSPResponse, candidate: x509.Certificate) -> bool:
    """Whether the answer says that this is its responder: by name or by the SHA-1 of its key."""
    if response.responder_name is not None:
        return response.responder_name == candidate.subject
    return (
        response.responder_key_hash == x509.SubjectKeyIdentifier.from_public_key(candidate.public_key()).digest
    )


def _signed(response: ocsp.OCSPResponse, signer: x509.Certificate) -> bool:
    key, algorithm = signer.public_key(), response.signature_hash_algorithm
    if algorithm is None:
        return False
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(response.signature, response.tbs_response_bytes, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(response.signature, response.tbs_response_bytes, ec.ECDSA(algorithm))
        else:
            return False
    except InvalidSignature:
        return False
    return True
