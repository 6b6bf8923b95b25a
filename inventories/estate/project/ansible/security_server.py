"""Variables of role security_server."""

from __future__ import annotations

from typing import Any

from estate.federation import Distribution, Federation
from estate.host import Host
from estate.model import Estate
from estate.network import LISTENERS, Endpoint
from estate.project.ansible.secret import secret
from estate.secrets import admin_password, api_key, pin


def variables(estate: Estate, host: Host) -> dict[str, Any]:
    """Packages, intervals of the configuration, and the names of the server's secrets."""
    federation = estate.federation
    return {
        "security_server_distribution": federation.distribution.value,
        "security_server_version": federation.version,
        "security_server_settings": _settings(federation),
        "security_server_admin": {
            "name": "exchange-admin",
            "password": secret(admin_password(host.name)),
        },
        "security_server_pin": secret(pin(host.name)),
        "security_server_api_key_name": api_key(host.name),
        **_repository(federation),
    }


def _settings(federation: Federation) -> dict[str, Any]:
    """`local.ini`: the health check, and the clock where it isn't X-Road's own."""
    interval = federation.configuration_interval
    proxy: dict[str, Any] = {"health-check-port": LISTENERS[Endpoint.HEALTH].port}
    settings: dict[str, Any] = {
        "proxy": proxy,
        "configuration-client": {"update-interval": interval},
    }
    if federation.distribution is Distribution.SIMULATOR:
        # On a scaled clock a revoked right bites as soon as the rest of a change does.
        proxy["server-conf-cache-period"] = interval
    return settings


def _repository(federation: Federation) -> dict[str, Any]:
    """Where X-Road's packages come from; nothing where the estate names no repository."""
    repository = federation.repository
    if repository is None:
        return {}
    return {
        "security_server_repository": {
            "url": repository.url,
            "suite": repository.suite,
            "component": repository.component,
            "key_fingerprint": repository.key_fingerprint,
        }
    }
