"""A message between security servers: its parts, its signature, its faults.

A message is multipart/mixed: in a request first the status of the sending server's certificate, then
the REST request or response line with headers, the body if there is one, the signature last
(pr-messtransp). X-Road's signature is XAdES; this one is a plain signature over the hashes of the
parts, with the signer's certificate and the status of that beside it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from xroad_simulator import software_token
from xroad_simulator.certificates import decode, encode
from xroad_simulator.identifiers import ClientId, ServerId, ServiceId
from xroad_simulator.ocsp import RESPONSE_TYPE as STATUS
from xroad_simulator.software_token import PrivateKey

SOAP, REST_REQUEST, REST_RESPONSE, REST_BODY, SIGNATURE = (
    "text/xml",
    "application/x-road-rest-request",
    "application/x-road-rest-response",
    "application/x-road-rest-body",
    "signature/bdoc-1.0/ts",
)

Headers = tuple[tuple[str, str], ...]

_NOT_FORWARDED = {
    "host",
    "user-agent",
    "server",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "content-length",
    "expect",
    "accept-encoding",
    "content-encoding",
}


class MessageError(Exception):
    """An error that X-Road itself makes. The type's prefix tells where it arose."""

    def __init__(self, type_: str, message: str, detail: str | None = None) -> None:
        super().__init__(f"{type_}: {message}")
        self.type = type_
        self.message = message
        self.detail = detail or str(uuid.uuid4())
        """To find the error in the log of the server that made it."""

    @property
    def status(self) -> int:
        """400 if the client's request was wrong, 500 otherwise."""
        return 400 if self.type.startswith("Client.") else 500

    def body(self) -> dict[str, str]:
        """The error as the client gets it."""
        return {"type": self.type, "message": self.message, "detail": self.detail}


def forwarded(headers: Iterable[tuple[str, str]]) -> Headers:
    """Headers that go on to the other side: without those of one hop."""
    return tuple((name, value) for name, value in headers if name.lower() not in _NOT_FORWARDED)


def _header(headers: Headers, name: str) -> str | None:
    return next((value for key, value in headers if key.lower() == name.lower()), None)


@dataclass(frozen=True, slots=True)
class Request:
    """A request on its way from consumer to provider."""

    client: ClientId
    service: ServiceId
    message_id: str
    method: str
    path: str
    """What follows the service code, percent-encoded, with its slash; may be empty."""
    query: str = ""
    headers: Headers = ()
    """Without X-Road's own."""
    body: bytes = b""
    security_server: ServerId | None = None
    """Pins the provider's server."""
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    content_type: str = REST_REQUEST

    @classmethod
    def management(cls, client: ClientId, service: ServiceId, body: bytes) -> Request:
        """A SOAP message to a management service."""
        return cls(
            client=client,
            service=service,
            message_id=f"{client.instance}-{uuid.uuid4()}",
            method="POST",
            path="",
            headers=(("Content-Type", "text/xml; charset=UTF-8"),),
            body=body,
            content_type=SOAP,
        )

    def all_headers(self) -> Headers:
        """Every header, X-Road's own included."""
        own = [
            ("X-Road-Client", self.client.path),
            ("X-Road-Service", self.service.path),
            ("X-Road-Id", self.message_id),
            ("X-Road-Request-Id", self.request_id),
        ]
        if self.security_server is not None:
            own.append(("X-Road-Security-Server", self.security_server.path))
        return (*own, *self.headers)

    def head(self) -> bytes:
        """Request line and headers: the part that is signed, logged and hashed."""
        target = f"/r1/{self.service.path}{self.path}" + (f"?{self.query}" if self.query else "")
        lines = [f"{self.method} {target}", *(f"{n}:{v}" for n, v in self.all_headers())]
        return "\r\n".join(lines).encode() + b"\r\n"

    def hash(self) -> str:
        """X-Road-Request-Hash: binds the response to this request."""
        return request_hash(self.head(), self.body)

    @classmethod
    def parse(cls, content_type: str, head: bytes, body: bytes) -> Request:
        """Inverse of `head`; ValueError if it isn't a request."""
        first, *rest = head.decode().removesuffix("\r\n").split("\r\n")
        method, target = first.split(" ", 1)
        headers = tuple(_split_header(line) for line in rest)
        client = ClientId.parse(_required(headers, "X-Road-Client"), "/")
        owner, _, code = _required(headers, "X-Road-Service").rpartition("/")
        service = ServiceId(ClientId.parse(owner, "/"), code)
        prefix = f"/r1/{service.path}"
        if not target.startswith(prefix):
            raise ValueError("service and address differ")
        path, _, query = target.removeprefix(prefix).partition("?")
        pinned = _header(headers, "X-Road-Security-Server")
        own = {"x-road-client", "x-road-service", "x-road-id", "x-road-request-id"}
        return cls(
            client=client,
            service=service,
            message_id=_required(headers, "X-Road-Id"),
            method=method,
            path=path,
            query=query,
            headers=tuple(
                (name, value) for name, value in headers if name.lower() not in own | {"x-road-security-server"}
            ),
            body=body,
            security_server=None if pinned is None else ServerId.parse(pinned, "/"),
            request_id=_required(headers, "X-Road-Request-Id"),
            content_type=content_type,
        )


