"""The signed directory of a configuration: how a central server makes it and how others check it (pr-gconf 3).

A directory names files: where each is, and its hash. It is signed with the active key of its source, and
served with the signature as one multipart document. A security server accepts it if the signature matches a
certificate that it trusts, the instance is its own, and it hasn't expired.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import Message

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec

from xroad_simulator import software_token
from xroad_simulator.certificates import decode
from xroad_simulator.clock import now
from xroad_simulator.global_configuration import ConfigurationError
from xroad_simulator.software_token import PrivateKey

SHARED, PRIVATE = "SHARED-PARAMETERS", "PRIVATE-PARAMETERS"
"""Content identifiers of the parts that every configuration has."""
FILE_NAMES = {SHARED: "shared-params.xml", PRIVATE: "private-params.xml"}

_SHA512 = "http://www.w3.org/2001/04/xmlenc#sha512"
_SIGNATURES = {
    True: "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512",
    False: "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512",
}
"""By whether the key is on an elliptic curve."""
_CRLF = b"\r\n"
_BOUNDARY_LENGTH = 20
_CONTENT_ID = re.compile(r"^(?P<id>[^;]+); *instance=['\"](?P<instance>[^'\"]+)['\"]$")


@dataclass(frozen=True, slots=True)
class Part:
    """A file of a configuration."""

    identifier: str
    location: str
    """Path on the web server of the source."""
    content: bytes


def _digest(content: bytes) -> str:
    return base64.b64encode(hashlib.sha512(content).digest()).decode()


def _multipart(kind: str, parts: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Headers and body of a message."""
    letters = string.ascii_letters + string.digits
    boundary = "".join(secrets.choice(letters) for _ in range(_BOUNDARY_LENGTH))
    marker = f"--{boundary}".encode()
    body = b"".join(marker + _CRLF + part + _CRLF for part in parts) + marker + b"--" + _CRLF
    return f"Content-Type: {kind}; charset=UTF-8; boundary={boundary}\r\n\r\n".encode(), body


def _headers(*lines: tuple[str, str]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in lines).encode()


def publish(
    instance: str, parts: Iterable[Part], version: int, expires: datetime, key: PrivateKey, signer: str
) -> bytes:
    """A signed directory of these parts; `signer` is the base64 of the signing certificate."""
    expiry = f"{expires.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    entries = [_headers(("Expire-date", expiry), ("Version", str(version)))]
    entries += [
        _headers(
            ("Content-type", "application/octet-stream"),
            ("Content-transfer-encoding", "base64"),
            ("Content-identifier", f"{part.identifier}; instance='{instance}'"),
            ("Content-location", part.location),
            ("Hash-algorithm-id", _SHA512),
        )
        + _CRLF
        + _digest(part.content).encode()
        for part in parts
    ]
    head, body = _multipart("multipart/mixed", entries)
    certificate_hash = _digest(base64.b64decode(signer))
    signature = base64.b64encode(software_token.sign(key, body))
    signed = (
        _headers(
            ("Content-Type", "application/octet-stream"),
            ("Content-Transfer-Encoding", "base64"),
            ("Signature-Algorithm-Id", _SIGNATURES[isinstance(key, ec.EllipticCurvePrivateKey)]),
            ("Verification-certificate-hash", f'{certificate_hash}; hash-algorithm-id="{_SHA512}"'),
        )
        + _CRLF
        + signature
    )
    return b"".join(_multipart("multipart/related", [head + body, signed]))


@dataclass(frozen=True, slots=True)
class Entry:
    """What a directory says of a file."""

    location: str
    digest: str


@dataclass(frozen=True, slots=True)
class Directory:
    """A verified directory: its files by content identifier, and when all of it expires."""

    instance: str
    version: int
    expires: datetime
    entries: dict[str, Entry]

    def accept(self, identifier: str, content: bytes) -> bytes:
        """The content of a part; ConfigurationError if it isn't the directory's."""
        if not self.names(identifier, content):
            raise ConfigurationError("global_conf_part_downloaded_file_integrity_failure", identifier)
        return content

    def names(self, identifier: str, content: bytes) -> bool:
        """Whether this is the directory's content of a part."""
        entry = self.entries.get(identifier)
        return entry is not None and entry.digest == _digest(content)


def content_type(document: bytes) -> str:
    """The type with which a web server has to serve a document."""
    return str(message_from_bytes(document)["Content-Type"])


def verify(document: bytes, instance: str, certificates: Iterable[str]) -> Directory:
    """Check a document against the certificates that may sign it, and read its directory.

    ConfigurationError with X-Road's code if it must not be used.
    """
    message = message_from_bytes(document)
    boundary = message.get_boundary()
    pieces = [] if boundary is None else document.split(f"--{boundary}".encode())
    if len(pieces) != 4:
        raise ConfigurationError("global_conf_parsing_downloaded_conf_directory_failure", "not two parts")
    directory = pieces[1].removeprefix(_CRLF).removesuffix(_CRLF)
    signed = message_from_bytes(pieces[2].removeprefix(_CRLF))
    wanted = str(signed["Verification-certificate-hash"]).partition(";")[0]
    for certificate in certificates:
        if _digest(base64.b64decode(certificate)) == wanted:
            break
    else:
        raise ConfigurationError("global_conf_missing_verification_cert", "its signer isn't known")
    _, _, body = directory.partition(_CRLF + _CRLF)
    try:
        signature = base64.b64decode(str(signed.get_payload()))
        software_token.verify(decode(certificate).public_key(), signature, body)
    except InvalidSignature as error:
        raise ConfigurationError("global_conf_signature_verification_failure", "mismatch") from error
    return _read(message_from_bytes(directory), instance)


def _read(message: Message, instance: str) -> Directory:
    header, *entries = [part for part in message.walk() if not part.is_multipart()]
    found = {}
    for entry in entries:
        named = _CONTENT_ID.match(str(entry["Content-identifier"]))
        if named is None or named["instance"] != instance:
            raise ConfigurationError("global_conf_part_invalid_instance_identifier", instance)
        payload = str(entry.get_payload()).strip()
        found[named["id"]] = Entry(str(entry["Content-location"]), payload)
    read = Directory(
        instance=instance,
        version=int(str(header["Version"])),
        expires=datetime.fromisoformat(str(header["Expire-date"])),
        entries=found,
    )
    if now() > read.expires:
        raise ConfigurationError("conf_verification.outdated", f"expired {read.expires}")
    return read
