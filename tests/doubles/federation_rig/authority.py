"""A certification authority for tests: signs with a key that lies in a folder."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from stacks.providers.xroad.authority import CertificateOrder

_USAGES = {
    "digital_signature": False,
    "content_commitment": False,
    "key_encipherment": False,
    "data_encipherment": False,
    "key_agreement": False,
    "key_cert_sign": False,
    "crl_sign": False,
    "encipher_only": False,
    "decipher_only": False,
}


class LocalAuthority:
    """Issues X-Road certificates and the TLS certificates of a test's servers."""

    def __init__(self, folder: Path, name: str = "Test Trust Services CA") -> None:
        """Read the authority in `folder`, or make one of this name there."""
        self.certificate_file, key_file = folder / "ca.crt", folder / "ca.key"
        if not key_file.exists():
            _make(self.certificate_file, key_file, name)
        self.certificate = x509.load_pem_x509_certificate(self.certificate_file.read_bytes())
        key = serialization.load_pem_private_key(key_file.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self.key = key

    async def certificates(self) -> list[bytes]:
        """The authority's own certificate."""
        return [self.certificate.public_bytes(serialization.Encoding.PEM)]

    async def sign(self, order: CertificateOrder) -> bytes:
        """Issue what X-Road accepts for this usage."""
        csr = x509.load_pem_x509_csr(order.request)
        names = {str(item.value) for item in csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)}
        assert names == {order.server or order.member_name}
        signing = order.usage == "SIGNING"
        wanted = {"content_commitment"} if signing else {"digital_signature", "key_encipherment"}
        builder = self._builder(csr.subject).public_key(csr.public_key())
        builder = builder.add_extension(
            x509.KeyUsage(**{**_USAGES, **dict.fromkeys(wanted, True)}), critical=True
        )
        if not signing:
            purposes = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
            builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def issue_tls(self, folder: Path, name: str, alternatives: list[x509.GeneralName]) -> None:
        """Write `<name>.crt` and `<name>.key` for a server."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = (
            self._builder(subject)
            .public_key(key.public_key())
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (folder / f"{name}.key").write_bytes(_private(key))

    def _builder(self, subject: x509.Name) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.certificate.subject)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=1))
            .not_valid_after(now + timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        )


def _make(certificate_file: Path, key_file: Path, common_name: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    key_file.write_bytes(_private(key))
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
