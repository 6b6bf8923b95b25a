"""What the servers read from certificates: details for the API, use, names, chains.

The acceptance rules are those of X-Road's `CertUtils` and the Basic certificate profile.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from xroad_simulator.clock import now, timestamp
from xroad_simulator.identifiers import ClientId

BASIC_PROFILE = "ee.ria.xroad.common.certificateprofile.impl.BasicCertificateProfileInfoProvider"
"""The country-neutral profile, the only one whose names the simulator can read."""

KNOWN_PROFILES = frozenset(
    f"ee.ria.xroad.common.certificateprofile.impl.{name}CertificateProfileInfoProvider"
    for name in ("Basic", "BasicACME", "Ejbca", "FiVRK", "FiVRKACME", "Is", "Fo", "SkKlass3")
)

_USAGES = {
    "DIGITAL_SIGNATURE": "digital_signature",
    "NON_REPUDIATION": "content_commitment",
    "KEY_ENCIPHERMENT": "key_encipherment",
    "DATA_ENCIPHERMENT": "data_encipherment",
    "KEY_AGREEMENT": "key_agreement",
    "KEY_CERT_SIGN": "key_cert_sign",
    "CRL_SIGN": "crl_sign",
}


class CertificateError(Exception):
    """A certificate that can't be used for what it was given for."""


def parse_certificate(data: bytes) -> x509.Certificate:
    """Read PEM (the first block) or DER; CertificateError if it is neither."""
    try:
        if b"-----BEGIN" in data:
            return x509.load_pem_x509_certificate(data[data.index(b"-----BEGIN") :])
        return x509.load_der_x509_certificate(data)
    except ValueError as error:
        raise CertificateError("not a certificate") from error


def der(certificate: x509.Certificate) -> bytes:
    """The certificate's bytes."""
    return certificate.public_bytes(Encoding.DER)


def encode(certificate: x509.Certificate) -> str:
    """Base64 of the DER form, as configurations and databases keep it."""
    return base64.b64encode(der(certificate)).decode()


def decode(text: str) -> x509.Certificate:
    """Inverse of `encode`."""
    return x509.load_der_x509_certificate(base64.b64decode(text))


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 in upper-case hex: how the admin APIs name a certificate."""
    return hashlib.sha256(der(certificate)).hexdigest().upper()


def common_name(name: x509.Name) -> str:
    """The common name, or the whole name where there is none."""
    values = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(values[0].value) if values else name.rfc4514_string()


def key_usages(certificate: x509.Certificate) -> list[str]:
    """The key usages in the spelling of the API; empty without the extension."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return []
    return [name for name, attribute in _USAGES.items() if getattr(usage, attribute)]


def _has_client_auth(certificate: x509.Certificate) -> bool:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return ExtendedKeyUsageOID.CLIENT_AUTH in usage


def is_authentication(certificate: x509.Certificate) -> bool:
    """X-Road's rule: client authentication, or a usage that TLS needs."""
    usages = key_usages(certificate)
    return bool(usages) and (
        _has_client_auth(certificate)
        or bool({"DIGITAL_SIGNATURE", "KEY_ENCIPHERMENT", "DATA_ENCIPHERMENT"} & set(usages))
    )


def is_signing(certificate: x509.Certificate) -> bool:
    """X-Road's rule: non-repudiation."""
    return "NON_REPUDIATION" in key_usages(certificate)


def alternative_names(certificate: x509.Certificate) -> str:
    """Subject alternative names as one text, `DNS:a, IP Address:b`; `-` where there is none."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return "-"
    texts = [f"DNS:{name}" for name in names.get_values_for_type(x509.DNSName)]
    texts += [f"IP Address:{ip}" for ip in names.get_values_for_type(x509.IPAddress)]
    return ", ".join(texts) or "-"


def details(certificate: x509.Certificate) -> dict[str, Any]:
    """`CertificateDetails` of both definitions."""
    key = certificate.public_key()
    is_rsa = isinstance(key, rsa.RSAPublicKey)
    described: dict[str, Any] = {
        "hash": fingerprint(certificate),
        "issuer_common_name": common_name(certificate.issuer),
        "issuer_distinguished_name": certificate.issuer.rfc4514_string(),
        "subject_common_name": common_name(certificate.subject),
        "subject_distinguished_name": certificate.subject.rfc4514_string(),
        "subject_alternative_names": alternative_names(certificate),
        "key_usages": key_usages(certificate),
        "not_before": timestamp(certificate.not_valid_before_utc),
        "not_after": timestamp(certificate.not_valid_after_utc),
        "public_key_algorithm": "RSA" if is_rsa else "EC",
        "serial": str(certificate.serial_number),
        "signature": certificate.signature.hex(),
        "signature_algorithm": getattr(certificate.signature_algorithm_oid, "_name", "unknown"),
        "version": certificate.version.value + 1,
        # The definitions demand both, and at least one digit, of elliptic-curve keys too.
        "rsa_public_key_exponent": 0,
        "rsa_public_key_modulus": "0",
    }
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        described["rsa_public_key_exponent"] = numbers.e
        described["rsa_public_key_modulus"] = f"{numbers.n:x}"
    elif isinstance(key, ec.EllipticCurvePublicKey):
        described["ec_public_parameters"] = key.curve.name
        described["ec_public_key_point"] = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint).hex()
    return described


def signing_member(certificate: x509.Certificate, instance: str) -> ClientId:
    """The member that a signing certificate of the Basic profile names.

    Class is businessCategory, code is serialNumber; CertificateError if either is missing.
    """
    subject = certificate.subject
    categories = subject.get_attributes_for_oid(NameOID.BUSINESS_CATEGORY)
    codes = subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)
    if not categories or not codes:
        raise CertificateError("subject has no businessCategory or no serialNumber")
    return ClientId(instance, str(categories[0].value), str(codes[0].value))


def is_current(certificate: x509.Certificate, moment: datetime | None = None) -> bool:
    """Whether the certificate is within its validity."""
    moment = moment or now()
    return certificate.not_valid_before_utc <= moment <= certificate.not_valid_after_utc


def issuer_among(
    certificate: x509.Certificate, authorities: Iterable[x509.Certificate]
) -> x509.Certificate | None:
    """The approved CA that signed this certificate, or None. Both must be within validity."""
    if not is_current(certificate):
        return None
    for authority in authorities:
        if authority.subject != certificate.issuer or not is_current(authority):
            continue
        if is_issued_by(certificate, authority):
            return authority
    return None


@lru_cache(maxsize=4096)
def is_issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Whether a CA's key signed the certificate."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
