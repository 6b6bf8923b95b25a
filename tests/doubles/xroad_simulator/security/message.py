"""A message between security servers: its parts, its faults.

A message is multipart/mixed (pr-messtransp): in a request first the status of the sending server's
certificate; then the REST request or response (method or status, address or reason, headers: one a
line), the body if there is one, and the signature with the hash chain over the parts before it.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus

from xroad_simulator.identifiers import ClientId, ServerId, ServiceId
from xroad_simulator.ocsp import RESPONSE_TYPE as STATUS
from xroad_simulator.security.hash_chain import Proof
from xroad_simulator.security.signatures import Signature

SOAP, REST_REQUEST, REST_RESPONSE, REST_BODY, CHAIN_RESULT, CHAIN, SIGNATURE = (
    "text/xml",
    "application/x-road-rest-request",
    "application/x-road-rest-response",
    "application/x-road-rest-body",
    "application/hash-chain-result",
    "application/hash-chain",
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
}
"""X-Road's own list (`RestMessage.SKIPPED_HEADERS`)."""

_OWN_HEADERS = {"x-road-client", "x-road-service", "x-road-id", "x-road-request-id", "x-road-security-server"}


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
            ("X-Road-Id", self.message_id),
            ("X-Road-Request-Id", self.request_id),
        ]
        if self.security_server is not None:
            own.append(("X-Road-Security-Server", self.security_server.path))
        return (*own, *self.headers)

    def head(self) -> bytes:
        """Method, address and headers: the part that is signed, logged and hashed."""
        target = f"{self._address}{self.path}" + (f"?{self.query}" if self.query else "")
        return _lines(self.method, target, self.all_headers())

    def outline(self) -> bytes:
        """What is logged of a message whose body isn't: without the path, and with X-Road's headers only."""
        return _lines(self.method, self._address, _of_x_road(self.all_headers()))

    @property
    def _address(self) -> str:
        return f"/r1/{self.service.path}"

    def hash(self) -> str:
        """X-Road-Request-Hash: binds the response to this request."""
        return request_hash(self.head(), self.body)

    @classmethod
    def parse(cls, content_type: str, head: bytes, body: bytes) -> Request:
        """Inverse of `head`; ValueError if it isn't a request."""
        method, target, headers = _split(head)
        address, _, query = target.partition("?")
        parts = address.split("/", 7)
        if len(parts) < 7 or parts[:2] != ["", "r1"]:
            raise ValueError("the address names no service of a subsystem")
        pinned = _header(headers, "X-Road-Security-Server")
        return cls(
            client=ClientId.parse(_required(headers, "X-Road-Client"), "/"),
            service=ServiceId.read(parts[2:7]),
            message_id=_required(headers, "X-Road-Id"),
            method=method,
            path=f"/{parts[7]}" if len(parts) == 8 else "",
            query=query,
            headers=tuple((name, value) for name, value in headers if name.lower() not in _OWN_HEADERS),
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
    reason: str = ""

    def head(self) -> bytes:
        """Status, reason and headers: the part that is signed and logged."""
        return _lines(str(self.status), self.reason, self.headers)

    def outline(self) -> bytes:
        """What is logged of a message whose body isn't: with X-Road's headers only."""
        return _lines(str(self.status), self.reason, _of_x_road(self.headers))

    def header(self, name: str) -> str | None:
        """A header's value, None if it isn't there."""
        return _header(self.headers, name)

    @classmethod
    def answering(cls, request: Request, status: int, reason: str, headers: Headers, body: bytes) -> Response:
        """A provider's answer under X-Road's own headers, bound to the request by its hash."""
        own = (
            ("X-Road-Id", request.message_id),
            ("X-Road-Client", request.client.path),
            ("X-Road-Service", request.service.path),
            ("X-Road-Request-Id", request.request_id),
            ("X-Road-Request-Hash", request.hash()),
        )
        replaced = {name.lower() for name, _ in own}
        kept = tuple((name, value) for name, value in forwarded(headers) if name.lower() not in replaced)
        return cls(status, (*kept, *own), body, reason or _phrase(status))

    @classmethod
    def parse(cls, head: bytes, body: bytes) -> Response:
        """Inverse of `head`; ValueError if it isn't a response."""
        status, reason, headers = _split(head)
        return cls(int(status), headers, body, reason)


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Unknown"


def _lines(first: str, second: str, headers: Headers) -> bytes:
    return "".join(f"{line}\r\n" for line in (first, second, *(f"{n}:{v}" for n, v in headers))).encode()


def _of_x_road(headers: Headers) -> Headers:
    return tuple(header for header in headers if header[0].lower().startswith("x-road-"))


def _split(head: bytes) -> tuple[str, str, Headers]:
    lines = head.decode().removesuffix("\r\n").split("\r\n")
    if len(lines) < 2:
        raise ValueError("the message has no head")
    return lines[0], lines[1], tuple(_split_header(line) for line in lines[2:])


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
class Envelope:
    """A message as it travels: head, body, signature."""

    content_type: str
    head: bytes
    body: bytes
    signature: Signature
    statuses: tuple[bytes, ...] = ()
    """OCSP responses about the authentication certificate of the server that sends a request."""

    @property
    def parts(self) -> list[bytes]:
        """What is signed."""
        return [self.head, self.body] if self.body else [self.head]

    def encode(self) -> tuple[str, bytes]:
        """Content type and content of the multipart document."""
        boundary = f"xtop{secrets.token_hex(15)}"
        parts = [(STATUS, status) for status in self.statuses]
        parts.append((self.content_type, self.head))
        if self.body:
            parts.append((REST_BODY, self.body))
        proof = self.signature.proof
        if proof is not None:
            parts += [(CHAIN_RESULT, proof.result.encode()), (CHAIN, proof.chain.encode())]
        parts.append((SIGNATURE, self.signature.xml.encode()))
        return f"multipart/mixed; boundary={boundary}", multipart(boundary, parts)

    @classmethod
    def decode(cls, content_type: str, document: bytes) -> Envelope:
        """Inverse of `encode`; ValueError if it isn't a message."""
        parts = read_multipart("multipart/mixed", content_type, document)
        statuses: list[bytes] = []
        while parts and parts[0][0] == STATUS:
            statuses.append(parts.pop(0)[1])
        kinds = [kind for kind, _ in parts[1:]]
        proof, body = None, b""
        if kinds[-3:] == [CHAIN_RESULT, CHAIN, SIGNATURE]:
            proof = Proof(parts[-3][1].decode(), parts[-2][1].decode())
            del kinds[-3:-1]
        if kinds not in ([SIGNATURE], [REST_BODY, SIGNATURE]):
            raise ValueError("the parts aren't those of a message")
        if kinds[0] == REST_BODY:
            body = parts[1][1]
        signature = Signature(parts[-1][1].decode(), proof)
        return cls(parts[0][0], parts[0][1], body, signature, tuple(statuses))


def multipart(boundary: str, parts: Iterable[tuple[str, bytes]]) -> bytes:
    """A multipart document of parts with their content types."""
    chunks = [f"--{boundary}\r\ncontent-type:{kind}\r\n\r\n".encode() + data + b"\r\n" for kind, data in parts]
    return b"".join(chunks) + f"--{boundary}--\r\n".encode()


def read_multipart(kind: str, content_type: str, document: bytes) -> list[tuple[str, bytes]]:
    """Content types and contents of the parts; ValueError if it isn't a document of this kind."""
    found, *parameters = (part.strip() for part in content_type.split(";"))
    named = [item.partition("=")[2].strip('"') for item in parameters if item.lower().startswith("boundary=")]
    if found.lower() != kind or len(named) != 1 or not named[0]:
        raise ValueError(f"not {kind}")
    parts: list[tuple[str, bytes]] = []
    for chunk in (b"\r\n" + document).split(b"\r\n--" + named[0].encode())[1:-1]:
        header, separator, data = chunk.partition(b"\r\n\r\n")
        if not separator:
            raise ValueError("a part has no header")
        name, _, value = header.decode().strip().partition(":")
        if name.strip().lower() != "content-type":
            raise ValueError("a part has no content type")
        parts.append((value.strip(), data))
    return parts
