"""Variables of role time_stamping."""

from __future__ import annotations

from typing import Any

from estate.host import Host
from estate.model import Estate
from estate.network import LISTENERS, Endpoint
from estate.project.ansible.secret import secret
from estate.project.ansible.status_responder import trust_services_url
from estate.secrets import time_stamping_key, time_stamping_order


def variables(estate: Estate, host: Host) -> dict[str, Any]:
    """The authority's name and rules, and what it orders its certificate with."""
    return {
        "time_stamping_name": estate.fqdn(host),
        "time_stamping_organization": estate.trust.organization,
        "time_stamping_country": estate.trust.country,
        "time_stamping_policy": estate.trust.time_stamping.policy,
        "time_stamping_port": LISTENERS[Endpoint.TIME_STAMPS].port,
        "time_stamping_passphrase": secret(time_stamping_key(host.name)),
        "time_stamping_authority_url": trust_services_url(estate),
        "time_stamping_order_token": secret(time_stamping_order(host.name)),
    }
