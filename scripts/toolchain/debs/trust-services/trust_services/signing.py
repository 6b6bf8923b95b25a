"""Private keys that sign elsewhere, in the shape in which the cryptography library's builders take keys.

The library asks a key for its public half and for signatures, and nothing else. So whatever can sign (a token,
or the signatures of a transcript that is replayed) can issue certificates, revocation lists and OCSP answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from trust_services.refusal import Refusal

SigningKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
"""A private key that certificates can be signed with, wherever it is."""

CertificateHash = hashes.SHA256 | hashes.SHA384

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
"""What verifies such a signature."""

Sign = Callable[[bytes, hashes.HashAlgorithm], bytes]
"""Data and a hash to a signature: PKCS #1 v1.5 (RFC 8017, 8.2) or ECDSA in DER (RFC 3279, 2.2.3)."""


def elsewhere(public: PublicKey, sign: Sign) -> SigningKey:
    """The private key of `public`, which signs by calling `sign`."""
    return _RsaKey(public, sign) if isinstance(public, rsa.RSAPublicKey) else _EcKey(public, sign)


def certificate_hash(key: SigningKey | PublicKey) -> CertificateHash:
    """The hash that goes with a key: SHA-384 for a curve of more than 256 bits, otherwise SHA-256."""
    curve = getattr(key, "curve", None)
    return hashes.SHA384() if curve is not None and curve.key_size > 256 else hashes.SHA256()


class _Elsewhere:
    """What such keys have in common: they sign, and can't be had."""

    def __init__(self, public: Any, sign: Sign) -> None:
        self._public = public
        self._sign = sign

    @property
    def key_size(self) -> int:
        """Bits of the modulus, or of the curve."""
        size: int = self._public.key_size
        return size

    def private_numbers(self) -> NoReturn:
        """Never: the key isn't here."""
        raise Refusal("the private key isn't here and can't be taken from where it is")

    def private_bytes(self, *_: Any, **__: Any) -> NoReturn:
        """Never: the key isn't here."""
        raise Refusal("the private key isn't here and can't be taken from where it is")

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: Any) -> Any:
        return self


class _RsaKey(_Elsewhere, rsa.RSAPrivateKey):
    """An RSA key that is elsewhere."""

    def public_key(self) -> rsa.RSAPublicKey:
        """The public half."""
        public: rsa.RSAPublicKey = self._public
        return public

    def sign(self, data: Any, padding: Any, algorithm: Any) -> bytes:
        """A PKCS #1 v1.5 signature, which every X-Road server verifies."""
        if not isinstance(padding, PKCS1v15) or not isinstance(algorithm, hashes.HashAlgorithm):
            raise Refusal("keys of the trust services sign whole messages with PKCS #1 v1.5 only")
        return self._sign(bytes(data), algorithm)

    def decrypt(self, *_: Any, **__: Any) -> NoReturn:
        """Never: an authority's key signs, and nothing else."""
        raise Refusal("an authority's key doesn't decrypt")


class _EcKey(_Elsewhere, ec.EllipticCurvePrivateKey):
    """An elliptic curve key that is elsewhere."""

    @property
    def curve(self) -> ec.EllipticCurve:
        """The curve."""
        curve: ec.EllipticCurve = self._public.curve
        return curve

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The public half."""
        public: ec.EllipticCurvePublicKey = self._public
        return public

    def sign(self, data: Any, signature_algorithm: Any) -> bytes:
        """An ECDSA signature."""
        algorithm = signature_algorithm.algorithm
        if not isinstance(algorithm, hashes.HashAlgorithm):
            raise Refusal("keys of the trust services sign whole messages only")
        return self._sign(bytes(data), algorithm)

    def exchange(self, *_: Any, **__: Any) -> NoReturn:
        """Never: an authority's key signs, and nothing else."""
        raise Refusal("an authority's key doesn't agree on keys")
