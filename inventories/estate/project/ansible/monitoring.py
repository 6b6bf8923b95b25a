"""Variables of role monitoring."""

from __future__ import annotations

from typing import Any

from estate.host import Host
from estate.model import Estate
from estate.network import LISTENERS, SHARED, Endpoint, Shown
from estate.project.ansible.load_balancer import HEALTH_PATH
from estate.trust import TRUST_SERVICES, label

OVERDUE = 6
"""Short-lived certificates are renewed at two thirds of their life; a sixth left means that renewals fail."""

PROBED_OTHERWISE = frozenset({Endpoint.REGISTRY, Endpoint.INFRASTRUCTURE_TLS, Endpoint.TRUST_SERVICES})
"""Endpoints whose probe asks over TLS for more than a certificate: they aren't probed twice."""


def variables(estate: Estate, host: Host) -> dict[str, Any]:
    """What is measured and probed: every host, and each service in the way its users reach it."""
    return {
        "monitoring_fqdn": estate.fqdn(host),
        "monitoring_prometheus_port": LISTENERS[Endpoint.PROMETHEUS].port,
        "monitoring_alertmanager_port": LISTENERS[Endpoint.ALERTMANAGER].port,
        "monitoring_retention": {
            "days": estate.monitoring.retention,
            "size_gib": estate.monitoring.retention_size,
        },
        "monitoring_thresholds": {
            "certificate_seconds": estate.trust.infrastructure_tls.leaf_lifetime * 3600 // OVERDUE,
            "certificate_share": OVERDUE,
            "status_freshness_seconds": estate.trust.status.freshness * 60,
            "disk_hours": 24,
            "clock_offset_seconds": 0.05,
        },
        "monitoring_targets": [
            _target(estate, "node", Endpoint.NODE_METRICS),
            _target(estate, "load_balancer", Endpoint.LOAD_BALANCER_METRICS),
            _target(estate, "trust_services", Endpoint.TRUST_SERVICES),
            _target(estate, "certificate_status", Endpoint.CERTIFICATE_STATUS, scheme="http"),
            _target(estate, "time_stamps", Endpoint.TIME_STAMPS, scheme="http"),
        ],
        "monitoring_probes": [
            _probe("certificates", "tls", _showing_certificates(estate)),
            _probe(
                "portal",
                "https",
                _offered(estate, f"https://{estate.portal.host_name}{HEALTH_PATH}", Endpoint.HTTPS),
            ),
            _probe("registry", "https_login", _offered(estate, "https://{host}:{port}/v2/", Endpoint.REGISTRY)),
            _probe("postgresql", "tcp", _offered(estate, "{host}:{port}", Endpoint.POSTGRESQL)),
            _probe(
                "certificate_authority",
                "https",
                _offered(estate, "https://{host}:{port}/health", Endpoint.INFRASTRUCTURE_TLS),
            ),
            _probe(
                "issuing", "https", _offered(estate, "https://{host}:{port}/health", Endpoint.TRUST_SERVICES)
            ),
            _probe("security_servers", "http", _offered(estate, "http://{host}:{port}/", Endpoint.HEALTH)),
            _probe(
                "revocation_lists",
                "http",
                [
                    instance
                    for authority in ("root", label(TRUST_SERVICES, estate.trust.trust_services.generation))
                    for instance in _offered(
                        estate, f"http://{estate.status_name}/crl/{authority}.crl", Endpoint.HTTP
                    )
                ],
            ),
        ],
    }


def _target(estate: Estate, job: str, endpoint: Endpoint, scheme: str = "https") -> dict[str, Any]:
    return {
        "job": job,
        "scheme": scheme,
        "path": "/metrics",
        "instances": _offered(estate, "{host}:{port}", endpoint),
    }


def _probe(job: str, module: str, instances: list[dict[str, str]]) -> dict[str, Any]:
    return {"job": job, "module": module, "instances": instances}


def _showing_certificates(estate: Estate) -> list[dict[str, str]]:
    """TLS endpoints that can be asked from here, by the name of a host or of an address that hosts share.

    Not PostgreSQL, for the prober doesn't speak its protocol; and not the transport of messages, where whoever
    has no member's certificate is turned away. Files and the record of certificates tell of theirs.
    """
    found: list[dict[str, str]] = []
    for endpoint, listener in LISTENERS.items():
        tls = listener.tls
        if tls is None or tls.starttls is not None or tls.shows is Shown.MEMBER:
            continue
        if endpoint not in PROBED_OTHERWISE:
            found += _offered(estate, f"{{host}}:{tls.port}", endpoint)
            found += [
                {"address": f"{estate.fqdn(shared.name)}:{tls.port}", "host": shared.name, "zone": shared.zone}
                for shared in estate.shared_addresses
                if endpoint in SHARED[shared.role]
            ]
    return found


def _offered(estate: Estate, address: str, endpoint: Endpoint) -> list[dict[str, str]]:
    """An instance for each host that offers `endpoint`.

    `address` may hold {host} and {port}. Hosts stand by name, since their certificates name them.
    """
    port = LISTENERS[endpoint].port
    return [
        {"address": address.format(host=estate.fqdn(host), port=port), "host": host.name, "zone": host.zone}
        for host in estate.offering(endpoint)
    ]
