"""Variables of role central_server."""

from __future__ import annotations

from typing import Any

from estate.federation import Distribution, Federation
from estate.host import Host
from estate.model import Estate
from estate.project.ansible.secret import secret
from estate.secrets import admin_password, api_key, pin


def variables(estate: Estate, host: Host) -> dict[str, Any]:
    """Packages, interval of the configuration, and the names of the server's secrets."""
    federation = estate.federation
    return {
        "central_server_distribution": federation.distribution.value,
        "central_server_version": federation.version,
        "central_server_settings": _settings(federation),
        "central_server_admin": {
            "name": "exchange-admin",
            "password": secret(admin_password(host.name)),
        },
        "central_server_pin": secret(pin(host.name)),
        "central_server_api_key_name": api_key(host.name),
        **_repository(federation),
    }


def _settings(federation: Federation) -> dict[str, Any]:
    """`local.ini`: how often the configuration is generated, and how long it is good for."""
    settings: dict[str, Any] = {
        "admin-service": {"global-configuration-generation-rate-in-seconds": federation.configuration_interval}
    }
    if federation.distribution is Distribution.SIMULATOR:
        # X-Road keeps this one in its database (confExpireIntervalSeconds).
        settings["simulator"] = {"configuration-lifetime-in-seconds": federation.configuration_lifetime}
    return settings


def _repository(federation: Federation) -> dict[str, Any]:
    """Where X-Road's packages come from; nothing where the estate names no repository."""
    repository = federation.repository
    if repository is None:
        return {}
    return {
        "central_server_repository": {
            "url": repository.url,
            "suite": repository.suite,
            "component": repository.component,
            "key_fingerprint": repository.key_fingerprint,
        }
    }
