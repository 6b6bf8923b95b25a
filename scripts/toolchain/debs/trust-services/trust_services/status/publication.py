r"""A publication: all answers of one authority in one file, which tells if a part of it is missing.

A line `ocsp-answers 1 ISSUER COUNT DIGEST\n`, where ISSUER is the SHA-256 of the authority's certificate
and DIGEST that of all that follows, both in hexadecimal; then, COUNT times, the length of an OCSPResponse
in four bytes, most significant first, and the OCSPResponse in DER. The digest shows damage, not malice:
each answer is signed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from trust_services.refusal import Refusal

_HEADER = re.compile(rb"ocsp-answers 1 ([0-9a-f]{64}) (0|[1-9][0-9]{0,8}) ([0-9a-f]{64})\n")
_HEADER_LIMIT = 200


def encode(issuer: x509.Certificate, answers: Iterable[bytes]) -> bytes:
    """The file's content."""
    found = list(answers)
    body = b"".join(len(answer).to_bytes(4, "big") + answer for answer in found)
    header = f"ocsp-answers 1 {_of(issuer)} {len(found)} {hashlib.sha256(body).hexdigest()}\n"
    return header.encode() + body


def decode(issuer: x509.Certificate, content: bytes) -> list[bytes]:
    """The answers in a file. Refusal if it isn't whole, or is about another authority."""
    line, _, body = content.partition(b"\n")
    header = _HEADER.fullmatch(line + b"\n") if len(line) < _HEADER_LIMIT else None
    if header is None:
        raise Refusal("it isn't a publication of OCSP answers")
    about, count, digest = (part.decode() for part in header.groups())
    if about != _of(issuer):
        raise Refusal(f"it is about another authority, whose certificate's SHA-256 is {about}")
    if hashlib.sha256(body).hexdigest() != digest:
        raise Refusal("a part of it is missing or changed: its digest is another")
    answers = list(_split(body))
    if len(answers) != int(count):
        raise Refusal(f"it holds {len(answers)} answers, but says {count}")
    return answers


def _of(issuer: x509.Certificate) -> str:
    return issuer.fingerprint(hashes.SHA256()).hex()


def _split(body: bytes) -> Iterator[bytes]:
    place = 0
    while place < len(body):
        start = place + 4
        place = start + int.from_bytes(body[place:start], "big")
        if place > len(body):
            raise Refusal("its last answer is cut off")
        yield body[start:place]
