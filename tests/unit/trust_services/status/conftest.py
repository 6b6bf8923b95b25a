"""An authority with software keys, its responder, and a few certificates."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from trust_services import files
from trust_services.certificate_state import CertificateState
from trust_services.status import publication
from trust_services.status.settings import Settings
from trust_services.status.shelf import Shelf
from trust_services.status.signing import Signer
from trust_services.status.verification import Authority

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def certificate(
    subject: str,
    key: Key,
    issuer: x509.Certificate | None,
    issuer_key: Key,
    *extensions: x509.ExtensionType,
    serial: int | None = None,
    days: int = 30,
) -> x509.Certificate:
    """A certificate for `key`; its own issuer if there is none."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
    return builder.sign(issuer_key, hashes.SHA256())


@dataclass
class Pki:
    """An authority below a root, as those of a site are."""

    name: str
    key: Key = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    responder_key: Key = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        root_key = ec.generate_private_key(ec.SECP256R1())
        root_constraints = x509.BasicConstraints(ca=True, path_length=1)
        self.root = certificate(f"root of {self.name}", root_key, None, root_key, root_constraints)
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        self.certificate = certificate(self.name, self.key, self.root, root_key, constraints)
        self.responder = self.responder_for(self.responder_key)

    def responder_for(
        self, key: Key, *usages: x509.ObjectIdentifier, days: int = 30, issuer_key: Key | None = None
    ) -> x509.Certificate:
        """A responder's certificate; for signing OCSP answers unless `usages` say otherwise."""
        usage = x509.ExtendedKeyUsage(usages or [ExtendedKeyUsageOID.OCSP_SIGNING])
        signing_key = issuer_key or self.key
        return certificate(
            f"responder of {self.name}",
            key,
            self.certificate,
            signing_key,
            usage,
            x509.OCSPNoCheck(),
            days=days,
        )

    @property
    def signer(self) -> Signer:
        """What signs its answers."""
        return Signer(self.certificate, self.responder, self.responder_key)

    @property
    def authority(self) -> Authority:
        """What a responder's host knows of it."""
        return Authority(self.certificate, timedelta(hours=1))

    def publication(
        self, *states: CertificateState, age: float = 0, lifetime: float = 3600, signer: Signer | None = None
    ) -> bytes:
        """A publication that was signed `age` seconds ago."""
        signed = datetime.now(UTC) - timedelta(seconds=age)
        answers = (signer or self.signer).sign(states, signed, signed + timedelta(seconds=lifetime))
        return publication.encode(self.certificate, [answer.der for answer in answers])

    def request(self, serial: int, algorithm: hashes.HashAlgorithm | None = None) -> bytes:
        """The shortest request about a certificate; SHA-1 unless `algorithm` says otherwise."""
        hashed = self.issuer_hashes(algorithm or hashes.SHA1())  # noqa: S303
        builder = ocsp.OCSPRequestBuilder().add_certificate_by_hash(
            *hashed,
            serial,
            algorithm or hashes.SHA1(),  # noqa: S303
        )
        return builder.build().public_bytes(Encoding.DER)

    def issuer_hashes(self, algorithm: hashes.HashAlgorithm) -> tuple[bytes, bytes]:
        """Name and key, hashed here by other means than the program's."""
        name = hashes.Hash(algorithm)
        name.update(self.certificate.subject.public_bytes())
        public = self.key.public_key()
        bits = hashes.Hash(algorithm)
        if isinstance(public, ec.EllipticCurvePublicKey):
            from cryptography.hazmat.primitives.serialization import PublicFormat

            bits.update(public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))
        else:
            from cryptography.hazmat.primitives.serialization import PublicFormat

            bits.update(public.public_bytes(Encoding.DER, PublicFormat.PKCS1))
        return name.finalize(), bits.finalize()


GOOD = CertificateState(0x1001)
REVOKED = CertificateState(0x1002, datetime(2026, 11, 1, 8, 30, tzinfo=UTC), x509.ReasonFlags.key_compromise)


@pytest.fixture(scope="session")
def pki() -> Pki:
    """The authority that most tests use."""
    return Pki("Test authority")


@pytest.fixture(scope="session")
def other() -> Pki:
    """Another authority."""
    return Pki("Other authority")


@pytest.fixture(scope="session")
def new_pki() -> Callable[..., Pki]:
    """Makes authorities with other keys."""
    return Pki


@pytest.fixture(scope="session")
def good() -> CertificateState:
    """A certificate that is good."""
    return GOOD


@pytest.fixture(scope="session")
def revoked() -> CertificateState:
    """A certificate that is revoked."""
    return REVOKED


@dataclass
class Site:
    """A responder's folder and settings."""

    folder: Path
    pki: Pki

    def settings(self, **more: object) -> Settings:
        """Settings, read as from a file."""
        return Settings.model_validate_json(json.dumps(self.document(**more)))

    def document(self, **more: object) -> dict[str, object]:
        """The settings' document."""
        certificate_file = self.folder / "authority.pem"
        certificate_file.write_bytes(self.pki.certificate.public_bytes(Encoding.PEM))
        return {
            "listen": {"port": 1},
            "folder": str(self.folder),
            "authorities": [
                {"name": "trust", "certificate": str(certificate_file), "publishes": ["answers"]},
            ],
            **more,
        }

    def publish(self, content: bytes, name: str = "trust.answers") -> Path:
        """Put a file where the responder looks."""
        files.write(self.folder / name, content)
        return self.folder / name

    def shelf(self, **more: object) -> Shelf:
        """A shelf that looked once."""
        shelf = Shelf(self.settings(**more))
        shelf.look()
        return shelf


@pytest.fixture
def site(tmp_path: Path, pki: Pki) -> Site:
    """A responder's host."""
    return Site(tmp_path, pki)


@pytest.fixture
def with_responder() -> Callable[[Pki, x509.Certificate, Key], Pki]:
    """An authority with another responder."""

    def make(pki: Pki, certificate_: x509.Certificate, key: Key) -> Pki:
        changed = replace(pki)
        changed.certificate = pki.certificate
        changed.responder, changed.responder_key = certificate_, key
        return changed

    return make
