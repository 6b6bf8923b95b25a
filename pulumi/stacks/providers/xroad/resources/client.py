"""Clients: subsystems that a security server represents, registered at the central server."""

# ruff: noqa: ARG002  (methods answer one interface; not each kind needs all of it)
from __future__ import annotations

from typing import ClassVar, cast

from stacks.providers.serving import Properties, ProviderError
from stacks.providers.xroad.errors import ApiError, UnreachableError
from stacks.providers.xroad.identifiers import ServerId, SubsystemId
from stacks.providers.xroad.resources.kind import Found, Inputs, Kind, gone
from stacks.providers.xroad.security import SENDING_FAILED, Client, ConnectionType
from stacks.providers.xroad.waiting import until

_REGISTERED = frozenset({"REGISTERED", "REGISTRATION_IN_PROGRESS", "DISABLED"})


class ClientInputs(Inputs):
    """A subsystem that is registered at a security server."""

    kind: ClassVar[str] = "Client"

    server: str
    """The host."""
    identity: str
    """`INSTANCE:CLASS:CODE:SERVER` of the security server."""
    subsystem: str
    connection: str = "HTTPS"
    """How information systems connect: HTTP, HTTPS (with their certificate) or HTTPS_NO_AUTH."""
    registered: bool = True
    """False is only found, never declared."""


class ClientKind(Kind[ClientInputs]):
    """Adds, registers and approves clients. Only the declared registration is approved."""

    inputs = ClientInputs
    replacing = frozenset({"server", "identity", "subsystem"})

    def key(self, wish: ClientInputs) -> str:
        """Host and subsystem."""
        return f"{wish.server}/{wish.subsystem}"

    def named(self, key: str) -> ClientInputs:
        """From host and subsystem."""
        server, _, subsystem = key.partition("/")
        SubsystemId.parse(subsystem)
        return ClientInputs(server=server, identity="", subsystem=subsystem)

    async def find(self, wish: ClientInputs) -> Found[ClientInputs] | None:
        """Ask the security server for it."""
        present = await self._present(wish)
        if present is None:
            return None
        identity = wish.identity
        if not identity:
            own = await self.servers.security(wish.server).own_identity()
            identity = own.id if own else ""
        return Found(
            wish.model_copy(
                update={
                    "identity": identity,
                    "connection": present.connection_type or wish.connection,
                    "registered": present.status == "REGISTERED",
                }
            )
        )

    async def make(self, wish: ClientInputs) -> None:
        """Add it, set how systems connect, register it, approve that, wait until it is known."""
        own = self.servers.security(wish.server)
        subsystem = SubsystemId.parse(wish.subsystem)
        connection = cast("ConnectionType", wish.connection)
        present = await self._present(wish)
        if present is None:
            await self._wait_until_known(wish)
            try:
                await own.add_client(subsystem, connection)
            except ApiError as error:
                if error.status != 409:
                    raise
            present = await self._present(wish)
        if present is None:
            raise ProviderError(f"{wish.server} accepted {wish.subsystem}, but doesn't show it")
        if present.connection_type != wish.connection:
            await own.set_connection_type(subsystem, connection)
        if present.status != "REGISTERED":
            await self._register(wish)

    async def remove(self, wish: ClientInputs, state: Properties) -> None:
        """End the registration, wait until it is known, then remove the client."""
        try:
            present = await self._present(wish)
            if present is None:
                return
            if present.is_management_services_provider:
                # Its registration carries all the others'; it ends with its security server.
                return
            if present.status in _REGISTERED:
                await self._unregister(wish)
            await until(
                lambda: self._deleted(wish),
                f"{wish.server} removes {wish.subsystem}",
                deadline_seconds=self.servers.settings.distribution_seconds,
                interval_seconds=self.servers.settings.probe_seconds,
            )
        except UnreachableError:
            # Without its security server the registration can be ended from the other side only.
            await self._unregister_centrally(wish)

    async def _present(self, wish: ClientInputs) -> Client | None:
        try:
            return await self.servers.security(wish.server).client(SubsystemId.parse(wish.subsystem))
        except ApiError as error:
            if gone(error):
                return None
            raise

    async def _wait_until_known(self, wish: ClientInputs) -> None:
        """Wait until the server's copy of the global configuration has the subsystem.

        A client that is added earlier stays saved, even if it is registered centrally already.
        """
        subsystem = SubsystemId.parse(wish.subsystem)
        await until(
            lambda: self.servers.security(wish.server).knows_subsystem(subsystem),
            f"{wish.server} knows {wish.subsystem} from the global configuration",
            deadline_seconds=self.servers.settings.distribution_seconds,
            interval_seconds=self.servers.settings.probe_seconds,
        )

    async def _register(self, wish: ClientInputs) -> None:
        """Ask for registration, approve it, wait until the global configuration has it."""
        own = self.servers.security(wish.server)
        last = "not read yet"

        async def registered() -> bool:
            nonlocal last
            present = await self._present(wish)
            if present is None:
                raise ProviderError(f"{wish.server} lost {wish.subsystem} while it was being registered")
            last = f"status {present.status}"
            if present.status == "REGISTERED":
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
                await own.register_client(SubsystemId.parse(wish.subsystem))
                await self.approve(wish)
            return False

        await until(
            registered,
            f"{wish.subsystem} is registered at {wish.server}",
            deadline_seconds=self.servers.settings.distribution_seconds,
            interval_seconds=self.servers.settings.probe_seconds,
            # The request is a message through the management services, which may just have begun.
            tolerated=lambda error: error.code == SENDING_FAILED,
            detail=lambda: last,
        )

    async def approve(self, wish: ClientInputs) -> bool:
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

    async def _unregister(self, wish: ClientInputs) -> None:
        """Ask for the end of the registration; from the central side where that can't be sent."""
        try:
            await self.servers.security(wish.server).unregister_client(SubsystemId.parse(wish.subsystem))
        except ApiError as error:
            if error.code != SENDING_FAILED:
                raise
            await self._unregister_centrally(wish)

    async def _deleted(self, wish: ClientInputs) -> bool:
        try:
            await self.servers.security(wish.server).delete_client(SubsystemId.parse(wish.subsystem))
        except ApiError as error:
            if gone(error):
                return True
            if error.status == 409:
                return False
            raise
        return True

    async def _unregister_centrally(self, wish: ClientInputs) -> None:
        try:
            await self.servers.central.unregister_subsystem(
                SubsystemId.parse(wish.subsystem), ServerId.parse(wish.identity)
            )
        except ApiError as error:
            if not gone(error):
                raise
