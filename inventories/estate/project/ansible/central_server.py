"""Variables of role central_server."""

from __future__ import annotations

from typing import Any

from estate.federation import Distribution, Federation
from estate.host import Host
from estate.model import Estate
from estate.project.ansible.exchange_server import shared


def variables(estate: Estate, host: Host) -> dict[str, Any]:
    """Packages, interval of the configuration, and the names of the server's secrets."""
    federation = estate.federation
    return {
        "central_server_settings": _settings(federation),
        **shared("central_server", federation, host),
    }


def _settings(federation: Federation) -> dict[str, Any]:
    """`local.ini`: how often the configuration is generated, and how long it is good for."""
    settings: dict[str, Any] = {
        "admin-service": {"global-configuration-generation-rate-in-seconds": federation.configuration_interval}
    }
    if federation.distribution is Distribution.SIMULATOR:
        # X-Road keeps this one in its database (confExpireIntervalSeconds).
        settings["simulator"] = {"configuration-lifetime-in-seconds": federation.configuration_lifetime}
    return settings
