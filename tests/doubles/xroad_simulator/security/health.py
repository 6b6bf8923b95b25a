"""Port 5588: can this server move messages? For load balancers and monitoring."""

from __future__ import annotations

from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from xroad_simulator.global_configuration import ConfigurationError
from xroad_simulator.security.records import Usage
from xroad_simulator.security.server import SecurityServer
from xroad_simulator.security.transport import authentication_certificate


class HealthApplication:
    """200 if the server can, 500 with the reason if it can't."""

    def __init__(self, server: SecurityServer) -> None:
        self._server = server

    def problem(self) -> str | None:
        """Why messages can't move, None if they can."""
        try:
            self._server.configuration()
        except ConfigurationError as problem:
            return f"Global configuration is not valid: {problem}"
        if not self._server.token.is_logged_in:
            return "Authentication key is not available: the token is logged out"
        if authentication_certificate(self._server) is None:
            owner = self._server.owner
            if owner is not None and self._server.active_certificates(Usage.AUTHENTICATION, owner):
                return "Authentication key OCSP response is not good"
            return "No certificate chain available for the authentication key"
        return None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        problem = self.problem()
        answer = PlainTextResponse(problem or "", 200 if problem is None else 500)
        await answer(scope, receive, send)
