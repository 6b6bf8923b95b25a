"""Port 5577, plain HTTP: shows other servers the status of this server's own certificates.

X-Road answers several hashes in one multipart document; here one hash is asked for and one answer given.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from xroad_simulator.certificates import decode
from xroad_simulator.ocsp import RESPONSE_TYPE
from xroad_simulator.security.records import CertificateRecord
from xroad_simulator.security.server import SecurityServer


class StatusApplication:
    """`GET /?cert=HASH`: the OCSP response that the server has, 404 without one."""

    def __init__(self, server: SecurityServer) -> None:
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        wanted = Request(scope, receive).query_params.get("cert", "").upper()
        record = self._server.store.get(CertificateRecord, wanted)
        answer = None if record is None else self._server.statuses.own(decode(record.certificate))
        response: Response = PlainTextResponse("no such certificate", 404)
        if answer is not None:
            response = Response(answer, media_type=RESPONSE_TYPE)
        await response(scope, receive, send)
