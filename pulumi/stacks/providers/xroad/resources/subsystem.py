"""Subsystems: the information systems of members."""

# ruff: noqa: ARG002  (methods answer one interface; not each kind needs all of it)
from __future__ import annotations

from typing import ClassVar

from stacks.providers.serving import Properties
from stacks.providers.xroad.errors import ApiError
from stacks.providers.xroad.identifiers import SubsystemId
from stacks.providers.xroad.resources.kind import Found, Inputs, Kind, gone
from stacks.providers.xroad.waiting import until


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
        subsystem = SubsystemId.parse(wish.subsystem)
        try:
            siblings = await self.servers.central.subsystems(subsystem.owner)
        except ApiError as error:
            if gone(error):
                return None
            raise
        for item in siblings:
            if str(item.subsystem_id) == wish.subsystem:
                return Found(SubsystemInputs(subsystem=wish.subsystem, name=item.subsystem_name or ""))
        return None

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

        await until(
            unused,
            f"{wish.subsystem} registered at no security server",
            deadline_seconds=self.servers.settings.distribution_seconds,
            interval_seconds=self.servers.settings.probe_seconds,
        )
        try:
            await self.servers.central.delete_subsystem(subsystem)
        except ApiError as error:
            if not gone(error):
                raise
