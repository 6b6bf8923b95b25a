"""What roles `central_server` and `security_server` are told alike: packages, accounts, names of secrets."""

from __future__ import annotations

from typing import Any

from estate.federation import Federation
from estate.host import Host
from estate.project.ansible.secret import secret
from estate.secrets import admin_password, api_key, pin


def shared(role: str, federation: Federation, host: Host) -> dict[str, Any]:
    """Variables of `role`, which is one of the two, that don't depend on which of them it is."""
    found: dict[str, Any] = {
        f"{role}_distribution": federation.distribution.value,
        f"{role}_version": federation.version,
        f"{role}_admin": {"name": "exchange-admin", "password": secret(admin_password(host.name))},
        f"{role}_pin": secret(pin(host.name)),
        f"{role}_api_key_name": api_key(host.name),
    }
    if federation.repository is not None:
        found[f"{role}_repository"] = federation.repository.model_dump(mode="json")
    return found
