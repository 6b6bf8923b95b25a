"""A central server put together: applications, listeners, background work."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import FastAPI

from xroad_simulator import authentication, errors
from xroad_simulator.central import (
    api_management,
    api_members,
    api_system,
    api_trust,
    configuration,
    services,
)
from xroad_simulator.central.server import CentralServer
from xroad_simulator.certificates import parse_certificate
from xroad_simulator.listeners import Listener, TlsFiles, keep_certificates_fresh
from xroad_simulator.pin import log_in_automatically
from xroad_simulator.settings import EVERYWHERE, CentralSettings

_TLS_NAME = "center-admin-service"


def admin_application(server: CentralServer) -> FastAPI:
    """Port 4000: the admin API."""
    app = FastAPI(openapi_url=None)
    app.state.server = server
    app.state.gate = server.gate
    errors.install(app)
    app.include_router(authentication.sessions)
    app.include_router(authentication.api_keys)
    for module in (api_system, api_trust, api_members, api_management):
        app.include_router(module.routes, prefix="/api/v1")

    @app.get("/", include_in_schema=False)
    def root() -> dict[str, str]:
        return {"name": "X-Road simulator, central server"}

    return app


def assemble(
    settings: CentralSettings,
) -> tuple[CentralServer, list[Listener], list[Callable[[], Coroutine[Any, Any, None]]]]:
    """The server, its listeners, and what runs beside them."""
    listening = settings.listening
    address = listening.address
    names = ["localhost", "127.0.0.1"] + ([] if address == EVERYWHERE else [address])
    files = TlsFiles(settings.tls, _TLS_NAME, names)
    tls = files.context
    server = CentralServer(settings, parse_certificate(files.certificate()))
    log_in_automatically(server.token, settings.pin_command)
    public = services.configuration_application(server)
    listeners = [
        Listener(admin_application(server), address, listening.port(4000), tls),
        Listener(public, address, listening.port(80)),
        Listener(public, address, listening.port(443), tls),
        Listener(services.registration_application(server), address, listening.port(4001), tls),
        Listener(services.management_application(server), address, listening.port(4002), tls),
    ]

    def renewed() -> None:
        server.tls_certificate = parse_certificate(files.certificate())

    return (
        server,
        listeners,
        [
            lambda: configuration.keep_generating(server),
            lambda: keep_certificates_fresh([files], renewed),
        ],
    )
