"""Port 5577, plain HTTP: shows other servers the status of this server's certificates.

As X-Road's `CertHashBasedOcspResponder`: `GET /?cert=SHA1&cert=…` gives every answer in one
multipart/related document; a hash that isn't known fails the whole request; HEAD is a heartbeat.
"""

from __future__ import annotations

import secrets

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from xroad_simulator.ocsp import RESPONSE_TYPE
from xroad_simulator.security.certificate_status import own_certificates, sha1
from xroad_simulator.security.message import multipart
from xroad_simulator.security.server import SecurityServer


class StatusApplication:
    """Answers with what the server knows; whatever is wrong with a request is told with 500."""

    def __init__(self, server: SecurityServer) -> None:
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            response = self._answer(request)
        except LookupError as error:
            response = PlainTextResponse(str(error.args[0]), 500)
        await response(scope, receive, send)

    def _answer(self, request: Request) -> Response:
        if request.method == "HEAD":
            return Response()
        if request.method != "GET":
            raise LookupError(f"Invalid request method: {request.method}")
        wanted = request.query_params.getlist("cert")
        if not wanted:
            raise LookupError("Could not get cert hashes")
        known = {sha1(certificate): certificate for certificate in own_certificates(self._server)}
        parts: list[tuple[str, bytes]] = []
        for hash_ in wanted:
            certificate = known.get(hash_.lower())
            answer = None if certificate is None else self._server.statuses.own(certificate)
            if answer is None:
                raise LookupError(f"Could not find OCSP response for certificate {hash_}")
            parts.append((RESPONSE_TYPE, answer))
        boundary = f"jetty{secrets.token_hex(10)}"
        kind = f'multipart/related; type="{RESPONSE_TYPE}"; boundary={boundary}'
        return Response(multipart(boundary, parts), headers={"content-type": kind})
