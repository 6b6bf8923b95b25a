"""Reading requests: what they ask for, or why they are refused."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier

from trust_services.timestamps.syntax import SHA256, SHA512, Failure, MessageImprint, TimeStampReq

MAXIMUM_BYTES = 4096
"""Of a request. One without extensions, which are refused anyway, has about a hundred."""

_HASH_BYTES = {SHA256: 32, SHA512: 64}


class Rejected(Exception):  # noqa: N818 - nothing broke: the client is told why it gets no time stamp
    """Why there is no time stamp, as the protocol says it and in words."""

    def __init__(self, failure: Failure, text: str) -> None:
        super().__init__(text)
        self.failure = failure
        self.text = text


@dataclass(frozen=True)
class Request:
    """A request that can be stamped."""

    imprint: MessageImprint
    nonce: int | None
    certificate_wanted: bool


def read_request(data: bytes, policy: ObjectIdentifier) -> Request:
    """The request in `data`, to an authority that stamps under `policy`. Rejected if it can't be stamped."""
    if len(data) > MAXIMUM_BYTES:
        raise Rejected(Failure.BAD_DATA_FORMAT, f"a request has at most {MAXIMUM_BYTES} bytes")
    try:
        asked = asn1.decode_der(TimeStampReq, data)
    except ValueError:
        raise Rejected(Failure.BAD_DATA_FORMAT, "that isn't a time stamp request in DER") from None
    if asked.version != 1:
        raise Rejected(Failure.BAD_REQUEST, f"version {_shown(asked.version)} isn't known, only 1")
    _check_imprint(asked.message_imprint)
    if asked.policy not in (None, policy):
        raise Rejected(
            Failure.UNACCEPTED_POLICY, f"time stamps are made under policy {policy.dotted_string} only"
        )
    if asked.extensions is not None:
        raise Rejected(Failure.UNACCEPTED_EXTENSION, "extensions aren't known")
    return Request(asked.message_imprint, asked.nonce, asked.certificate_wanted)


def _check_imprint(imprint: MessageImprint) -> None:
    identifier = imprint.hash_algorithm
    try:
        algorithm = identifier[0].parse(ObjectIdentifier) if identifier else None
    except ValueError:
        algorithm = None
    if algorithm is None or len(identifier) > 2:
        raise Rejected(Failure.BAD_DATA_FORMAT, "the hash algorithm isn't an algorithm identifier")
    if algorithm not in _HASH_BYTES:
        raise Rejected(Failure.BAD_ALGORITHM, "hashes of SHA-256 and SHA-512 are stamped, no others")
    # No parameters or NULL: both are in use (RFC 5754 section 2).
    if any(bytes(parameters.tag_bytes) != b"\x05" or parameters.data for parameters in identifier[1:]):
        raise Rejected(Failure.BAD_ALGORITHM, "SHA-256 and SHA-512 have no parameters")
    if len(imprint.hashed_message) != _HASH_BYTES[algorithm]:
        raise Rejected(
            Failure.BAD_DATA_FORMAT,
            f"the hash has {len(imprint.hashed_message)} bytes, its algorithm makes {_HASH_BYTES[algorithm]}",
        )


def _shown(number: int) -> str:
    return str(number) if abs(number) < 1000 else "of that size"
