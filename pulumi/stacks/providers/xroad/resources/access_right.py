"""Access rights: which services of a subsystem another subsystem or group may call."""

# ruff: noqa: ARG002  (methods answer one interface; not each kind needs all of it)
from __future__ import annotations

from typing import ClassVar

from stacks.providers.serving import Properties
from stacks.providers.xroad.errors import ApiError
from stacks.providers.xroad.identifiers import SubsystemId
from stacks.providers.xroad.resources.kind import Found, Inputs, Kind, gone
from stacks.providers.xroad.waiting import until


class AccessRightInputs(Inputs):
    """What one holder may call at one provider. Services that aren't named lose their right."""

    kind: ClassVar[str] = "AccessRight"

    server: str
    """The provider's host."""
    provider: str
    holder: str
    """A subsystem, or a global group as `INSTANCE:GROUP`."""
    services: tuple[str, ...]
    """Service codes in alphabetical order."""


class AccessRightKind(Kind[AccessRightInputs]):
    """Grants and takes away. Rights are compared first: the API refuses one that exists."""

    inputs = AccessRightInputs
    replacing = frozenset({"server", "provider", "holder"})

    def key(self, wish: AccessRightInputs) -> str:
        """Host, provider, holder."""
        return f"{wish.server}/{wish.provider}/{wish.holder}"

    def named(self, key: str) -> AccessRightInputs:
        """From host, provider, holder."""
        server, provider, holder = key.split("/", 2)
        SubsystemId.parse(provider)
        return AccessRightInputs(server=server, provider=provider, holder=holder, services=())

    async def find(self, wish: AccessRightInputs) -> Found[AccessRightInputs] | None:
        """None if the holder may call nothing."""
        services = await self._granted(wish)
        if not services:
            return None
        return Found(wish.model_copy(update={"services": tuple(sorted(services))}))

    async def make(self, wish: AccessRightInputs) -> None:
        """Grant what is missing, once the server knows the holder; then take away what isn't declared."""
        own = self.servers.security(wish.server)
        provider = SubsystemId.parse(wish.provider)
        granted = await self._granted(wish)
        if missing := sorted(set(wish.services) - granted):
            await until(
                lambda: own.knows_holder(provider, wish.holder),
                f"{wish.server} knows {wish.holder} from the global configuration",
                deadline_seconds=self.servers.settings.distribution_seconds,
                interval_seconds=self.servers.settings.probe_seconds,
            )
            await own.add_access_rights(provider, wish.holder, missing)
        if surplus := sorted(granted - set(wish.services)):
            await own.delete_access_rights(provider, wish.holder, surplus)

    async def remove(self, wish: AccessRightInputs, state: Properties) -> None:
        """Take all of them away."""
        if granted := await self._granted(wish):
            provider = SubsystemId.parse(wish.provider)
            await self.servers.security(wish.server).delete_access_rights(
                provider, wish.holder, sorted(granted)
            )

    async def _granted(self, wish: AccessRightInputs) -> set[str]:
        try:
            rights = await self.servers.security(wish.server).access_rights(
                SubsystemId.parse(wish.provider), wish.holder
            )
        except ApiError as error:
            # Said of a holder without rights, and of one that the server doesn't know yet.
            if gone(error) or error.code == "service_client_not_found":
                return set()
            raise
        return {right.service_code for right in rights}
