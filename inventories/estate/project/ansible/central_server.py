"""Variables of role central_server."""

from __future__ import annotations

from typing import Any

from estate.federation import Distribution
from estate.host import Host
from estate.model import Estate


def variables(estate: Estate, host: Host) -> dict[str, Any]:
    """What X-Road keeps in its database and no API changes; the simulator reads it from `local.ini`."""
    if estate.federation.distribution is Distribution.SIMULATOR:
        return {}
    return {
        "central_server_parameters": {"confExpireIntervalSeconds": estate.federation.configuration_lifetime}
    }
