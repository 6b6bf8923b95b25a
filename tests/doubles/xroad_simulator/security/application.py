"""A security server put together: applications, listeners, background work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import FastAPI

from xroad_simulator import admin_api, api_backups
from xroad_simulator.clock import timestamp
from xroad_simulator.listeners import Listener, TlsFiles, keep_certificates_fresh
from xroad_simulator.pin import log_in_automatically
from xroad_simulator.security import (
    api_certificate_requests,
    api_certificates,
    api_clients,
    api_diagnostics,
    api_instance,
    api_local_groups,
    api_maintenance,
    api_services,
    api_system,
    api_tokens,
    certificate_status,
    configuration_client,
    message_archive,
    time_stamping,
)
from xroad_simulator.security.health import HealthApplication
from xroad_simulator.security.message_client import ClientApplication
from xroad_simulator.security.message_server import MessageApplication
from xroad_simulator.security.permissions import Permission
from xroad_simulator.security.server import SecurityServer
from xroad_simulator.security.status_listener import StatusApplication
from xroad_simulator.security.transport import Transport
from xroad_simulator.settings import EVERYWHERE, SecuritySettings

_TRANSPORT_CHECK_SECONDS = 1


OPERATIONS = (
    api_backups.operations(
        Permission.BACKUP_CONFIGURATION,
        Permission.RESTORE_CONFIGURATION,
        lambda backup: {"filename": backup.name, "created_at": timestamp(backup.created_at)},
        checks_uploads=False,
        extended=True,
    ),
    *(
        module.routes
        for module in (
            api_system,
            api_maintenance,
            api_instance,
            api_diagnostics,
            api_tokens,
            api_certificate_requests,
            api_certificates,
            api_clients,
            api_local_groups,
            api_services,
        )
    ),
)
"""The operations of the admin API."""


def admin_application(server: SecurityServer) -> FastAPI:
    """Port 4000: the admin API."""
    return admin_api.application(server, "security server", OPERATIONS)


async def keep_transport_fresh(transport: Transport) -> None:
    """Put a newly activated certificate into use without a restart.

    Not in another thread: handshakes happen in this one, and none may see a new certificate with an old key.
    """
    while True:
        transport.refresh()
        await asyncio.sleep(_TRANSPORT_CHECK_SECONDS)


def assemble(
    settings: SecuritySettings,
) -> tuple[SecurityServer, list[Listener], list[Callable[[], Coroutine[Any, Any, None]]]]:
    """The server, its listeners, and what runs beside them."""
    listening = settings.listening
    address = listening.address
    names = ["localhost", "127.0.0.1"] + ([] if address == EVERYWHERE else [address])
    admin_tls = TlsFiles(settings.tls, "proxy-ui-api", names)
    client_tls = TlsFiles(settings.tls, "internal", names)
    server = SecurityServer(settings, client_tls)
    log_in_automatically(server.token, settings.pin_command)
    transport = Transport(server)
    listeners = [
        Listener(
            admin_application(server),
            address,
            listening.port(4000),
            admin_tls.context,
        ),
        Listener(
            ClientApplication(server, transport, is_tls=False),
            address,
            listening.port(settings.client_http_port),
        ),
        Listener(
            ClientApplication(server, transport, is_tls=True),
            address,
            listening.port(settings.client_https_port),
            server.information_systems_context(client_tls.context),
        ),
        Listener(
            MessageApplication(server),
            address,
            listening.port(settings.message_port),
            transport.listening,
        ),
    ]
    listeners.append(Listener(StatusApplication(server), address, listening.port(settings.ocsp_port)))
    listeners += admin_api.fault_listeners(server)
    if settings.health_check_port:
        port = listening.port(settings.health_check_port)
        listeners.append(Listener(HealthApplication(server), address, port))
    tasks: list[Callable[[], Coroutine[Any, Any, None]]] = [
        lambda: configuration_client.keep_updating(server),
        lambda: certificate_status.keep_fresh(server),
        lambda: time_stamping.keep_stamping(server),
        lambda: message_archive.keep_archiving(server),
        lambda: message_archive.keep_cleaning(server),
        lambda: keep_transport_fresh(transport),
        lambda: keep_certificates_fresh([admin_tls, client_tls]),
    ]
    return server, listeners, tasks