@dataclass(frozen=True, slots=True)
class Response:
    """A response on its way back."""

    status: int
    headers: Headers
    body: bytes

    def head(self) -> bytes:
        """Status line and headers: the part that is signed and logged."""
        lines = [f"HTTP/1.1 {self.status}", *(f"{name}:{value}" for name, value in self.headers)]
        return "\r\n".join(lines).encode() + b"\r\n"

    def header(self, name: str) -> str | None:
        """A header's value, None if it isn't there."""
        return _header(self.headers, name)

    @classmethod
    def parse(cls, head: bytes, body: bytes) -> Response:
        """Inverse of `head`; ValueError if it isn't a response."""
        first, *rest = head.decode().removesuffix("\r\n").split("\r\n")
        return cls(int(first.split(" ")[1]), tuple(_split_header(line) for line in rest), body)


def _split_header(line: str) -> tuple[str, str]:
    name, separator, value = line.partition(":")
    if not separator:
        raise ValueError("a header has no colon")
    return name, value


def _required(headers: Headers, name: str) -> str:
    value = _header(headers, name)
    if value is None:
        raise ValueError(f"{name} is missing")
    return value


def request_hash(head: bytes, body: bytes) -> str:
    """Base64 of SHA-512 over the hashes of head and body, or over the head alone."""
    if not body:
        return base64.b64encode(hashlib.sha512(head).digest()).decode()
    both = hashlib.sha512(head).digest() + hashlib.sha512(body).digest()
    return base64.b64encode(hashlib.sha512(both).digest()).decode()


@dataclass(frozen=True, slots=True)
class Signature:
    """A member's signature over the parts of a message."""

    certificate: x509.Certificate
    value: bytes
    status: bytes | None = None
    """The OCSP response about the certificate when it signed."""

    @classmethod
    def make(
        cls,
        certificate: x509.Certificate,
        key: PrivateKey,
        parts: Sequence[bytes],
        status: bytes | None = None,
    ) -> Signature:
        """Sign the parts."""
        return cls(certificate, software_token.sign(key, _manifest(parts)), status)

    def verify(self, parts: Sequence[bytes]) -> None:
        """InvalidSignature if these aren't the parts that were signed."""
        software_token.verify(self.certificate.public_key(), self.value, _manifest(parts))

    def encode(self) -> bytes:
        """The signature part."""
        content = {
            "certificate": encode(self.certificate),
            "signature": base64.b64encode(self.value).decode(),
            "algorithm": "sha512",
        }
        if self.status is not None:
            content["ocsp_response"] = base64.b64encode(self.status).decode()
        return json.dumps(content).encode()

    @classmethod
    def decode(cls, data: bytes) -> Signature:
        """Inverse of `encode`; ValueError if it isn't a signature."""
        try:
            content = json.loads(data)
            status = content.get("ocsp_response")
            return cls(
                decode(content["certificate"]),
                base64.b64decode(content["signature"]),
                None if status is None else base64.b64decode(status),
            )
        except (KeyError, TypeError) as error:
            raise ValueError("not a signature") from error


def _manifest(parts: Sequence[bytes]) -> bytes:
    return b"".join(hashlib.sha512(part).digest() for part in parts)


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message as it travels: head, body, signature."""

    content_type: str
    head: bytes
    body: bytes
    signature: Signature
    sender_status: bytes | None = None
    """The OCSP response about the authentication certificate of the server that sends a request."""

    @classmethod
    def seal(
        cls,
        content_type: str,
        head: bytes,
        body: bytes,
        certificate: x509.Certificate,
        key: PrivateKey,
        status: bytes | None = None,
    ) -> Envelope:
        """Sign head and body; `status` is the OCSP response about the signer's certificate."""
        return cls(content_type, head, body, Signature.make(certificate, key, cls._parts(head, body), status))

    @staticmethod
    def _parts(head: bytes, body: bytes) -> list[bytes]:
        return [head, body] if body else [head]

    def verify(self) -> None:
        """InvalidSignature if head or body aren't what was signed."""
        self.signature.verify(self._parts(self.head, self.body))

    def encode(self) -> tuple[str, bytes]:
        """Content type and content of the multipart document."""
        boundary = f"xroad{secrets.token_hex(12)}"
        parts = [] if self.sender_status is None else [(STATUS, self.sender_status)]
        parts.append((self.content_type, self.head))
        if self.body:
            parts.append((REST_BODY, self.body))
        parts.append((SIGNATURE, self.signature.encode()))
        chunks = [
            f"--{boundary}\r\ncontent-type:{kind}\r\n\r\n".encode() + data + b"\r\n" for kind, data in parts
        ]
        return (
            f"multipart/mixed; boundary={boundary}",
            b"".join(chunks) + f"--{boundary}--\r\n".encode(),
        )

    @classmethod
    def decode(cls, content_type: str, document: bytes) -> Envelope:
        """Inverse of `encode`; ValueError if it isn't a message."""
        kind, _, boundary = content_type.partition("; boundary=")
        if kind != "multipart/mixed" or not boundary:
            raise ValueError("not multipart/mixed")
        parts: list[tuple[str, bytes]] = []
        marker = b"\r\n--" + boundary.encode()
        for chunk in (b"\r\n" + document).split(marker)[1:-1]:
            header, separator, data = chunk.partition(b"\r\n\r\n")
            if not separator:
                raise ValueError("a part has no header")
            parts.append((header.decode().strip().removeprefix("content-type:"), data))
        status = parts.pop(0)[1] if parts and parts[0][0] == STATUS else None
        if len(parts) not in (2, 3) or parts[-1][0] != SIGNATURE:
            raise ValueError("the parts aren't those of a message")
        body = parts[1][1] if len(parts) == 3 else b""
        return cls(parts[0][0], parts[0][1], body, Signature.decode(parts[-1][1]), status)


__all__ = [
    "Envelope",
    "InvalidSignature",
    "MessageError",
    "Request",
    "Response",
    "Signature",
    "forwarded",
    "request_hash",
]
