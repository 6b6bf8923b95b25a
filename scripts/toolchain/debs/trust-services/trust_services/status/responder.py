"""The responder: answers OCSP requests by looking them up (RFC 6960 appendix A, RFC 5019). It holds no key.

POST with `application/ocsp-request` to `/`, GET with the request in base64 as the path; `/crl/NAME.crl`,
`/ca/NAME.crt`, `/health` and `/metrics`. An RSGI application (granian), for X-Road servers ask for one answer
after the other on a connection that they keep.
"""

from __future__ import annotations

import asyncio
import binascii
import hashlib
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import unquote_to_bytes

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from granian.rsgi import HTTPProtocol, ProtocolClosed, Scope  # type: ignore[attr-defined] # no `__all__`

from trust_services.status.certificate_id import MalformedRequest, shortened
from trust_services.status.metrics import Counts, Result, exposition
from trust_services.status.shelf import Shelf
from trust_services.status.verification import HeldAnswer

REQUEST_LIMIT = 4096
"""Bytes of a request. One for one certificate has about a hundred; one that is signed, some thousand."""
PATH_LIMIT = 3 * (REQUEST_LIMIT * 4 // 3 + 4)
"""Bytes of a path: base64 of the largest request, each letter percent-encoded."""
BODY_SECONDS = 10
"""How long a client may take to send its request."""

Headers = list[tuple[str, str]]

OCSP_REQUEST = "application/ocsp-request"
OCSP_RESPONSE: Headers = [("content-type", "application/ocsp-response")]
NOT_KEPT = ("cache-control", "no-store")
TEXT: Headers = [("content-type", "text/plain; charset=utf-8"), NOT_KEPT]


@dataclass(frozen=True)
class Response:
    """A whole response of HTTP."""

    result: Result
    status: int
    headers: Headers
    body: bytes = b""


def _error(result: Result, status: ocsp.OCSPResponseStatus) -> Response:
    # HTTP 200: the error is OCSP's, and signed by nobody (RFC 6960 section 2.3). No cache may keep it.
    der = ocsp.OCSPResponseBuilder.build_unsuccessful(status).public_bytes(Encoding.DER)
    return Response(result, 200, [*OCSP_RESPONSE, NOT_KEPT], der)


MALFORMED = _error(Result.MALFORMED, ocsp.OCSPResponseStatus.MALFORMED_REQUEST)
TRY_LATER = _error(Result.STALE, ocsp.OCSPResponseStatus.TRY_LATER)
UNKNOWN = _error(Result.UNKNOWN, ocsp.OCSPResponseStatus.UNAUTHORIZED)
"""RFC 5019 section 2.2.3: also for certificates of which the responder has no record."""


def _refusal(status: int, message: str, *headers: tuple[str, str]) -> Response:
    return Response(Result.REFUSED, status, [*TEXT, *headers], f"{message}\n".encode())


NOT_FOUND = _refusal(404, "there is nothing here")
NOT_ALLOWED = _refusal(405, "ask with GET, or POST a request to /", ("allow", "GET, HEAD, POST"))
NO_LENGTH = _refusal(411, "a request needs a Content-Length")
WRONG_LENGTH = _refusal(400, "the Content-Length isn't a number", ("connection", "close"))
TOO_LARGE = _refusal(413, f"a request has at most {REQUEST_LIMIT} bytes", ("connection", "close"))
TOO_LONG = _refusal(414, f"a request has at most {REQUEST_LIMIT} bytes")
WRONG_TYPE = _refusal(415, f"a request has the type {OCSP_REQUEST}", ("accept", OCSP_REQUEST))
TOO_SLOW = _refusal(408, f"a request must be here within {BODY_SECONDS} s", ("connection", "close"))


class Responder:
    """Answers from what is on the shelf."""

    def __init__(self, shelf: Shelf, counts: Counts) -> None:
        self._shelf = shelf
        self._counts = counts
        self._row = counts.row()

    async def __call__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """Answer one request, as RSGI 1.5 wants it."""
        try:
            response = await self._respond(scope, protocol)
        except ProtocolClosed:
            return  # the client left before its request was here
        self._row[response.result] += 1
        protocol.response_bytes(response.status, response.headers, response.body)

    async def _respond(self, scope: Scope, protocol: HTTPProtocol) -> Response:
        if scope.method in {"GET", "HEAD"}:
            return self.get(scope.path, scope.headers.get("if-none-match"), time.time())
        if scope.method != "POST":
            return NOT_ALLOWED
        headers = scope.headers
        refused = refusal_of_post(scope.path, headers.get("content-type"), headers.get("content-length"))
        if refused is not None:
            return refused
        try:
            async with asyncio.timeout(BODY_SECONDS):
                request = await protocol()
        except TimeoutError:
            return TOO_SLOW
        return self.post(request, time.time())

    def post(self, request: bytes, now: float) -> Response:
        """The response to a request in a body. Caches don't keep it: POST has no address to keep it by."""
        found = self._find(request, now)
        if isinstance(found, Response):
            return found
        return Response(Result.ANSWERED, 200, OCSP_RESPONSE, found.answer.der)

    def get(self, path: str, known_tag: str | None, now: float) -> Response:
        """The response to GET. `known_tag` is the entity tag of what the client has already."""
        if path == "/health":
            stale = self._shelf.stale(now)
            body = f"stale: {', '.join(stale)}\n" if stale else "fresh\n"
            return Response(Result.OTHER, 503 if stale else 200, TEXT, body.encode())
        if path == "/metrics":
            text = exposition(self._shelf, self._counts, datetime.fromtimestamp(now, UTC))
            return Response(
                Result.OTHER, 200, [("content-type", "text/plain; version=0.0.4"), NOT_KEPT], text.encode()
            )
        if path.startswith("/crl/"):
            return self._crl(path, known_tag, now)
        if path.startswith("/ca/"):
            return self._certificate(path, known_tag)
        if len(path) > PATH_LIMIT:
            return TOO_LONG
        try:
            # A request begins with `M` in base64, so slashes before it are of the address it was put behind.
            request = binascii.a2b_base64(unquote_to_bytes(path.lstrip("/")), strict_mode=True)
        except ValueError:
            return MALFORMED
        if len(request) > REQUEST_LIMIT:
            return TOO_LONG
        found = self._find(request, now)
        if isinstance(found, Response):
            return found
        answer = found.answer
        headers = [*OCSP_RESPONSE, *_kept(answer.der, answer.this_update, found.fresh_until, now)]
        return _unless_known(Response(Result.ANSWERED, 200, headers, answer.der), known_tag)

    def _find(self, request: bytes, now: float) -> HeldAnswer | Response:
        answers = self._shelf.answers
        held = answers.get(request)
        if held is None:
            try:
                short = shortened(request)
            except MalformedRequest:
                return MALFORMED
            held = answers.get(short) if short is not None else None
            if held is None:
                return UNKNOWN if self._shelf.complete else TRY_LATER
        return held if now < held.fresh_until else TRY_LATER

    def _crl(self, path: str, known_tag: str | None, now: float) -> Response:
        name = path.removeprefix("/crl/").removesuffix(".crl")
        watched = self._shelf.lists.get(name)
        if watched is None or not path.endswith(".crl"):
            return NOT_FOUND
        found = watched.content
        if found is None:
            return _refusal(503, "this list isn't here yet", ("retry-after", "30"))
        # One that is past its nextUpdate is given all the same: it says so itself.
        headers = [
            ("content-type", "application/pkix-crl"),
            *_kept(found.der, found.this_update, found.next_update.timestamp(), now),
        ]
        return _unless_known(Response(Result.OTHER, 200, headers, found.der), known_tag)

    def _certificate(self, path: str, known_tag: str | None) -> Response:
        watched = self._shelf.certificates.get(path.removeprefix("/ca/").removesuffix(".crt"))
        if watched is None or not path.endswith(".crt"):
            return NOT_FOUND
        found = watched.content
        if found is None:
            return _refusal(503, "this certificate isn't here yet", ("retry-after", "30"))
        # RFC 2585, section 4.1. It stays the same for years.
        headers = [
            ("content-type", "application/pkix-cert"),
            ("etag", f'"{hashlib.sha256(found).hexdigest()}"'),
            ("cache-control", "max-age=86400, public"),
        ]
        return _unless_known(Response(Result.OTHER, 200, headers, found), known_tag)


def refusal_of_post(path: str, content_type: str | None, length: str | None) -> Response | None:
    """Why a body isn't read, by its headers; None if it is."""
    if path not in {"/", ""}:
        return NOT_FOUND
    if content_type != OCSP_REQUEST and (content_type or "").partition(";")[0].strip().lower() != OCSP_REQUEST:
        return WRONG_TYPE
    # A body without a length might never end (RFC 9110 section 15.5.12).
    if length is None:
        return NO_LENGTH
    if not (length.isascii() and length.isdigit()):
        return WRONG_LENGTH
    return TOO_LARGE if len(length) > 9 or int(length) > REQUEST_LIMIT else None


def _kept(der: bytes, modified: datetime, until: float, now: float) -> Headers:
    """What tells caches how long to keep an answer (RFC 5019 sections 5 and 6.2)."""
    return [
        ("last-modified", format_datetime(modified, usegmt=True)),
        ("expires", format_datetime(datetime.fromtimestamp(int(until), UTC), usegmt=True)),
        ("etag", f'"{hashlib.sha256(der).hexdigest()}"'),
        ("cache-control", f"max-age={max(0, int(until - now))}, public, no-transform, must-revalidate"),
    ]


def _unless_known(response: Response, known_tag: str | None) -> Response:
    """The response, or that the client has it already (RFC 9110 section 15.4.5)."""
    tag = dict(response.headers)["etag"]
    if known_tag is None or tag not in {one.strip().removeprefix("W/") for one in known_tag.split(",")}:
        return response
    return Response(response.result, 304, response.headers)
