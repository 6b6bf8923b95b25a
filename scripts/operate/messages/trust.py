"""Whom to believe: ways from a certificate up to a root, and what an authority said of a certificate then.

All is judged at a given moment, that of the time stamp, not at present: a signature stays good after its
certificate has expired, or was revoked later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from operate.messages.documents import Mismatch

_LONGEST_CHAIN = 6
CLOCK_DIFFERENCE = timedelta(seconds=60)
STATUS_AGE = timedelta(hours=5)
"""How much older than the time stamp an OCSP response may be.

A server relies on one for an hour (`ocspFreshnessSeconds`) and may wait four for its time stamp
(`acceptable-timestamp-failure-period`), both X-Road's defaults.
"""


def certificate(encoded: bytes) -> x509.Certificate:
    """A certificate all of whose parts can be read; Mismatch if it isn't one."""
    try:
        read = x509.load_der_x509_certificate(encoded)
        # The library reads parts when they are asked for: a damaged one must be found here.
        _ = (read.subject, read.issuer, read.extensions, read.public_key(), read.signature_algorithm_oid)
        _ = (read.not_valid_before_utc, read.not_valid_after_utc, read.serial_number)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Mismatch(f"a certificate can't be read: {error}") from error
    return read


def name_of(name: x509.Name) -> str:
    """A name for people."""
    return name.rfc4514_string()


@dataclass(frozen=True, slots=True)
class Anchors:
    """What is believed without proof, and further certificates that need one."""

    roots: tuple[x509.Certificate, ...]
    others: tuple[x509.Certificate, ...] = ()

    @classmethod
    def read(cls, content: bytes) -> Anchors:
        """Of certificates, PEM or DER; those that sign themselves are roots. ValueError without one."""
        if b"-----BEGIN" in content:
            found = x509.load_pem_x509_certificates(content)
        else:
            found = [x509.load_der_x509_certificate(content)]
        roots = tuple(item for item in found if item.issuer == item.subject and _signed_by(item, item))
        if not roots:
            raise ValueError("there is no root in it, which is a certificate that signs itself")
        return cls(roots, tuple(item for item in found if item not in roots))

    def path(
        self, certificate: x509.Certificate, carried: Sequence[x509.Certificate], moment: datetime
    ) -> list[x509.Certificate]:
        """The certificate and all above it, a root last; Mismatch if no way is valid at that moment."""
        pool = tuple(dict.fromkeys((*carried, *self.others)))
        reasons: list[str] = []
        found = self._climb([certificate], pool, moment, reasons)
        if found is None:
            raise Mismatch(reasons[0] if reasons else f"nobody issued {name_of(certificate.subject)}")
        return found

    def _climb(
        self,
        below: list[x509.Certificate],
        pool: Sequence[x509.Certificate],
        moment: datetime,
        reasons: list[str],
    ) -> list[x509.Certificate] | None:
        top = below[-1]
        if not top.not_valid_before_utc <= moment <= top.not_valid_after_utc:
            reasons.append(f"{name_of(top.subject)} wasn't valid at {moment:%Y-%m-%d %H:%M:%S} UTC")
            return None
        issuers = [item for item in (*self.roots, *pool) if _signed_by(top, item) and item not in below]
        if not issuers:
            reasons.append(f"{name_of(top.issuer)}, which issued {name_of(top.subject)}, isn't below the root")
        for issuer in issuers if len(below) < _LONGEST_CHAIN else ():
            problem = _authority_problem(issuer, len(below) - 1)
            if problem is not None:
                reasons.append(problem)
            elif issuer in self.roots:
                if issuer.not_valid_before_utc <= moment <= issuer.not_valid_after_utc:
                    return [*below, issuer]
                reasons.append(f"the root {name_of(issuer.subject)} wasn't valid then")
            elif found := self._climb([*below, issuer], pool, moment, reasons):
                return found
        return None


def _signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _authority_problem(certificate: x509.Certificate, between: int) -> str | None:
    """Why a certificate can't be that of a CA with `between` CAs between it and the end, None if it can."""
    name = name_of(certificate.subject)
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (x509.ExtensionNotFound, ValueError):
        return f"{name} isn't an authority"
    if not constraints.ca:
        return f"{name} isn't an authority"
    if constraints.path_length is not None and constraints.path_length < between:
        return f"{name} may not have {between} authorities below it"
    usage = _usage(certificate)
    return None if usage is None or usage.key_cert_sign else f"{name} may not issue certificates"


def _usage(certificate: x509.Certificate) -> x509.KeyUsage | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return None


def require_signing(certificate: x509.Certificate) -> None:
    """Mismatch unless the certificate is one for signing (non-repudiation), as X-Road demands."""
    usage = _usage(certificate)
    if usage is None or not usage.content_commitment:
        raise Mismatch(f"{name_of(certificate.subject)} isn't a certificate for signatures")


def member_of(certificate: x509.Certificate) -> tuple[str, str]:
    """Class and code of the member that a certificate of X-Road's Basic profile names.

    They are businessCategory and serialNumber of the subject; Mismatch unless each is there once.
    """
    found = []
    for oid, name in ((NameOID.BUSINESS_CATEGORY, "businessCategory"), (NameOID.SERIAL_NUMBER, "serialNumber")):
        values = certificate.subject.get_attributes_for_oid(oid)
        if len(values) != 1:
            raise Mismatch(f"the certificate's subject has {len(values)} {name}, not one (Basic profile)")
        found.append(str(values[0].value))
    return found[0], found[1]


