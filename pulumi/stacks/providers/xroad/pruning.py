"""Removes what is there and nobody declared, in the reverse order of its coming."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from stacks.providers.xroad.drift import Deviation
from stacks.providers.xroad.existing import Existing
from stacks.providers.xroad.resources.central_server import CentralServerKind
from stacks.providers.xroad.resources.configuration_part import ConfigurationPartKind
from stacks.providers.xroad.resources.kinds import KINDS
from stacks.providers.xroad.resources.management import ManagementProviderKind, ManagementRegistrationKind
from stacks.providers.xroad.resources.security_server import SecurityServerKind
from stacks.providers.xroad.servers import Servers

_STAYING = (
    CentralServerKind,
    ConfigurationPartKind,
    ManagementProviderKind,
    ManagementRegistrationKind,
    SecurityServerKind,
)
"""What the API can't undo, and servers: whoever runs one decides that it goes."""


async def prune(servers: Servers, existing: Existing, deviations: Iterable[Deviation]) -> AsyncIterator[str]:
    """Remove each resource that was added by hand; tells of each when it is gone.

    `deviations` have to be from a state that holds all that is declared. Stopped anywhere, a rerun finds the
    rest.
    """
    added = {(item.kind, item.key) for item in deviations if item.what == "added"}
    for factory in reversed(KINDS):
        if issubclass(factory, _STAYING):
            continue
        kind = factory(servers)
        for key, found in existing.resources.get(kind.inputs.kind, {}).items():
            if (kind.inputs.kind, key) in added:
                await kind.remove(found.inputs, found.facts)
                yield f"{kind.inputs.kind} {key}"
