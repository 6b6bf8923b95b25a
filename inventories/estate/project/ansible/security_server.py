"""Variables of role security_server."""

from __future__ import annotations

from typing import Any

from estate.federation import Distribution, Federation
from estate.host import Host
from estate.model import Estate
from estate.network import LISTENERS, Endpoint
from estate.project.ansible.exchange_server import shared


def variables(estate: Estate, host: Host) -> dict[str, Any]:
    """Packages, intervals of the configuration, and the names of the server's secrets."""
    federation = estate.federation
    return {
        "security_server_settings": _settings(federation),
        **shared("security_server", federation, host),
    }


def _settings(federation: Federation) -> dict[str, Any]:
    """`local.ini`: the health check, and the clock where it isn't X-Road's own."""
    interval = federation.configuration_interval
    proxy: dict[str, Any] = {"health-check-port": LISTENERS[Endpoint.HEALTH].port}
    settings: dict[str, Any] = {
        "proxy": proxy,
        "configuration-client": {"update-interval": interval},
    }
    if federation.distribution is Distribution.SIMULATOR:
        # On a scaled clock a revoked right bites as soon as the rest of a change does.
        proxy["server-conf-cache-period"] = interval
    return settings
