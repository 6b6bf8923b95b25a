"""Subsystems: the information systems of members."""

# ruff: noqa: ARG002  (methods answer one interface; not each kind needs all of it)
from __future__ import annotations

import asyncio
from typing import ClassVar

from stacks.providers.serving import Properties
from stacks.providers.xroad.errors import ApiError
from stacks.providers.xroad.identifiers import MemberId, SubsystemId
from stacks.providers.xroad.resources.kind import Found, Inputs, Kind, gone


class SubsystemInputs(Inputs):
    """A subsystem of a member."""

    kind: ClassVar[str] = "Subsystem"

    subsystem: str
    """`INSTANCE:CLASS:CODE:SUBSYSTEM`."""
    name: str


class SubsystemKind(Kind[SubsystemInputs]):
    """Keeps subsystems at the central server."""

    inputs = SubsystemInputs
    replacing = frozenset({"subsystem"})

    def key(self, wish: SubsystemInputs) -> str:
        """The identifier."""
        return wish.subsystem

    def named(self, key: str) -> SubsystemInputs:
        """From the identifier."""
        return SubsystemInputs(subsystem=str(SubsystemId.parse(key)), name="")

    async def find(self, wish: SubsystemInputs) -> Found[SubsystemInputs] | None:
        """Look among the subsystems of its member."""
        siblings = await self._of(SubsystemId.parse(wish.subsystem).owner)
        return next((item for item in siblings if item.inputs.subsystem == wish.subsystem), None)

    async def existing(self, servers: list[str]) -> list[Found[SubsystemInputs]]:
        """Of each member."""
        members = await self.servers.central.clients(client_type="MEMBER")
        found = await asyncio.gather(*(self._of(MemberId.parse(str(item.client_id))) for item in members))
        return [item for items in found for item in items]

    async def _of(self, member: MemberId) -> list[Found[SubsystemInputs]]:
        try:
            found = await self.servers.central.subsystems(member)
        except ApiError as error:
            if gone(error):
                return []
            raise
        return [
            Found(SubsystemInputs(subsystem=str(item.subsystem_id), name=item.subsystem_name or ""))
            for item in found
        ]

    async def make(self, wish: SubsystemInputs) -> None:
        """Add it."""
        await self.servers.central.add_subsystem(SubsystemId.parse(wish.subsystem), wish.name)

    async def change(self, wish: SubsystemInputs, found: Found[SubsystemInputs]) -> None:
        """Rename it."""
        await self.servers.central.rename_subsystem(SubsystemId.parse(wish.subsystem), wish.name)

    async def remove(self, wish: SubsystemInputs, state: Properties) -> None:
        """Remove it once no security server has it registered."""
        subsystem = SubsystemId.parse(wish.subsystem)

        async def unused() -> bool:
            try:
                siblings = await self.servers.central.subsystems(subsystem.owner)
            except ApiError as error:
                if gone(error):
                    return True
                raise
            return not any(
                item.used_security_servers for item in siblings if str(item.subsystem_id) == wish.subsystem
            )

        await self.servers.until(
            unused,
            f"{wish.subsystem} registered at no security server",
        )
        try:
            await self.servers.central.delete_subsystem(subsystem)
        except ApiError as error:
            if not gone(error):
                raise
