"""What a message says of itself: who asks whom for what (the REST message protocol, PR-REST 4.1 and 4.3)."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

from operate.messages.documents import Mismatch

_VERBS = {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}


@dataclass(frozen=True, slots=True)
class Message:
    """A request or a response, as its first part tells."""

    kind: str
    """`request` or `response`."""
    client: tuple[str, ...]
    """Instance, class, code, and subsystem where there is one."""
    service: tuple[str, ...]
    """The same of its owner, and the service's code."""
    message_id: str
    request_id: str | None
    what: str
    """Method and address of a request, status and reason of a response."""
    user: str | None
    """Who the client says that it asked for."""

    @property
    def sender(self) -> tuple[str, ...]:
        """Whose signature it must bear: the client's, or the service's owner's."""
        return self.client if self.kind == "request" else self.service[:4]


def read(content: bytes) -> Message:
    """A message's head; Mismatch if it isn't one of REST, or says something twice."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise Mismatch("message.xml isn't text") from error
    if text.lstrip().startswith("<"):
        raise Mismatch("message.xml is a SOAP message; only REST messages can be checked")
    lines = text.removesuffix("\r\n").split("\r\n")
    if not text.endswith("\r\n") or len(lines) < 2 or any(set(line) & {"\r", "\n"} for line in lines):
        raise Mismatch("message.xml isn't made of lines as X-Road writes them")
    first, second = lines[:2]
    headers = _headers(lines[2:])
    client = _identifier(headers, "x-road-client", (3, 4))
    if first in _VERBS:
        return Message(
            "request",
            client,
            _addressed(second),
            _required(headers, "x-road-id"),
            headers.get("x-road-request-id"),
            f"{first} {second}",
            headers.get("x-road-userid"),
        )
    if not (first.isascii() and first.isdigit()):
        raise Mismatch("message.xml is neither a request nor a response")
    return Message(
        "response",
        client,
        _identifier(headers, "x-road-service", (5,)),
        _required(headers, "x-road-id"),
        headers.get("x-road-request-id"),
        f"{first} {second}",
        headers.get("x-road-userid"),
    )


def _headers(lines: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        name = name.lower()
        if not colon:
            raise Mismatch("message.xml has a line that isn't a header")
        if name.startswith("x-road-") and name in found:
            raise Mismatch(f"message.xml has two headers {name}")
        found[name] = value
    return found


def _required(headers: dict[str, str], name: str) -> str:
    if not headers.get(name):
        raise Mismatch(f"message.xml has no header {name}")
    return headers[name]


def _parts(text: str) -> tuple[str, ...]:
    parts = tuple(unquote(part, errors="strict") for part in text.split("/"))
    if not all(part and part.isprintable() and "/" not in part for part in parts):
        raise Mismatch(f"{text!r} isn't an identifier")
    return parts


def _identifier(headers: dict[str, str], name: str, sizes: tuple[int, ...]) -> tuple[str, ...]:
    try:
        parts = _parts(_required(headers, name))
    except UnicodeDecodeError as error:
        raise Mismatch(f"{name} isn't an identifier") from error
    if len(parts) not in sizes:
        raise Mismatch(f"{name} isn't an identifier of {' or '.join(map(str, sizes))} parts")
    return parts


def _addressed(address: str) -> tuple[str, ...]:
    parts = address.partition("?")[0].split("/", 7)
    if len(parts) < 7 or parts[0] or parts[1] != "r1":
        raise Mismatch("message.xml's address names no service")
    try:
        return _parts("/".join(parts[2:7]))
    except UnicodeDecodeError as error:
        raise Mismatch("message.xml's address names no service") from error
