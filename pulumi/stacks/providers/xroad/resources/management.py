"""The management services: which subsystem offers them, and through which security server."""

# ruff: noqa: ARG002  (methods answer one interface; not each kind needs all of it)
from __future__ import annotations

from typing import ClassVar

from stacks.providers.serving import Properties
from stacks.providers.xroad.identifiers import ServerId, SubsystemId
from stacks.providers.xroad.resources.kind import Found, Inputs, Kind


class ManagementProviderInputs(Inputs):
    """The subsystem that offers the management services. Without one no configuration is generated."""

    kind: ClassVar[str] = "ManagementProvider"

    subsystem: str


class ManagementProviderKind(Kind[ManagementProviderInputs]):
    """Names the provider at the central server. A setting can't be unset, so removal only forgets it."""

    inputs = ManagementProviderInputs

    def key(self, wish: ManagementProviderInputs) -> str:
        """There is one an instance."""
        return "management-provider"

    def named(self, key: str) -> ManagementProviderInputs:
        """Any key: there is one an instance."""
        return ManagementProviderInputs(subsystem="")

    async def find(self, wish: ManagementProviderInputs) -> Found[ManagementProviderInputs] | None:
        """Read the setting."""
        found = await self.servers.central.management_services()
        if not found.service_provider_id:
            return None
        subsystem = found.service_provider_id.removeprefix("SUBSYSTEM:")
        return Found(ManagementProviderInputs(subsystem=subsystem))

    async def existing(self, servers: list[str]) -> list[Found[ManagementProviderInputs]]:
        """The setting, if it is set."""
        found = await self.find(self.named(""))
        return [found] if found else []

    async def make(self, wish: ManagementProviderInputs) -> None:
        """Write the setting."""
        await self.servers.central.set_management_provider(SubsystemId.parse(wish.subsystem))

    async def remove(self, wish: ManagementProviderInputs, state: Properties) -> None:
        """Nothing: see the class."""


class ManagementRegistrationInputs(Inputs):
    """The registration of the management provider at a security server, from the central side.

    Other subsystems are registered through the management services, which need this one first.
    """

    kind: ClassVar[str] = "ManagementRegistration"

    subsystem: str
    identity: str
    """`INSTANCE:CLASS:CODE:SERVER` of the management security server."""


class ManagementRegistrationKind(Kind[ManagementRegistrationInputs]):
    """Registers the management provider. It leaves with its security server."""

    inputs = ManagementRegistrationInputs
    replacing = frozenset({"subsystem", "identity"})

    def key(self, wish: ManagementRegistrationInputs) -> str:
        """The security server."""
        return wish.identity

    def named(self, key: str) -> ManagementRegistrationInputs:
        """From the security server."""
        return ManagementRegistrationInputs(subsystem="", identity=str(ServerId.parse(key)))

    async def find(self, wish: ManagementRegistrationInputs) -> Found[ManagementRegistrationInputs] | None:
        """Look among the clients of the security server."""
        found = await self.servers.central.management_services()
        subsystem = wish.subsystem or (found.service_provider_id or "").removeprefix("SUBSYSTEM:")
        server = ServerId.parse(wish.identity)
        clients = await self.servers.central.security_server_clients(server)
        if subsystem not in {str(client.client_id) for client in clients}:
            return None
        return Found(ManagementRegistrationInputs(subsystem=subsystem, identity=wish.identity))

    async def existing(self, servers: list[str]) -> list[Found[ManagementRegistrationInputs]]:
        """The servers that the central server names."""
        named = (await self.servers.central.management_services()).security_server_id.split("; ")
        found = [await self.find(self.named(item.removeprefix("SERVER:"))) for item in named if item]
        return [item for item in found if item]

    async def make(self, wish: ManagementRegistrationInputs) -> None:
        """Register it; the API allows this once."""
        await self.servers.central.register_management_provider(ServerId.parse(wish.identity))

    async def remove(self, wish: ManagementRegistrationInputs, state: Properties) -> None:
        """Nothing: removing the security server ends the registration."""
