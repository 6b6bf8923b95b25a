"""Variables of role status_responder."""

from __future__ import annotations

from typing import Any

from estate.host import Host, Role
from estate.model import Estate
from estate.network import LISTENERS, Endpoint
from estate.trust import TRUST_SERVICES, label


def variables(estate: Estate, host: Host) -> dict[str, Any]:
    """Where the signed status comes from, and how fresh it must be."""
    current = estate.trust.trust_services.generation
    return {
        "status_responder_port": LISTENERS[Endpoint.CERTIFICATE_STATUS].port,
        "status_responder_source": f"{trust_services_url(estate)}/status",
        "status_responder_freshness_seconds": estate.trust.status.freshness * 60,
        "status_responder_authorities": [
            *(
                {
                    "name": label(TRUST_SERVICES, generation),
                    "former": generation < current,
                    "publishes": ["answers", "crl", "crt"],
                }
                for generation in range(1, current + 1)
            ),
            # Certificates of the root's are few: its revocation list, from the ceremony, says all about them.
            {"name": "root", "former": False, "publishes": ["crl", "crt"]},
        ],
    }


def trust_services_url(estate: Estate) -> str:
    """Address of the trust services CA's API."""
    authority = estate.hosts_with(Role.CERTIFICATE_AUTHORITY)[0]
    return f"https://{estate.fqdn(authority)}:{LISTENERS[Endpoint.TRUST_SERVICES].port}"
