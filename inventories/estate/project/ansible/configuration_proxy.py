"""Variables of role configuration_proxy."""

from __future__ import annotations

from typing import Any

from estate.host import Host
from estate.model import Estate
from estate.network import LISTENERS, Endpoint


def variables(estate: Estate, host: Host) -> dict[str, Any]:
    """The configurations that it distributes, and where it gets their anchors."""
    (proxy,) = (item for item in estate.federation.configuration_proxies if item.host == host.name)
    return {
        "configuration_proxy_central_host": estate.federation.central_server,
        "configuration_proxy_central_api": f"https://localhost:{LISTENERS[Endpoint.ADMIN_API].port}/api/v1",
        "configuration_proxy_instances": [
            {"name": item.name, "source": item.source, "validity_seconds": item.validity}
            for item in proxy.instances
        ],
    }
