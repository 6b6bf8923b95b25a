"""Variables of role status_responder."""

from __future__ import annotations

from typing import Any

from estate.host import Host, Role
from estate.model import Estate
from estate.network import LISTENERS, Endpoint


def variables(estate: Estate, host: Host) -> dict[str, Any]:
    """Where the signed status comes from, and how fresh it must be."""
    return {
        "status_responder_port": LISTENERS[Endpoint.CERTIFICATE_STATUS].port,
        "status_responder_source": f"{trust_services_url(estate)}/status",
        "status_responder_freshness_seconds": estate.trust.status.freshness * 60,
        "status_responder_authorities": [
            {"name": "trust-services", "publishes": ["answers", "crl", "crt"]},
            # Certificates of the root's are few: its revocation list, from the ceremony, says all about them.
            {"name": "root", "publishes": ["crl", "crt"]},
        ],
    }


def trust_services_url(estate: Estate) -> str:
    """Address of the trust services CA's API."""
    authority = estate.hosts_with(Role.CERTIFICATE_AUTHORITY)[0]
    return f"https://{estate.fqdn(authority)}:{LISTENERS[Endpoint.TRUST_SERVICES].port}"
