"""What was done by hand since the last apply: found by comparing what was recorded with what is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from stacks.providers.serving import Properties
from stacks.providers.xroad.existing import Existing
from stacks.providers.xroad.memory import remembered
from stacks.providers.xroad.resources.kind import Found, Kind
from stacks.providers.xroad.resources.kinds import KINDS
from stacks.providers.xroad.servers import Servers

_OF_THE_MOMENT = frozenset({"due"})
"""Inputs that the provider fills in at each look: that a certificate comes due is nobody's doing."""


class Recorded(NamedTuple):
    """A resource as the last apply left it."""

    kind: str
    """`Inputs.kind`."""
    key: str
    """Natural key: the resource's identifier in the engine's state."""
    inputs: Properties
    urn: str = ""


class Deviation(NamedTuple):
    """A resource that isn't as it was left."""

    what: Literal["added", "missing", "changed"]
    kind: str
    key: str
    fields: Mapping[str, tuple[Any, Any]] = {}
    """Of what was changed: what was applied, and what is."""
    urn: str = ""
    """Of what the state knows."""

    def __str__(self) -> str:
        changes = "; ".join(f"{name} is {now!r}, applied {then!r}" for name, (then, now) in self.fields.items())
        return f"{self.kind} {self.key}" + (f": {changes}" if changes else "")


def recorded(resources: Iterable[Mapping[str, Any]]) -> list[Recorded]:
    """Resources of the provider in an exported state (`deployment.resources`)."""
    kinds = {kind.inputs.token(): kind.inputs.kind for kind in KINDS}
    return [
        Recorded(kinds[item["type"]], item["id"], dict(item.get("inputs") or {}), item.get("urn", ""))
        for item in resources
        if item.get("type") in kinds and item.get("id") and not item.get("delete")
    ]


async def drift(servers: Servers, existing: Existing, known: Sequence[Recorded]) -> list[Deviation]:
    """Compare. Only GET requests; resources of servers that couldn't be asked are passed over."""
    kinds = {kind.inputs.kind: kind(servers) for kind in KINDS}
    asked = [item for item in known if item.inputs.get("server") not in existing.unreachable]
    with remembered():
        found = await asyncio.gather(*(_found(kinds[item.kind], item) for item in asked))
    deviations = [
        deviation
        for item, now in zip(asked, found, strict=True)
        if (deviation := _deviation(kinds[item.kind], item, now)) is not None
    ]
    seen = {
        (item.kind, kinds[item.kind].identity(now))
        for item, now in zip(asked, found, strict=True)
        if now is not None
    }
    added = [
        Deviation("added", name, key)
        for name, items in existing.resources.items()
        for key, item in items.items()
        if (name, kinds[name].identity(item)) not in seen
    ]
    return [*deviations, *added]


async def _found(kind: Kind[Any], item: Recorded) -> Found[Any] | None:
    return await kind.find(kind.inputs.model_validate(item.inputs))


def _deviation(kind: Kind[Any], item: Recorded, now: Found[Any] | None) -> Deviation | None:
    if now is None:
        return Deviation("missing", item.kind, item.key, urn=item.urn)
    applied = kind.inputs.model_validate(item.inputs).model_dump(mode="json")
    present = now.inputs.model_dump(mode="json")
    fields = {
        name: (applied[name], present[name])
        for name in applied
        if name not in _OF_THE_MOMENT and applied[name] != present[name]
    }
    return Deviation("changed", item.kind, item.key, fields, item.urn) if fields else None
