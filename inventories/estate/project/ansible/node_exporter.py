"""Variables of role node_exporter."""

from __future__ import annotations

from typing import Any

from estate.host import Host
from estate.model import Estate
from estate.network import LISTENERS, Endpoint


def variables(estate: Estate, host: Host) -> dict[str, Any]:
    """The port that monitoring may reach."""
    return {"node_exporter_port": LISTENERS[Endpoint.NODE_METRICS].port}
