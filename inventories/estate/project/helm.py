"""Projects an estate to the values of the charts. Pure; names secrets, holds none."""

from __future__ import annotations

from typing import Any

from estate.federation import SubsystemId
from estate.host import Role
from estate.model import Estate
from estate.network import LISTENERS, Endpoint
from estate.platform import Sector
from estate.project.pod_flows import callers, reachable

DATABASE_SECRET = "database"  # noqa: S105 the object's name, not a password
"""The Kubernetes secret with the password of a system's database, in the system's own namespace."""

KEY_SECRET = "portal"  # noqa: S105 the object's name, not a key
"""The Kubernetes secret with the key that signs the portal's sessions."""

ROOT_CONFIG_MAP = "site-root"
"""The config map with the site's root certificate, one in each namespace."""


def sector_system(estate: Estate, sector: Sector) -> dict[str, Any]:
    """Values of chart `sector-system` for one sector. ValueError while the image's digest isn't known."""
    return {
        "sector": sector.name,
        "replicas": sector.replicas,
        "image": _image(estate, "sector-system"),
        "database": _database(estate, sector.database),
        "caBundle": ROOT_CONFIG_MAP,
        "service": {"nodePort": sector.node_port},
        "networkPolicy": {
            "from": callers(estate, sector.node_port),
            "databaseAddress": _database_address(estate),
        },
    }


def portal(estate: Estate) -> dict[str, Any]:
    """Values of chart `portal`. ValueError while the image's digest isn't known."""
    server = estate.host(estate.portal.security_server)
    port = LISTENERS[Endpoint.INFORMATION_SYSTEMS].ports[-1]
    return {
        "hostName": estate.portal.host_name,
        "replicas": estate.portal.replicas,
        "image": _image(estate, "portal"),
        "database": _database(estate, estate.portal.database),
        "keySecret": {"name": KEY_SECRET, "key": "key"},
        "exchange": {
            "url": f"https://{estate.fqdn(server)}:{port}",
            "client": f"{estate.federation.instance}/{estate.portal.client}",
        },
        "catalogue": _catalogue(estate),
        "caBundle": ROOT_CONFIG_MAP,
        "service": {"nodePort": estate.portal.node_port},
        "timeZone": estate.site.time_zone,
        "networkPolicy": {
            "from": callers(estate, estate.portal.node_port),
            "databaseAddress": _database_address(estate),
            "exchangeAddress": reachable(estate, server.address, port),
        },
    }


def _image(estate: Estate, name: str) -> dict[str, str]:
    repository, _, digest = estate.image_reference(name).partition("@")
    return {"repository": repository, "digest": digest}


def _database(estate: Estate, name: str) -> dict[str, Any]:
    (database,) = (item for item in estate.postgresql.databases if item.name == name)
    return {
        "host": estate.fqdn(estate.hosts_with(Role.POSTGRESQL)[0]),
        "port": LISTENERS[Endpoint.POSTGRESQL].port,
        "name": database.name,
        "user": database.owner,
        "passwordSecret": {"name": DATABASE_SECRET, "key": "password"},
    }


def _database_address(estate: Estate) -> str:
    database = estate.hosts_with(Role.POSTGRESQL)[0]
    return reachable(estate, database.address, LISTENERS[Endpoint.POSTGRESQL].port)


def _catalogue(estate: Estate) -> list[dict[str, Any]]:
    """Every service of the federation that the portal may call, in the order of the sectors."""
    allowed = {
        (right.provider, code)
        for right in estate.federation.access_rights
        if SubsystemId.parse(estate.portal.client) in estate.federation.holders(right)
        for code in right.services
    }
    places: dict[str, tuple[SubsystemId, str]] = {}
    for identifier, subsystem in estate.federation.subsystems().items():
        for service in subsystem.services:
            if (str(identifier), service.code) in allowed:
                places[service.sector] = (identifier, service.code)
    return [
        {
            "collection": sector.collection,
            "provider": f"{estate.federation.instance}/{places[sector.name][0]}/{places[sector.name][1]}",
            "administration": sector.title.model_dump(),
            "example": sector.example,
        }
        for sector in estate.sectors
        if sector.name in places
    ]