@dataclass(frozen=True, slots=True)
class Status:
    """What an authority said: the certificate is good."""

    responder: x509.Certificate
    said_at: datetime


def require_good(
    certificate: x509.Certificate, issuer: x509.Certificate, answers: Sequence[bytes], moment: datetime
) -> Status:
    """Who said that the certificate was good, fresh at that moment; Mismatch if nobody did who may."""
    reasons: list[str] = []
    for answer in answers:
        try:
            response = ocsp.load_der_ocsp_response(answer)
            if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
                reasons.append(f"the OCSP response is a refusal: {response.response_status.name}")
                continue
            if not _is_about(response, certificate, issuer):
                continue
            return _good(response, certificate, issuer, moment)
        except Mismatch as problem:
            reasons.append(str(problem))
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            reasons.append(f"an OCSP response can't be read: {error}")
    name = name_of(certificate.subject)
    raise Mismatch(reasons[0] if reasons else f"there is no OCSP response about {name}")


def is_asked_about(certificate: x509.Certificate, issuer: x509.Certificate, answers: Sequence[bytes]) -> bool:
    """Whether one of the answers is about a certificate."""
    for answer in answers:
        try:
            if _is_about(ocsp.load_der_ocsp_response(answer), certificate, issuer):
                return True
        except (ValueError, UnsupportedAlgorithm):
            continue
    return False


def _is_about(response: ocsp.OCSPResponse, certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    algorithm = response.hash_algorithm.name
    if algorithm not in ("sha1", "sha256", "sha384", "sha512"):
        return False
    name = hashlib.new(algorithm, certificate.issuer.public_bytes(), usedforsecurity=False).digest()
    key = hashlib.new(algorithm, _key_bits(issuer), usedforsecurity=False).digest()
    named = response.serial_number, response.issuer_name_hash, response.issuer_key_hash
    return named == (certificate.serial_number, name, key)


def _key_bits(certificate: x509.Certificate) -> bytes:
    """A public key's bits without the algorithm around them, which is what OCSP hashes (RFC 6960, 4.1.1)."""
    key = certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    if isinstance(key, rsa.RSAPublicKey):
        return key.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    raise Mismatch(f"{name_of(certificate.subject)} has a key of an uncommon kind")


def _good(
    response: ocsp.OCSPResponse, certificate: x509.Certificate, issuer: x509.Certificate, moment: datetime
) -> Status:
    said_at, until = response.this_update_utc, response.next_update_utc
    responder = _responder(response, issuer, said_at)
    if response.certificate_status is not ocsp.OCSPCertStatus.GOOD:
        status = response.certificate_status.name.lower()
        raise Mismatch(f"{name_of(certificate.subject)} is {status}, says {name_of(responder.subject)}")
    if said_at > moment + CLOCK_DIFFERENCE:
        raise Mismatch(f"the OCSP response is of {said_at:%Y-%m-%d %H:%M:%S} UTC, after the time stamp")
    if said_at + STATUS_AGE < moment or (until is not None and until < moment):
        raise Mismatch(f"the OCSP response of {said_at:%Y-%m-%d %H:%M:%S} UTC was too old at the time stamp")
    return Status(responder, said_at)


def _responder(response: ocsp.OCSPResponse, issuer: x509.Certificate, moment: datetime) -> x509.Certificate:
    """Whose signature the response bears: the authority's, or that of whom it told to answer."""
    carried = [certificate(item.public_bytes(Encoding.DER)) for item in response.certificates]
    told = [item for item in carried if _may_answer(item, issuer, moment)]
    for candidate in (*told, issuer):
        if _is_named(response, candidate) and _verifies(response, candidate):
            return candidate
    raise Mismatch("the OCSP response isn't signed by the authority, nor by a responder that it certified")


def _may_answer(certificate: x509.Certificate, issuer: x509.Certificate, moment: datetime) -> bool:
    try:
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    is_valid = certificate.not_valid_before_utc <= moment <= certificate.not_valid_after_utc
    return ExtendedKeyUsageOID.OCSP_SIGNING in purposes and is_valid and _signed_by(certificate, issuer)


def _is_named(response: ocsp.OCSPResponse, candidate: x509.Certificate) -> bool:
    if response.responder_name is not None:
        return response.responder_name == candidate.subject
    digest = hashlib.sha1(_key_bits(candidate), usedforsecurity=False).digest()
    return response.responder_key_hash == digest


def _verifies(response: ocsp.OCSPResponse, signer: x509.Certificate) -> bool:
    algorithm = response.signature_hash_algorithm
    if algorithm is None or algorithm.name not in ("sha256", "sha384", "sha512"):
        return False
    return is_signature(signer, response.signature, response.tbs_response_bytes, algorithm)


def is_signature(
    signer: x509.Certificate, value: bytes, content: bytes, algorithm: hashes.HashAlgorithm
) -> bool:
    """Whether a value is a signature of a certificate's key over a content."""
    key = signer.public_key()
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(value, content, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(value, content, ec.ECDSA(algorithm))
        else:
            return False
    except InvalidSignature:
        return False
    return True
