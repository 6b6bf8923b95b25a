"""Who takes part, in words: what leaves a federation is said before it is removed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from stacks.federation.arguments import FederationArgs
from stacks.providers.xroad.drift import recorded
from stacks.providers.xroad.resources.client import ClientInputs
from stacks.providers.xroad.resources.kind import Inputs
from stacks.providers.xroad.resources.member import MemberInputs
from stacks.providers.xroad.resources.member_class import MemberClassInputs
from stacks.providers.xroad.resources.security_server import SecurityServerInputs
from stacks.providers.xroad.resources.subsystem import SubsystemInputs

Objects = Mapping[type[Inputs], frozenset[str]]
"""Natural keys by kind."""

_WORDS: Mapping[type[Inputs], str] = {
    MemberClassInputs: "member class",
    MemberInputs: "member",
    SubsystemInputs: "subsystem",
    SecurityServerInputs: "security server",
    ClientInputs: "registration",
}


def declared_objects(args: FederationArgs) -> Objects:
    """What the program declares of each kind that takes part."""
    instance = args.instance
    management = {
        f"{server.server}/{server.management.subsystem}"
        for server in args.security_servers
        if server.management is not None
    }
    return {
        MemberClassInputs: frozenset(item.code for item in instance.member_classes),
        MemberInputs: frozenset(item.member for item in instance.members),
        SubsystemInputs: frozenset(item.subsystem for member in instance.members for item in member.subsystems),
        SecurityServerInputs: frozenset(f"{item.server}/{item.identity}" for item in args.security_servers),
        ClientInputs: frozenset(
            f"{server.server}/{client.subsystem}"
            for server in args.security_servers
            for client in server.clients
        )
        | management,
    }


def recorded_objects(resources: Iterable[Mapping[str, Any]]) -> Objects:
    """What an exported state (`deployment.resources`) holds of them."""
    held = recorded(resources)
    return {kind: frozenset(item.key for item in held if item.kind == kind.kind) for kind in _WORDS}


def departures(before: Objects, after: Objects) -> list[str]:
    """What is there and isn't declared, in the order in which people think of it.

    "member BJ:GOV:HEALTH".
    """
    return [
        f"{word} {key}"
        for kind, word in _WORDS.items()
        for key in sorted(before.get(kind, frozenset()) - after.get(kind, frozenset()))
    ]
