"""Changes of access rights in words that an auditor reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from stacks.providers.xroad.resources.access_right import AccessRightInputs

Rights = Mapping[tuple[str, str], frozenset[str]]
"""Service codes by provider and holder."""


def access_changes(before: Rights, after: Rights) -> list[str]:
    """Who gains and who loses what, in alphabetical order; losses after gains.

    "PORTAL of DIGITAL gains birth-records of CIVILREG (REGISTRY)".
    """
    sentences: list[str] = []
    for verb, old, new in (("gains", before, after), ("loses", after, before)):
        changed = sorted(
            (holder, provider, service)
            for (provider, holder), services in new.items()
            for service in services - old.get((provider, holder), frozenset())
        )
        sentences.extend(
            f"{_holder(holder)} {verb} {service} of {_provider(provider)}"
            for holder, provider, service in changed
        )
    return sentences


def recorded_rights(resources: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], frozenset[str]]:
    """Rights in an exported state (`deployment.resources`), for comparison with what is declared."""
    return {
        (resource["inputs"]["provider"], resource["inputs"]["holder"]): frozenset(
            resource["inputs"]["services"]
        )
        for resource in resources
        if resource.get("type") == AccessRightInputs.token() and not resource.get("delete")
    }


def _holder(identifier: str) -> str:
    parts = identifier.split(":")
    if len(parts) == 4:
        return f"{parts[3]} of {parts[2]}"
    return f"group {parts[-1]}"


def _provider(identifier: str) -> str:
    parts = identifier.split(":")
    return f"{parts[2]} ({parts[3]})"
