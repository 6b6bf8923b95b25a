"""A server's own TLS key and certificate: made, requested, imported and exported through its admin API.

The central server has one for its management services, a security server one towards information systems.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from xroad_simulator.certificates import CertificateError, parse_certificate
from xroad_simulator.errors import ApiError, bad_request
from xroad_simulator.listeners import TlsFiles


def certificate(files: TlsFiles) -> x509.Certificate:
    """The certificate that is in use."""
    return parse_certificate(files.certificate())


def request(files: TlsFiles, name: str) -> bytes:
    """A certificate request (PEM) of the key; 400 if the distinguished name can't be read."""
    key = serialization.load_pem_private_key(files.key(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)
    try:
        subject = x509.Name.from_rfc4514_string(",".join(part.strip() for part in name.split(",")))
    except ValueError:
        raise bad_request("invalid_distinguished_name", name) from None
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def take(
    files: TlsFiles,
    content: bytes,
    *,
    other_key: Callable[[str], ApiError] = bad_request,
    known: Callable[[str], ApiError] = bad_request,
) -> x509.Certificate:
    """Use another certificate of the same key; ApiError if it isn't one, of another key, or in use already.

    The two servers of X-Road answer the last two with different statuses.
    """
    try:
        imported = parse_certificate(content)
    except CertificateError:
        raise bad_request("invalid_certificate") from None
    current = certificate(files)
    if _public(imported) != _public(current):
        raise other_key("key_not_found")
    if imported == current:
        raise known("certificate_already_exists")
    files.replace(imported.public_bytes(Encoding.PEM), files.key())
    return imported


def _public(of: x509.Certificate) -> bytes:
    return of.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def archive(files: TlsFiles, name: str) -> bytes:
    """The certificate as PEM and as DER in one archive (`.tar.gz`)."""
    current = certificate(files)
    contents = {f"./{name}.pem": Encoding.PEM, f"./{name}.cer": Encoding.DER}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path, encoding in contents.items():
            content = current.public_bytes(encoding)
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return gzip.compress(packed.getvalue())
