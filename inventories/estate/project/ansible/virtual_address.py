"""Variables of role virtual_address."""

from __future__ import annotations

from typing import Any

from estate.host import Host, Role
from estate.model import Estate
from estate.network import LISTENERS, Endpoint, SharedAddress

HEALTH: dict[Role, str] = {
    Role.KUBERNETES_CONTROL_PLANE: f"https://127.0.0.1:{LISTENERS[Endpoint.KUBERNETES_API].port}/readyz",
    Role.LOAD_BALANCER: f"https://127.0.0.1:{LISTENERS[Endpoint.LOAD_BALANCER_METRICS].port}/healthz",
}
"""Where a host itself says whether it can serve what is reached at the shared address."""

FIRST_CHOICE = 200
"""Priority of the host that takes an address nobody has; the others' are lower (RFC 9568: 1 to 254)."""


def variables(estate: Estate, host: Host) -> dict[str, Any]:
    """Each address that the host shares, with whom, and whether it may hold it."""
    return {
        "virtual_address_host": str(host.address),
        "virtual_address_shared": [_shared(estate, host, shared) for shared in estate.shared_by(host)],
    }


def _shared(estate: Estate, host: Host, shared: SharedAddress) -> dict[str, Any]:
    hosts = estate.hosts_with(shared.role)
    return {
        "name": shared.name,
        "address": str(shared.address),
        "router_id": shared.router_id,
        "priority": FIRST_CHOICE - hosts.index(host),
        "peers": [str(peer.address) for peer in hosts if peer is not host],
        "health_url": HEALTH[shared.role],
    }
