"""What exists in a federation, in the form of declarations: for imports, and to find what was done by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stacks.providers.xroad.errors import UnreachableError
from stacks.providers.xroad.memory import remembered
from stacks.providers.xroad.resources.kind import Found
from stacks.providers.xroad.resources.kinds import KINDS
from stacks.providers.xroad.servers import Servers


@dataclass(frozen=True)
class Existing:
    """All resources that could be looked at."""

    resources: Mapping[str, Mapping[str, Found[Any]]]
    """By kind (`Inputs.kind`) and natural key (`Kind.key`). What a server can't tell, such as the host that a
    certificate comes from, has its default in the inputs.
    """
    unreachable: Mapping[str, str]
    """Security servers that couldn't be asked, with the reason: of these nothing is in `resources`."""


async def existing(servers: Servers) -> Existing:
    """Look at every object of a federation. Only GET requests, each once.

    Raises UnreachableError if the central server can't be asked. Security servers that aren't initialised
    have nothing and are passed over.
    """
    with remembered():
        names = servers.security_servers
        found = await asyncio.gather(*(_initialized(servers, name) for name in names))
        ready = [name for name, state in zip(names, found, strict=True) if state is True]
        unreachable = {name: state for name, state in zip(names, found, strict=True) if isinstance(state, str)}
        if not (await servers.central.initialization()).complete:
            return Existing({}, unreachable)
        kinds = [kind(servers) for kind in KINDS]
        listed = await asyncio.gather(*(kind.existing(ready) for kind in kinds))
    resources = {
        kind.inputs.kind: {kind.key(item.inputs): item for item in items}
        for kind, items in zip(kinds, listed, strict=True)
    }
    return Existing(resources, unreachable)


async def _initialized(servers: Servers, name: str) -> bool | str:
    """Whether a security server can have resources; why it couldn't be asked."""
    try:
        status = await servers.security(name).initialization()
    except UnreachableError as error:
        return str(error)
    return status.is_anchor_imported and status.token_initialized and status.is_server_owner_initialized
