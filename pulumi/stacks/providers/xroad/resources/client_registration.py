"""Registrations of clients: from then on other servers send messages for the subsystem here."""

# ruff: noqa: ARG002  (methods answer one interface; not each kind needs all of it)
from __future__ import annotations

from typing import ClassVar

from stacks.providers.serving import Properties, ProviderError
from stacks.providers.xroad.errors import ApiError, UnreachableError
from stacks.providers.xroad.identifiers import ServerId, SubsystemId
from stacks.providers.xroad.resources.distribution import distributed
from stacks.providers.xroad.resources.kind import Found, Inputs, Kind, gone
from stacks.providers.xroad.security import SENDING_FAILED

_REGISTERED = "REGISTERED"
_TO_BE_ENDED = frozenset({_REGISTERED, "REGISTRATION_IN_PROGRESS", "DISABLED"})


class ClientRegistrationInputs(Inputs):
    """A client that the central server has registered at its security server."""

    kind: ClassVar[str] = "ClientRegistration"

    server: str
    """The host."""
    identity: str
    """`INSTANCE:CLASS:CODE:SERVER` of the security server."""
    subsystem: str


class ClientRegistrationKind(Kind[ClientRegistrationInputs]):
    """Registers clients when they offer all that they shall, and ends that before anything is taken from them.

    Only the declared registration is approved.
    """

    inputs = ClientRegistrationInputs
    replacing = frozenset({"server", "identity", "subsystem"})

    def key(self, wish: ClientRegistrationInputs) -> str:
        """Host and subsystem."""
        return f"{wish.server}/{wish.subsystem}"

    def named(self, key: str) -> ClientRegistrationInputs:
        """From host and subsystem."""
        server, _, subsystem = key.partition("/")
        SubsystemId.parse(subsystem)
        return ClientRegistrationInputs(server=server, identity="", subsystem=subsystem)

    async def find(self, wish: ClientRegistrationInputs) -> Found[ClientRegistrationInputs] | None:
        """None until the security server knows of it from the global configuration."""
        for present in await self.servers.security(wish.server).clients():
            if present.id == wish.subsystem and present.status == _REGISTERED:
                return await self._found(wish)
        return None

    async def existing(self, servers: list[str]) -> list[Found[ClientRegistrationInputs]]:
        """Of every server."""
        return [
            await self._found(ClientRegistrationInputs(server=name, identity="", subsystem=item.id))
            for name, item in await self.clients(servers)
            if item.status == _REGISTERED
        ]

    async def _found(self, wish: ClientRegistrationInputs) -> Found[ClientRegistrationInputs]:
        if wish.identity:
            return Found(wish)
        own = await self.servers.security(wish.server).own_identity()
        return Found(wish.model_copy(update={"identity": own.id if own else ""}))

    async def make(self, wish: ClientRegistrationInputs) -> None:
        """Ask for registration, approve it, wait until the global configuration has it."""
        own = self.servers.security(wish.server)
        subsystem = SubsystemId.parse(wish.subsystem)
        last = "not read yet"

        async def registered() -> bool:
            nonlocal last
            present = await self.client(wish.server, subsystem)
            if present is None:
                raise ProviderError(f"{wish.server} lost {wish.subsystem} while it was being registered")
            last = f"status {present.status}"
            if present.status == _REGISTERED:
                return True
            if present.is_management_services_provider:
                # Registered from the central side; the server learns it from the configuration.
                return False
            if present.status == "GLOBAL_ERROR":
                raise ProviderError(
                    f"{wish.server}: the global configuration doesn't have {wish.subsystem} any more; "
                    "delete that client on the server to have it registered anew"
                )
            # An interrupted attempt may have left a request that the server itself doesn't know of.
            if not await self.approve(wish) and present.status == "SAVED":
                await own.register_client(subsystem)
                await self.approve(wish)
            return False

        await self.servers.until(
            registered,
            f"{wish.subsystem} is registered at {wish.server}",
            # The request is a message through the management services, which may just have begun.
            tolerated=lambda error: error.code == SENDING_FAILED,
            detail=lambda: last,
        )

    async def approve(self, wish: ClientRegistrationInputs) -> bool:
        """Approve the registration of exactly this subsystem at this server, if one waits."""
        central = self.servers.central
        async for request in central.waiting_requests(ServerId.parse(wish.identity)):
            if (
                request.type == "CLIENT_REGISTRATION_REQUEST"
                and request.origin == "SECURITY_SERVER"
                and str(request.client_id) == wish.subsystem
            ):
                await central.approve(request.id)
                return True
        return False

    async def remove(self, wish: ClientRegistrationInputs, state: Properties) -> None:
        """End the registration.

        A server that asks for that itself refuses messages at once, though others go on sending for a while. So
        it is ended from the central side where another server has the subsystem as well, and what the client
        offers here stays until every server has fetched the configuration without it.
        """
        subsystem = SubsystemId.parse(wish.subsystem)
        try:
            present = await self.client(wish.server, subsystem)
            if present is not None and present.is_management_services_provider:
                # Its registration carries all the others'; it ends with its security server.
                return
            if await self._is_registered_elsewhere(wish):
                # All must know the other server before they are told to forget this one.
                await distributed(self.servers)
                await self._end_centrally(wish)
                await distributed(self.servers)
                return
            if present is not None and present.status in _TO_BE_ENDED:
                await self.servers.security(wish.server).unregister_client(subsystem)
                return
        except ApiError as error:
            # The management services can't be reached, or an interrupted run was heard.
            if error.code != SENDING_FAILED and error.status != 409:
                raise
        except UnreachableError:
            # Without its security server the registration can be ended from the other side only.
            pass
        await self._end_centrally(wish)

    async def _is_registered_elsewhere(self, wish: ClientRegistrationInputs) -> bool:
        try:
            siblings = await self.servers.central.subsystems(SubsystemId.parse(wish.subsystem).owner)
        except ApiError as error:
            if gone(error):
                return False
            raise
        used = {
            server.identity
            for item in siblings
            if str(item.subsystem_id) == wish.subsystem
            for server in item.used_security_servers
        }
        return bool(used - {wish.identity})

    async def _end_centrally(self, wish: ClientRegistrationInputs) -> None:
        try:
            await self.servers.central.unregister_subsystem(
                SubsystemId.parse(wish.subsystem), ServerId.parse(wish.identity)
            )
        except ApiError as error:
            if not gone(error):
                raise
