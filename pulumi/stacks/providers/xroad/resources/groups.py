"""Groups that rights can be given to: global ones of the instance, and local ones of a client."""

# ruff: noqa: ARG002  (methods answer one interface; not each kind needs all of it)
from __future__ import annotations

import asyncio
from typing import ClassVar

from stacks.providers.serving import Properties, ProviderError
from stacks.providers.xroad.errors import ApiError
from stacks.providers.xroad.identifiers import OWNERS_GROUP, SubsystemId
from stacks.providers.xroad.resources.kind import Found, Inputs, Kind, gone
from stacks.providers.xroad.security import LocalGroup


class GlobalGroupInputs(Inputs):
    """A group that every provider of the instance can give rights to."""

    kind: ClassVar[str] = "GlobalGroup"

    code: str
    description: str
    members: tuple[str, ...] = ()
    """Identifiers in alphabetical order."""


class GlobalGroupKind(Kind[GlobalGroupInputs]):
    """Keeps groups at the central server, but for the owners' group, which X-Road fills by itself."""

    inputs = GlobalGroupInputs
    replacing = frozenset({"code"})

    def key(self, wish: GlobalGroupInputs) -> str:
        """The code."""
        return wish.code

    def named(self, key: str) -> GlobalGroupInputs:
        """From the code."""
        return GlobalGroupInputs(code=key, description="")

    async def find(self, wish: GlobalGroupInputs) -> Found[GlobalGroupInputs] | None:
        """Look through the list, which is short."""
        return next((item for item in await self.existing([]) if item.inputs.code == wish.code), None)

    async def existing(self, servers: list[str]) -> list[Found[GlobalGroupInputs]]:
        """Of the central server."""
        central = self.servers.central
        groups = [item for item in await central.global_groups() if item.code != OWNERS_GROUP]
        members = await asyncio.gather(*(central.group_members(item.code) for item in groups))
        return [
            Found(
                GlobalGroupInputs(code=item.code, description=item.description, members=tuple(sorted(inside)))
            )
            for item, inside in zip(groups, members, strict=True)
        ]

    async def make(self, wish: GlobalGroupInputs) -> None:
        """Add it with its members."""
        await self.servers.central.add_global_group(wish.code, wish.description)
        if wish.members:
            await self.servers.central.add_group_members(wish.code, wish.members)

    async def change(self, wish: GlobalGroupInputs, found: Found[GlobalGroupInputs]) -> None:
        """Describe it anew, take members in and out."""
        central = self.servers.central
        if wish.description != found.inputs.description:
            await central.describe_global_group(wish.code, wish.description)
        if missing := sorted(set(wish.members) - set(found.inputs.members)):
            await central.add_group_members(wish.code, missing)
        for member in sorted(set(found.inputs.members) - set(wish.members)):
            await central.delete_group_member(wish.code, member)

    async def remove(self, wish: GlobalGroupInputs, state: Properties) -> None:
        """Remove it; whoever had rights through it has them no more."""
        try:
            await self.servers.central.delete_global_group(wish.code)
        except ApiError as error:
            if not gone(error):
                raise


class LocalGroupInputs(Inputs):
    """A group that one client keeps at one server for the services that it offers there."""

    kind: ClassVar[str] = "LocalGroup"

    server: str
    """The host."""
    subsystem: str
    code: str
    description: str
    members: tuple[str, ...] = ()
    """Identifiers of subsystems in alphabetical order."""


class LocalGroupKind(Kind[LocalGroupInputs]):
    """Keeps groups at a security server. The API has numbers for them; a code is unique at its client."""

    inputs = LocalGroupInputs
    replacing = frozenset({"server", "subsystem", "code"})

    def key(self, wish: LocalGroupInputs) -> str:
        """Host, subsystem, code."""
        return f"{wish.server}/{wish.subsystem}/{wish.code}"

    def named(self, key: str) -> LocalGroupInputs:
        """From host, subsystem, code."""
        server, subsystem, code = key.split("/", 2)
        SubsystemId.parse(subsystem)
        return LocalGroupInputs(server=server, subsystem=subsystem, code=code, description="")

    async def find(self, wish: LocalGroupInputs) -> Found[LocalGroupInputs] | None:
        """Look among the client's groups."""
        present = await self._present(wish)
        return _found(wish.server, wish.subsystem, present) if present else None

    async def existing(self, servers: list[str]) -> list[Found[LocalGroupInputs]]:
        """Of every client of every server."""
        clients = await self.clients(servers)
        groups = await asyncio.gather(
            *(self.servers.security(name).local_groups(SubsystemId.parse(item.id)) for name, item in clients)
        )
        return [
            _found(name, client.id, group)
            for (name, client), items in zip(clients, groups, strict=True)
            for group in items
        ]

    async def make(self, wish: LocalGroupInputs) -> None:
        """Add it, then its members."""
        own = self.servers.security(wish.server)
        await own.add_local_group(SubsystemId.parse(wish.subsystem), wish.code, wish.description)
        present = await self._present(wish)
        if present is None:
            raise ProviderError(f"{wish.server} accepted {self.key(wish)}, but doesn't show it")
        if wish.members:
            await own.add_local_group_members(present.id, wish.members)

    async def change(self, wish: LocalGroupInputs, found: Found[LocalGroupInputs]) -> None:
        """Describe it anew, take members in and out."""
        own, group = self.servers.security(wish.server), str(found.facts["group"])
        if wish.description != found.inputs.description:
            await own.describe_local_group(group, wish.description)
        if missing := sorted(set(wish.members) - set(found.inputs.members)):
            await own.add_local_group_members(group, missing)
        if surplus := sorted(set(found.inputs.members) - set(wish.members)):
            await own.delete_local_group_members(group, surplus)

    async def remove(self, wish: LocalGroupInputs, state: Properties) -> None:
        """Remove it; whoever had rights through it has them no more."""
        present = await self._present(wish)
        if present is None:
            return
        try:
            await self.servers.security(wish.server).delete_local_group(present.id)
        except ApiError as error:
            if not gone(error):
                raise

    async def _present(self, wish: LocalGroupInputs) -> LocalGroup | None:
        own = self.servers.security(wish.server)
        try:
            groups = await own.local_groups(SubsystemId.parse(wish.subsystem))
        except ApiError as error:
            if gone(error):
                return None
            raise
        return next((group for group in groups if group.code == wish.code), None)


def _found(server: str, subsystem: str, group: LocalGroup) -> Found[LocalGroupInputs]:
    inputs = LocalGroupInputs(
        server=server,
        subsystem=subsystem,
        code=group.code,
        description=group.description,
        members=tuple(sorted(item.id for item in group.members)),
    )
    return Found(inputs, {"group": group.id})
