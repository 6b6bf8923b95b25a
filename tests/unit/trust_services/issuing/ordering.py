"""Orders, requests and authorities to test with."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID, ObjectIdentifier
from tests.key_usage import key_usage

from trust_services.issuing.orders import Order, Profile
from trust_services.issuing.profiles import Addresses, Terms
from trust_services.issuing.refusals import Unavailable
from trust_services.issuing.rules import Site
from trust_services.signing import SigningKey

COUNTRY = "BJ"
ORGANIZATION = "Agence des Services"
SITE = Site(COUNTRY, ORGANIZATION)
SERVICE = "stamps1.trust.example.bj"
SERVER = "ss1.health.example.bj"
NAME = "Ministère de la Santé"
ADDRESSES = Addresses(
    "http://ocsp.example.bj/", "http://pki.example.bj/trust.crl", "http://pki.example.bj/trust.crt"
)
Subject = list[tuple[ObjectIdentifier, str]]

_numbers = itertools.count(1)


@cache
def rsa_key(name: str = "member", bits: int = 2048) -> rsa.RSAPrivateKey:
    """A key that is always the same in a run: making one takes a while."""
    return rsa.generate_private_key(65537, bits)


@cache
def ec_key(name: str = "member") -> ec.EllipticCurvePrivateKey:
    """A key that is always the same in a run."""
    return ec.generate_private_key(ec.SECP256R1())


def fresh_key() -> ec.EllipticCurvePrivateKey:
    """A key that nothing was ordered with."""
    return ec.generate_private_key(ec.SECP256R1())


def key_for(profile: str) -> SigningKey:
    """A key that a certificate of this profile may have; a new one unless that takes a while."""
    return rsa_key(profile, 3072) if profile == Profile.TIME_STAMPING else fresh_key()


def subject(profile: str, member_class: str = "GOV", code: str = "HEALTH", name: str = NAME) -> Subject:
    """The subject that X-Road's Basic profile prescribes, or that of a service."""
    if profile == "authentication":
        return [
            (NameOID.COMMON_NAME, SERVER),
            (NameOID.SERIAL_NUMBER, code),
            (NameOID.COUNTRY_NAME, COUNTRY),
            (NameOID.ORGANIZATION_NAME, name),
        ]
    if Profile(profile).of_service:
        return [
            (NameOID.COUNTRY_NAME, COUNTRY),
            (NameOID.ORGANIZATION_NAME, ORGANIZATION),
            (NameOID.COMMON_NAME, SERVICE),
        ]
    return [
        (NameOID.COMMON_NAME, name),
        (NameOID.ORGANIZATION_NAME, name),
        (NameOID.BUSINESS_CATEGORY, member_class),
        (NameOID.COUNTRY_NAME, COUNTRY),
        (NameOID.SERIAL_NUMBER, code),
    ]


def usage(bits: Iterable[str]) -> x509.KeyUsage:
    """A key usage of these bits."""
    return key_usage(*bits)


def request(
    names: Subject,
    key: SigningKey,
    *extensions: x509.ExtensionType,
    algorithm: hashes.SHA256 | hashes.SHA224 | None = None,
) -> x509.CertificateSigningRequest:
    """A signed request."""
    builder = x509.CertificateSigningRequestBuilder(
        x509.Name([x509.NameAttribute(kind, value) for kind, value in names])
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(key, algorithm or hashes.SHA256())


def pem(made: x509.CertificateSigningRequest) -> str:
    """A request as text."""
    return made.public_bytes(Encoding.PEM).decode()


def order(
    profile: str = "signing",
    csr: x509.CertificateSigningRequest | str | None = None,
    *,
    key: SigningKey | None = None,
    code: str = "HEALTH",
    name: str = NAME,
    idempotency_key: str = "",
) -> Order:
    """An order with a right request, unless another is given, and a new idempotency key."""
    return Order.model_validate(
        content(profile, csr, key=key, code=code, name=name, idempotency_key=idempotency_key)
    )


def content(
    profile: str = "signing",
    csr: x509.CertificateSigningRequest | str | None = None,
    *,
    key: SigningKey | None = None,
    code: str = "HEALTH",
    name: str = NAME,
    idempotency_key: str = "",
) -> dict[str, object]:
    """An order as a client sends it."""
    made = csr or request(subject(profile, code=code, name=name), key or key_for(profile))
    member = {"class": "GOV", "code": code, "name": name}
    sent: dict[str, object] = {
        "profile": profile,
        **({"service": SERVICE} if Profile(profile).of_service else {"member": member}),
        "csr": made if isinstance(made, str) else pem(made),
        "idempotency_key": idempotency_key or f"order-{next(_numbers):08d}",
    }
    return {**sent, "server": SERVER} if profile == "authentication" else sent


@dataclass(frozen=True)
class TestAuthority:
    """An issuing authority below a root, with keys in memory."""

    __test__ = False

    key: SigningKey
    certificate: x509.Certificate
    root: x509.Certificate

    def terms(self, days: int = 365) -> Terms:
        """What its certificates have in common."""
        life = dict.fromkeys(Profile, timedelta(days=days))
        return Terms(self.certificate, SITE, ADDRESSES, life)


@cache
def authority(days: int = 3650, key: SigningKey | None = None) -> TestAuthority:
    """An authority whose own certificate lives so long."""
    root_key, own = ec_key("root"), key or ec_key("authority")
    root = _authority_certificate("Test Root CA", root_key.public_key(), "Test Root CA", root_key, days)
    issuing = _authority_certificate("Test Trust Services CA", own.public_key(), "Test Root CA", root_key, days)
    return TestAuthority(own, issuing, root)


def _authority_certificate(
    name: str, key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey, issuer: str, issuer_key: SigningKey, days: int
) -> x509.Certificate:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder(
            _authority_name(issuer),
            _authority_name(name),
            key,
            x509.random_serial_number(),
            now - timedelta(days=1),
            now + timedelta(days=days),
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage({"key_cert_sign", "crl_sign"}), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


def _authority_name(name: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.COUNTRY_NAME, COUNTRY), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    )


class Memory:
    """A key holder without a token."""

    def __init__(self, key: SigningKey) -> None:
        self._key = key
        self.trouble = ""

    def key(self) -> SigningKey:
        """The key, unless there is trouble."""
        if self.trouble:
            raise Unavailable(self.trouble, "look at the token")
        return self._key

    def forget(self) -> None:
        """Nothing to close."""
