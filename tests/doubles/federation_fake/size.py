"""Declares a federation of a wanted size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stacks.federation.arguments import FederationArgs

SERVICES = 2
"""How many services each subsystem offers."""


@dataclass(frozen=True)
class Size:
    """How large a federation is. Members are spread over servers, and rights over members."""

    members: int
    servers: int
    rights: int
    """Pairs of a subsystem and a service that it may call."""


def subsystem(member: int) -> str:
    """The one subsystem of a member."""
    return f"BENCH:GOV:M{member:04d}:REGISTRY"


def arguments(size: Size) -> FederationArgs:
    """What an estate of this size declares."""
    members = range(size.members)
    endpoint = {"address": "127.0.0.1", "port": 4000}
    names = [f"ss{number:03d}" for number in range(size.servers)]
    servers = {
        name: {"endpoint": {**endpoint, "name": name}, "api_key": "key", "pin": "pin"}
        for name in ("central", *names)
    }
    return FederationArgs.model_validate(
        {
            "settings": {
                "central": "central",
                "servers": servers,
                "trust_services": {"endpoint": {**endpoint, "name": "authority"}, "token": "token"},
            },
            "instance": {
                "instance": "BENCH",
                "server": "central",
                "address": "central",
                "member_classes": [{"code": "GOV", "description": "Government bodies"}],
                "members": [_member(member) for member in members],
                "management_provider": subsystem(0),
                "certification": {"name": "authority", "ocsp_responders": ["http://status/"]},
                "timestamping": [{"url": "http://stamps/", "host": "timestamp1"}],
            },
            "security_servers": [
                _server(name, list(members)[number :: size.servers], size) for number, name in enumerate(names)
            ],
        }
    )


def _member(member: int) -> dict[str, Any]:
    return {
        "member": f"BENCH:GOV:M{member:04d}",
        "member_class": "GOV",
        "name": f"Member {member}",
        "subsystems": [{"subsystem": subsystem(member), "name": f"Registry {member}"}],
    }


def _server(name: str, members: list[int], size: Size) -> dict[str, Any]:
    owner, *others = members
    managing = owner == 0
    return {
        "server": name,
        "identity": f"BENCH:GOV:M{owner:04d}:{name.upper()}",
        "address": name,
        "owner": f"BENCH:GOV:M{owner:04d}",
        "owner_name": f"Member {owner}",
        "country": "BJ",
        "timestamping": ["http://stamps/"],
        "clients": [
            {"subsystem": subsystem(member), "services": [_service(number) for number in range(SERVICES)]}
            for member in members
            if member
        ],
        "signing": [{"member": f"BENCH:GOV:M{item:04d}", "name": f"Member {item}"} for item in others],
        "access_rights": [
            {"provider": subsystem(member), "holder": subsystem(holder), "services": [f"service-{number}"]}
            for member in members
            if member
            for holder, number in _rights(member, size)
        ],
        "management": {
            "subsystem": subsystem(0),
            "wsdl_url": "http://central/managementservices.wsdl",
            "services_url": "https://central:4002/managementservice/manage/",
            "services": ["clientDeletion", "clientReg"],
        }
        if managing
        else None,
    }


def _service(number: int) -> dict[str, Any]:
    url = f"https://registry.test/{number}"
    return {
        "code": f"service-{number}",
        "type": "REST",
        "url": url,
        "description_url": url,
        "verify_tls": True,
    }


def _rights(member: int, size: Size) -> list[tuple[int, int]]:
    """Who may call a member's services: its next neighbours, each one of the services."""
    first, more = divmod(size.rights, size.members - 1)
    count = first + (member <= more)
    return [((member + 1 + item) % size.members, item % SERVICES) for item in range(count)]
