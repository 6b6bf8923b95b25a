"""How an OCSP request names a certificate: a CertID (RFC 6960 section 4.1.1)."""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

HASHES: tuple[hashes.HashAlgorithm, ...] = (hashes.SHA1(), hashes.SHA256())  # noqa: S303 - names, doesn't protect
"""What CertIDs are made with: X-Road servers and RFC 5019 section 2.1.1 use SHA-1, newer clients SHA-256."""

IssuerHashes = dict[str, tuple[bytes, bytes]]
"""For each hash by name, an authority's name and its key hashed with it."""


class MalformedRequest(Exception):  # noqa: N818 - named as in RFC 6960 section 2.3
    """The request isn't one that this profile of OCSP knows."""


def issuer_hashes(issuer: x509.Certificate) -> IssuerHashes:
    """An authority as CertIDs name it."""
    found = {}
    for algorithm in HASHES:
        # Of the key the library takes the issuer's, but of the name the one that the certificate has as issuer:
        # above an authority there is another name, that of the root.
        request = ocsp.OCSPRequestBuilder().add_certificate(issuer, issuer, algorithm).build()
        name = hashes.Hash(algorithm)
        name.update(issuer.subject.public_bytes())
        found[algorithm.name] = name.finalize(), request.issuer_key_hash
    return found


def shortest_request(name_hash: bytes, key_hash: bytes, serial: int, algorithm: hashes.HashAlgorithm) -> bytes:
    """The DER request that asks for one certificate and nothing else (RFC 5019 section 2.1.1).

    Nearly every client sends just this, so it is what answers are found by, without reading it.
    """
    builder = ocsp.OCSPRequestBuilder().add_certificate_by_hash(name_hash, key_hash, serial, algorithm)
    return builder.build().public_bytes(Encoding.DER)


def shortened(request: bytes) -> bytes | None:
    """The shortest request that asks the same as this one; None if its hash is one that nobody answers.

    Extensions fall away: an answer that was signed before it was asked for can't reflect them (RFC 5019
    section 2.1.1). MalformedRequest if it isn't a request, marks an extension critical, which forbids to
    ignore it (RFC 6960 section 4.4), or asks for several certificates: each would need its place in one
    answer (RFC 6960 section 4.2.2.3), and this profile allows one only (RFC 5019 section 2.1.1).
    """
    try:
        read = ocsp.load_der_ocsp_request(request)
        if any(extension.critical for extension in read.extensions):
            raise MalformedRequest
        return shortest_request(
            read.issuer_name_hash, read.issuer_key_hash, read.serial_number, read.hash_algorithm
        )
    except UnsupportedAlgorithm:
        return None
    except (ValueError, TypeError, NotImplementedError, x509.DuplicateExtension) as error:
        raise MalformedRequest from error
