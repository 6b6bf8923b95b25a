"""A central server put together: applications, listeners, background work."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import FastAPI

from xroad_simulator import admin_api, api_backups
from xroad_simulator.central import (
    api_configuration,
    api_groups,
    api_management,
    api_management_tls,
    api_members,
    api_responders,
    api_servers,
    api_system,
    api_trust,
    configuration,
    services,
)
from xroad_simulator.central.permissions import Permission
from xroad_simulator.central.server import CentralServer
from xroad_simulator.listeners import Listener, TlsFiles, keep_certificates_fresh
from xroad_simulator.pin import log_in_automatically
from xroad_simulator.settings import EVERYWHERE, CentralSettings

OPERATIONS = (
    api_backups.operations(
        Permission.BACKUP_CONFIGURATION,
        Permission.RESTORE_CONFIGURATION,
        lambda backup: {"filename": backup.name},
        checks_uploads=True,
    ),
    *(
        module.routes
        for module in (
            api_system,
            api_configuration,
            api_trust,
            api_responders,
            api_members,
            api_servers,
            api_groups,
            api_management,
            api_management_tls,
        )
    ),
)
"""The operations of the admin API."""


def admin_application(server: CentralServer) -> FastAPI:
    """Port 4000: the admin API."""
    return admin_api.application(server, "central server", OPERATIONS)


def assemble(
    settings: CentralSettings,
) -> tuple[CentralServer, list[Listener], list[Callable[[], Coroutine[Any, Any, None]]]]:
    """The server, its listeners, and what runs beside them."""
    listening = settings.listening
    address = listening.address
    names = ["localhost", "127.0.0.1"] + ([] if address == EVERYWHERE else [address])
    files = TlsFiles(settings.tls, "center-admin-service", names)
    management = TlsFiles(settings.tls, "management-service", names)
    server = CentralServer(settings, management)
    log_in_automatically(server.token, settings.pin_command)
    public = services.configuration_application(server)
    listeners = [
        Listener(admin_application(server), address, listening.port(4000), files.context),
        Listener(public, address, listening.port(80)),
        Listener(public, address, listening.port(443), files.context),
        Listener(services.registration_application(server), address, listening.port(4001), management.context),
        Listener(services.management_application(server), address, listening.port(4002), management.context),
        *admin_api.fault_listeners(server),
    ]

    return (
        server,
        listeners,
        [
            lambda: configuration.keep_generating(server),
            lambda: keep_certificates_fresh([files, management]),
        ],
    )
