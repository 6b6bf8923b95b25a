"""Changes of access rights in words that an auditor reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from stacks.providers.xroad.existing import Existing
from stacks.providers.xroad.resources.access_rights import AccessRightsInputs

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


def recorded_rights(resources: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], frozenset[str]]:
    """Rights in an exported state (`deployment.resources`), for comparison with what is declared.

    A provider at several servers grants what it grants at any of them.
    """
    found: dict[tuple[str, str], frozenset[str]] = {}
    for resource in resources:
        if resource.get("type") == AccessRightsInputs.token() and not resource.get("delete"):
            provider = resource["inputs"]["provider"]
            for holder, grants in resource["inputs"]["rights"].items():
                found[provider, holder] = found.get((provider, holder), frozenset()) | frozenset(grants)
    return found


def existing_rights(
    existing: Existing, resources: Iterable[Mapping[str, Any]]
) -> dict[tuple[str, str], frozenset[str]]:
    """Rights that the servers hold; of servers that couldn't be asked, those of an exported state."""
    unasked = [
        resource
        for resource in resources
        if (resource.get("inputs") or {}).get("server") in existing.unreachable
    ]
    found = recorded_rights(unasked)
    for item in existing.resources.get(AccessRightsInputs.kind, {}).values():
        for holder, grants in item.inputs.rights.items():
            key = item.inputs.provider, holder
            found[key] = found.get(key, frozenset()) | frozenset(grants)
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
