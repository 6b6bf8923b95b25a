"""Building answers: time stamps, and refusals."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.x509 import ObjectIdentifier

from trust_services.timestamps import syntax
from trust_services.timestamps.clock import Moment
from trust_services.timestamps.request import Request
from trust_services.timestamps.syntax import Failure

_GRANTED = 0
_REJECTION = 2
_SHA512 = syntax.AlgorithmIdentifier(algorithm=syntax.SHA512)
_SHA512_WITH_RSA = syntax.AlgorithmIdentifier(algorithm=syntax.SHA512_WITH_RSA, parameters=asn1.Null())


def rejection(failure: Failure, text: str) -> bytes:
    """A TimeStampResp that says why there is no time stamp."""
    # The bits of a named list end with the last that is set (X.690 section 11.2.2).
    size = failure // 8 + 1
    padding = size * 8 - 1 - failure
    bits = asn1.BitString((1 << padding).to_bytes(size, "big"), padding)
    status = syntax.PKIStatusInfo(status=_REJECTION, text=[text], failure=bits)
    return asn1.encode_der(syntax.TimeStampResp(status=status))


class Stamper:
    """Signs time stamps under one policy with one key."""

    def __init__(
        self,
        key: rsa.RSAPrivateKey,
        certificate: x509.Certificate,
        chain: Sequence[x509.Certificate],
        policy: ObjectIdentifier,
    ) -> None:
        self._key = key
        self._policy = policy
        self._certificates = asn1.SetOf([certificate, *chain])
        issuer = asn1.decode_der(asn1.TLV, certificate.issuer.public_bytes())
        self._signer = syntax.IssuerAndSerialNumber(issuer=issuer, serial_number=certificate.serial_number)
        named = syntax.SigningCertificateV2(
            certificates=[
                syntax.ESSCertIDv2(
                    certificate_hash=certificate.fingerprint(hashes.SHA256()),
                    issuer_serial=syntax.IssuerSerial(
                        issuer=syntax.DirectoryName(name=issuer), serial_number=certificate.serial_number
                    ),
                )
            ]
        )
        self._content_type = _attribute(syntax.CONTENT_TYPE, asn1.encode_der(syntax.TST_INFO))
        self._signing_certificate = _attribute(syntax.SIGNING_CERTIFICATE_V2, asn1.encode_der(named))

    def stamp(self, request: Request, moment: Moment) -> bytes:
        """A TimeStampResp which states that the request's hash existed at `moment`."""
        info = asn1.encode_der(
            syntax.TSTInfo(
                version=1,
                policy=self._policy,
                message_imprint=request.imprint,
                serial_number=new_serial_number(),
                time=asn1.GeneralizedTime(moment.time),
                accuracy=accuracy(moment.error),
                nonce=request.nonce,
            )
        )
        signed = asn1.SetOf(
            [
                self._content_type,
                self._signing_certificate,
                _attribute(syntax.MESSAGE_DIGEST, asn1.encode_der(hashlib.sha512(info).digest())),
            ]
        )
        signer = syntax.SignerInfo(
            version=1,
            certificate=self._signer,
            digest_algorithm=_SHA512,
            signed_attributes=signed,
            signature_algorithm=_SHA512_WITH_RSA,
            # Signed as the SET that they are, without the tag that they carry below (RFC 5652 section 5.4).
            signature=self._key.sign(asn1.encode_der(signed), PKCS1v15(), hashes.SHA512()),
        )
        data = syntax.SignedData(
            version=3,
            digest_algorithms=asn1.SetOf([_SHA512]),
            content=syntax.EncapsulatedContent(content_type=syntax.TST_INFO, content=info),
            certificates=self._certificates if request.certificate_wanted else None,
            signer_infos=asn1.SetOf([signer]),
        )
        token = syntax.TimeStampToken(content_type=syntax.SIGNED_DATA, content=data)
        return asn1.encode_der(syntax.TimeStampResp(status=syntax.PKIStatusInfo(status=_GRANTED), token=token))


def new_serial_number() -> int:
    """A number that no other time stamp has.

    159 random bits, the most that fit the 20 bytes which every client must take (RFC 3161 section 2.4.2). They
    need no state that could be lost or must be shared: among a million million time stamps of any number of
    instances, the chance that two are equal is below 10^-23. They come from the kernel, so that workers, which
    are forked, don't repeat one another.
    """
    return int.from_bytes(os.urandom(20), "big") >> 1


def accuracy(error: float) -> syntax.Accuracy:
    """An error bound in seconds, rounded up to the microsecond that the encoding can say."""
    microseconds = max(1, math.ceil(error * 1_000_000))
    return syntax.Accuracy(
        seconds=microseconds // 1_000_000 or None,
        milliseconds=microseconds // 1000 % 1000 or None,
        microseconds=microseconds % 1000 or None,
    )


def _attribute(kind: ObjectIdentifier, value: bytes) -> syntax.Attribute:
    return syntax.Attribute(kind=kind, values=asn1.SetOf([asn1.decode_der(asn1.TLV, value)]))
