"""Variables of role registry."""

from __future__ import annotations

from typing import Any

from estate.host import Host
from estate.model import Estate
from estate.network import LISTENERS, Endpoint
from estate.project.ansible.secret import secret


def variables(estate: Estate, host: Host) -> dict[str, Any]:
    """The port and the two accounts: who publishes images, and the nodes that pull them."""
    return {
        "registry_port": LISTENERS[Endpoint.REGISTRY].port,
        "registry_accounts": [
            {"name": name, "password": secret(f"registry-{name}")} for name in ("push", "pull")
        ],
    }
