"""Changes of access rights in words that an auditor reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, NamedTuple

from stacks.federation.arguments import FederationArgs
from stacks.providers.xroad.existing import Existing
from stacks.providers.xroad.resources.access_rights import AccessRightsInputs
from stacks.providers.xroad.resources.groups import GlobalGroupInputs, LocalGroupInputs

_Groups = dict[tuple[str | None, str], frozenset[str]]
"""Members by code, of local groups with the subsystem that keeps them."""

Rights = Mapping[tuple[str, str], frozenset[str]]
"""By provider and holder: service codes, or `SERVICE METHOD PATH` for an endpoint of one."""


class AccessChange(NamedTuple):
    """A holder gains a service of a provider, or loses it. Identifiers are joined by colons."""

    gains: bool
    holder: str
    provider: str
    service: str

    def __str__(self) -> str:
        verb = "gains" if self.gains else "loses"
        return f"{_holder(self.holder)} {verb} {self.service} of {_provider(self.provider)}"


def access_changes(before: Rights, after: Rights) -> list[AccessChange]:
    """Who gains and who loses what, in alphabetical order; losses after gains.

    Read aloud: "PORTAL of DIGITAL gains birth-records of CIVILREG (REGISTRY)".
    """
    return [
        AccessChange(gains, holder, provider, service)
        for gains, old, new in ((True, before, after), (False, after, before))
        for holder, provider, service in sorted(
            (holder, provider, service)
            for (provider, holder), services in new.items()
            for service in services - old.get((provider, holder), frozenset())
        )
    ]


def reasons(args: FederationArgs) -> dict[tuple[str, str, str], str]:
    """On what ground a subsystem may call a service, by holder, provider and service."""
    found, groups = {}, _declared_groups(args)
    for right in (right for server in args.security_servers for right in server.access_rights):
        one = {(right.provider, right.holder): frozenset(right.services)}
        for (provider, holder), services in _of_members(one, groups).items():
            found.update({(holder, provider, service): right.reason for service in services})
    return found


def declared_rights(args: FederationArgs) -> dict[tuple[str, str], frozenset[str]]:
    """What subsystems may call when the declaration holds, by themselves or as members of a group."""
    return _of_members(args.access_rights(), _declared_groups(args))


def recorded_rights(resources: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], frozenset[str]]:
    """Likewise in an exported state (`deployment.resources`).

    A provider at several servers grants what it grants at any of them.
    """
    return _rights((resource["type"], resource["inputs"]) for resource in _held(resources))


def existing_rights(
    existing: Existing, resources: Iterable[Mapping[str, Any]]
) -> dict[tuple[str, str], frozenset[str]]:
    """Likewise at the servers; of servers that couldn't be asked, those of an exported state."""
    unasked = (
        (resource["type"], resource["inputs"])
        for resource in _held(resources)
        if resource["inputs"].get("server") in existing.unreachable
    )
    asked = (
        (kind.token(), item.inputs.model_dump(mode="json"))
        for kind in (GlobalGroupInputs, LocalGroupInputs, AccessRightsInputs)
        for item in existing.resources.get(kind.kind, {}).values()
    )
    return _rights(chain(unasked, asked))


def _declared_groups(args: FederationArgs) -> _Groups:
    groups: _Groups = {(None, item.code): frozenset(item.members) for item in args.instance.global_groups}
    for server in args.security_servers:
        for client in server.clients:
            for group in client.local_groups:
                _join(groups, (client.subsystem, group.code), group.members)
    return groups


def _held(resources: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Resources of a state that are to stay."""
    return (item for item in resources if "type" in item and item.get("inputs") and not item.get("delete"))


def _rights(inputs: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[tuple[str, str], frozenset[str]]:
    """From types and inputs of resources."""
    groups: _Groups = {}
    found: dict[tuple[str, str], frozenset[str]] = {}
    for token, item in inputs:
        if token == GlobalGroupInputs.token():
            _join(groups, (None, item["code"]), item.get("members") or ())
        elif token == LocalGroupInputs.token():
            _join(groups, (item["subsystem"], item["code"]), item.get("members") or ())
        elif token == AccessRightsInputs.token():
            for holder, grants in item["rights"].items():
                key = item["provider"], holder
                found[key] = found.get(key, frozenset()) | frozenset(grants)
    return _of_members(found, groups)


def _join(groups: _Groups, key: tuple[str | None, str], members: Iterable[str]) -> None:
    groups[key] = groups.get(key, frozenset()) | frozenset(members)


def _of_members(rights: Rights, groups: _Groups) -> dict[tuple[str, str], frozenset[str]]:
    """Rights of a group as those of its members. X-Road's own groups, whose members it chooses, stay groups."""
    found: dict[tuple[str, str], frozenset[str]] = {}
    for (provider, holder), services in rights.items():
        *instance, code = holder.split(":")
        members = None
        if len(instance) < 2:
            members = groups.get((None if instance else provider, code))
        for member in (holder,) if members is None else members:
            found[provider, member] = found.get((provider, member), frozenset()) | services
    return found


def without(rights: Rights, others: Rights) -> dict[tuple[str, str], frozenset[str]]:
    """Those of the first that aren't among the second."""
    left = {key: services - others.get(key, frozenset()) for key, services in rights.items()}
    return {key: services for key, services in left.items() if services}


def _holder(identifier: str) -> str:
    parts = identifier.split(":")
    if len(parts) == 4:
        return f"{parts[3]} of {parts[2]}"
    return f"group {parts[-1]}"


def _provider(identifier: str) -> str:
    parts = identifier.split(":")
    return f"{parts[2]} ({parts[3]})"
