"""The central server itself: its instance, its token, the keys that sign the global configuration."""

# ruff: noqa: ARG002  (methods answer one interface; not each kind needs all of it)
from __future__ import annotations

from typing import ClassVar

from stacks.providers.serving import Properties, ProviderError
from stacks.providers.xroad.central import SOFTWARE_TOKEN, SOURCES, Token
from stacks.providers.xroad.resources.kind import Found, Inputs, Kind
from stacks.providers.xroad.tokens import open_token


class CentralServerInputs(Inputs):
    """An initialised central server."""

    kind: ClassVar[str] = "CentralServer"

    server: str
    instance: str
    address: str
    """The name under which security servers reach it."""
    ready: bool = True
    """False is only found, never declared: the token is closed or a signing key is missing."""


class CentralServerKind(Kind[CentralServerInputs]):
    """Initialises a central server. An initialised one can't be reset, so removal only forgets it."""

    inputs = CentralServerInputs
    replacing = frozenset({"server", "instance"})

    def key(self, wish: CentralServerInputs) -> str:
        """The instance."""
        return wish.instance

    def named(self, key: str) -> CentralServerInputs:
        """From the instance."""
        return CentralServerInputs(server=self.servers.settings.central, instance=key, address="")

    async def find(self, wish: CentralServerInputs) -> Found[CentralServerInputs] | None:
        """None until the instance is set."""
        status = await self.servers.central.initialization()
        if not status.instance_identifier:
            return None
        ready = False
        if status.complete:
            token = await self._token()
            sources = {key.source_type for key in token.configuration_signing_keys if key.active}
            ready = token.logged_in and sources.issuperset(SOURCES)
        found = CentralServerInputs(
            server=wish.server,
            instance=status.instance_identifier,
            address=status.central_server_address,
            ready=ready,
        )
        return Found(found)

    async def existing(self, servers: list[str]) -> list[Found[CentralServerInputs]]:
        """The one that there is, if it is initialised."""
        found = await self.find(self.named(""))
        return [found] if found else []

    async def make(self, wish: CentralServerInputs) -> None:
        """Initialise what is missing, open the token, add the two signing keys."""
        central = self.servers.central
        status = await central.initialization()
        if status.instance_identifier not in {"", wish.instance}:
            raise ProviderError(
                f"{wish.server} belongs to instance {status.instance_identifier}, not to {wish.instance}; "
                "install it anew to change that"
            )
        if status.central_server_address not in {"", wish.address}:
            await central.change_address(wish.address)
        if not status.complete:
            await central.initialize(wish.instance, wish.address, self.servers.pin(wish.server))
        token = await self._token()
        await open_token(token, wish.server, lambda: self.servers.pin(wish.server), central.log_in)
        token = await self._token()
        for source in SOURCES:
            # A key has no natural key and a source takes only two: any existing one is enough.
            if not any(key.source_type == source for key in token.configuration_signing_keys):
                await central.add_signing_key(source, f"{source.lower()}-1", token.id)

    async def remove(self, wish: CentralServerInputs, state: Properties) -> None:
        """Nothing: the API can't undo initialisation."""

    async def _token(self) -> Token:
        for token in await self.servers.central.tokens():
            if token.id == SOFTWARE_TOKEN:
                return token
        raise ProviderError(f"{self.servers.settings.central} has no software token")
