"""Port 4000 of both servers: what their admin APIs have in common around the operations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Protocol

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi

from xroad_simulator import VERSION, authentication, errors, limits
from xroad_simulator import faults as faults_on_purpose
from xroad_simulator.authentication import Gate
from xroad_simulator.faults import FaultMiddleware, Faults, Requests
from xroad_simulator.listeners import Listener
from xroad_simulator.settings import EVERYWHERE, Common


class AdminServer(Protocol):
    """A server with an admin API."""

    @property
    def settings(self) -> Common:
        """What an operator set."""

    @property
    def gate(self) -> Gate:
        """Who may call."""

    @property
    def faults(self) -> Faults:
        """Faults that a test asked for."""

    @property
    def requests(self) -> Requests:
        """Requests so far."""


DESCRIPTION = APIRouter()
"""The operation that both servers have besides their own."""


@DESCRIPTION.get("/openapi.yaml", dependencies=[authentication.allow()])
def describe(request: Request) -> Response:
    """The simulator's own description of its operations: X-Road's isn't part of this repository.

    It is JSON, which every reader of YAML takes.
    """
    app: FastAPI = request.app
    description = get_openapi(title="X-Road simulator", version=VERSION, routes=app.routes)
    return Response(json.dumps(description), media_type="application/x-yaml")


def application(server: AdminServer, name: str, operations: Sequence[APIRouter]) -> FastAPI:
    """The admin API of a server with these operations.

    A request passes, in this order, what tests asked for, the correlation id, the limits of its address and
    of its size, and only then who it is from: X-Road's filters have this order.
    """
    app = FastAPI(openapi_url=None)
    app.state.server = server
    app.state.gate = server.gate
    settings = server.settings
    app.add_middleware(
        limits.BodyLimitMiddleware, regular_bytes=settings.body_bytes, upload_bytes=settings.upload_bytes
    )
    limiter = limits.RateLimiter(settings.requests_per_second, settings.requests_per_minute)
    app.add_middleware(limits.RateLimitMiddleware, limiter=limiter)
    errors.install(app)
    app.add_middleware(FaultMiddleware, faults=server.faults, requests=server.requests)
    app.include_router(authentication.sessions)
    app.include_router(authentication.api_keys)
    for routes in operations:
        app.include_router(routes, prefix="/api/v1")
    app.include_router(DESCRIPTION, prefix="/api/v1")

    @app.get("/", include_in_schema=False)
    def root() -> dict[str, str]:
        return {"name": f"X-Road simulator, {name}"}

    return app


def fault_listeners(server: AdminServer) -> list[Listener]:
    """The port for tests, if the settings have one. Loopback only, wherever else the server listens."""
    settings = server.settings
    if not settings.fault_port:
        return []
    address = settings.listening.address
    local = address if address != EVERYWHERE and address.startswith("127.") else "127.0.0.1"
    port = settings.listening.port(settings.fault_port)
    return [Listener(faults_on_purpose.application(server.faults, server.requests), local, port)]
