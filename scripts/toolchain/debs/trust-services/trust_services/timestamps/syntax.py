"""The ASN.1 of RFC 3161, and what a time stamp needs of CMS (RFC 5652) and ESS (RFC 5035, RFC 5816).

Decoding is strict: what isn't DER, to the last byte, is a ValueError.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier

TST_INFO = ObjectIdentifier("1.2.840.113549.1.9.16.1.4")
"""id-ct-TSTInfo: the content that is signed (RFC 3161 section 2.4.2)."""
SIGNED_DATA = ObjectIdentifier("1.2.840.113549.1.7.2")
CONTENT_TYPE = ObjectIdentifier("1.2.840.113549.1.9.3")
MESSAGE_DIGEST = ObjectIdentifier("1.2.840.113549.1.9.4")
SIGNING_CERTIFICATE_V2 = ObjectIdentifier("1.2.840.113549.1.9.16.2.47")
SHA256 = ObjectIdentifier("2.16.840.1.101.3.4.2.1")
SHA512 = ObjectIdentifier("2.16.840.1.101.3.4.2.3")
SHA512_WITH_RSA = ObjectIdentifier("1.2.840.113549.1.1.13")


class Failure(IntEnum):
    """PKIFailureInfo: why there is no time stamp; the number of the bit (RFC 3161 section 2.4.2)."""

    BAD_ALGORITHM = 0
    BAD_REQUEST = 2
    BAD_DATA_FORMAT = 5
    TIME_NOT_AVAILABLE = 14
    UNACCEPTED_POLICY = 15
    UNACCEPTED_EXTENSION = 16
    SYSTEM_FAILURE = 25


@asn1.sequence
class AlgorithmIdentifier:
    """An algorithm that takes no parameters, or NULL."""

    algorithm: ObjectIdentifier
    parameters: asn1.Null | None = None


@asn1.sequence
class MessageImprint:
    """The hash that is stamped."""

    hash_algorithm: list[asn1.TLV]
    """An AlgorithmIdentifier of any kind; kept as it came, for the answer must repeat it."""
    hashed_message: bytes


@asn1.sequence
class Extension:
    """An extension of a request."""

    identifier: ObjectIdentifier
    critical: Annotated[bool, asn1.Default(value=False)]
    value: bytes


@asn1.sequence
class TimeStampReq:
    """What a client sends (RFC 3161 section 2.4.1)."""

    version: int
    message_imprint: MessageImprint
    policy: ObjectIdentifier | None
    nonce: int | None
    certificate_wanted: Annotated[bool, asn1.Default(value=False)]
    extensions: Annotated[list[Extension] | None, asn1.Implicit(0)]


@asn1.sequence
class PKIStatusInfo:
    """Granted or not, and why not."""

    status: int
    text: list[str] | None = None
    failure: asn1.BitString | None = None


@asn1.sequence
class Accuracy:
    """How far the stamped time may be off, in parts that add up. Milliseconds and microseconds: 1 to 999."""

    seconds: int | None
    milliseconds: Annotated[int | None, asn1.Implicit(0)]
    microseconds: Annotated[int | None, asn1.Implicit(1)]


@asn1.sequence
class TSTInfo:
    """What is signed. `ordering` is false, `tsa` and extensions are left out, as their defaults say."""

    version: int
    policy: ObjectIdentifier
    message_imprint: MessageImprint
    serial_number: int
    time: asn1.GeneralizedTime
    accuracy: Accuracy
    nonce: int | None


@asn1.sequence
class Attribute:
    """A signed attribute (RFC 5652 section 5.3)."""

    kind: ObjectIdentifier
    values: asn1.SetOf[asn1.TLV]


@asn1.sequence
class IssuerAndSerialNumber:
    """Which certificate (RFC 5652 section 10.2.4)."""

    issuer: asn1.TLV
    serial_number: int


@asn1.sequence
class DirectoryName:
    """GeneralNames of one directoryName (RFC 5280 section 4.2.1.6)."""

    name: Annotated[asn1.TLV, asn1.Explicit(4)]


@asn1.sequence
class IssuerSerial:
    """Which certificate, as attributes say it (RFC 5035 section 5)."""

    issuer: DirectoryName
    serial_number: int


@asn1.sequence
class ESSCertIDv2:
    """A certificate's SHA-256 hash, whose algorithm is left out as the default (RFC 5816 section 2.2.1)."""

    certificate_hash: bytes
    issuer_serial: IssuerSerial


@asn1.sequence
class SigningCertificateV2:
    """The certificate that a signature must be verified with, bound by the signature itself."""

    certificates: list[ESSCertIDv2]


@asn1.sequence
class SignerInfo:
    """A signature (RFC 5652 section 5.3)."""

    version: int
    certificate: IssuerAndSerialNumber
    digest_algorithm: AlgorithmIdentifier
    signed_attributes: Annotated[asn1.SetOf[Attribute], asn1.Implicit(0)]
    signature_algorithm: AlgorithmIdentifier
    signature: bytes


@asn1.sequence
class EncapsulatedContent:
    """The content that a signature is for."""

    content_type: ObjectIdentifier
    content: Annotated[bytes, asn1.Explicit(0)]


@asn1.sequence
class SignedData:
    """Content, certificates and signatures (RFC 5652 section 5.1)."""

    version: int
    digest_algorithms: asn1.SetOf[AlgorithmIdentifier]
    content: EncapsulatedContent
    certificates: Annotated[asn1.SetOf[x509.Certificate] | None, asn1.Implicit(0)]
    signer_infos: asn1.SetOf[SignerInfo]


@asn1.sequence
class TimeStampToken:
    """A ContentInfo with signed data."""

    content_type: ObjectIdentifier
    content: Annotated[SignedData, asn1.Explicit(0)]


@asn1.sequence
class TimeStampResp:
    """What a client gets (RFC 3161 section 2.4.2)."""

    status: PKIStatusInfo
    token: TimeStampToken | None = None
