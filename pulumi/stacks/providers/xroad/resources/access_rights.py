"""Access rights: who may call which services and endpoints of a subsystem at a security server."""

# ruff: noqa: ARG002  (methods answer one interface; not each kind needs all of it)
from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import ClassVar

from stacks.providers.serving import Properties, ProviderError
from stacks.providers.xroad.errors import ApiError
from stacks.providers.xroad.identifiers import SubsystemId
from stacks.providers.xroad.resources.kind import Found, Inputs, Kind, gone
from stacks.providers.xroad.security import Endpoint, Service


class AccessRightsInputs(Inputs):
    """All rights that one subsystem grants at one server. Whoever isn't named loses what he has."""

    kind: ClassVar[str] = "AccessRights"

    server: str
    """The provider's host."""
    provider: str
    """`INSTANCE:CLASS:CODE:SUBSYSTEM`."""
    rights: Mapping[str, tuple[str, ...]]
    """What each holder may call, in alphabetical order: `SERVICE`, or `SERVICE METHOD PATH` for an endpoint.

    A holder is a subsystem, a global group as `INSTANCE:GROUP`, or the code of the provider's local group.
    """


Granted = dict[str, frozenset[str]]
"""Holders by what they may call."""


class AccessRightsKind(Kind[AccessRightsInputs]):
    """Grants and takes away. Rights are compared first: the API refuses one that exists."""

    inputs = AccessRightsInputs
    replacing = frozenset({"server", "provider"})

    def key(self, wish: AccessRightsInputs) -> str:
        """Host and provider."""
        return f"{wish.server}/{wish.provider}"

    def named(self, key: str) -> AccessRightsInputs:
        """From host and provider."""
        server, _, provider = key.partition("/")
        SubsystemId.parse(provider)
        return AccessRightsInputs(server=server, provider=provider, rights={})

    async def find(self, wish: AccessRightsInputs) -> Found[AccessRightsInputs] | None:
        """None if nobody may call anything."""
        rights = by_holder(await self._granted(wish))
        return Found(wish.model_copy(update={"rights": rights})) if rights else None

    async def existing(self, servers: list[str]) -> list[Found[AccessRightsInputs]]:
        """Of every client of every server."""
        wishes = [
            AccessRightsInputs(server=server, provider=client.id, rights={})
            for server, client in await self.clients(servers)
        ]
        return [found for found in await asyncio.gather(*(self.find(wish) for wish in wishes)) if found]

    async def make(self, wish: AccessRightsInputs) -> None:
        """Grant what is missing, once the server knows the holders; then take away what isn't declared."""
        own = self.servers.security(wish.server)
        offered = await self._offered(wish)
        present, wanted = await self._granted(wish), by_grant(wish.rights)
        if unknown := sorted(wanted.keys() - offered.keys()):
            raise ProviderError(
                f"{wish.server}: {wish.provider} doesn't offer {', '.join(unknown)}, to which rights lead; "
                "next: refresh, which finds what vanished, then apply again"
            )
        missing = {grant: holders - present.get(grant, frozenset()) for grant, holders in wanted.items()}
        names = await self._names(wish, {holder for holders in missing.values() for holder in holders})
        for grant, holders in sorted(missing.items()):
            if holders:
                await own.grant(offered[grant], [names[holder] for holder in sorted(holders)])
        for grant, holders in sorted(present.items()):
            if surplus := holders - wanted.get(grant, frozenset()):
                await self._revoke(wish, offered[grant], surplus)

    async def remove(self, wish: AccessRightsInputs, state: Properties) -> None:
        """Take all of them away."""
        offered = await self._offered(wish)
        for grant, holders in sorted((await self._granted(wish)).items()):
            await self._revoke(wish, offered[grant], holders)

    async def _revoke(
        self, wish: AccessRightsInputs, what: Service | Endpoint, holders: frozenset[str]
    ) -> None:
        """Take a right away by the names that the API has: a holder may be gone from the configuration."""
        own = self.servers.security(wish.server)
        await own.revoke(what, sorted(item.id for item in await own.holders(what) if item.name in holders))

    async def _names(self, wish: AccessRightsInputs, holders: set[str]) -> dict[str, str]:
        """What the API calls new holders, once the server knows them all."""
        if not holders:
            return {}
        own, provider = self.servers.security(wish.server), SubsystemId.parse(wish.provider)
        lacking: set[str] = set()

        async def known() -> dict[str, str] | None:
            nonlocal lacking
            names = await own.candidates(provider)
            names |= {group.code: group.id for group in await own.local_groups(provider)}
            lacking = holders - names.keys()
            return None if lacking else names

        return await self.servers.until(
            known,
            f"{wish.server} knows the holders of rights at {wish.provider}",
            detail=lambda: f"unknown yet: {', '.join(sorted(lacking))}",
        )

    async def _offered(self, wish: AccessRightsInputs) -> dict[str, Service | Endpoint]:
        """Services and endpoints by their form in a declaration."""
        try:
            descriptions = await self.servers.security(wish.server).service_descriptions(
                SubsystemId.parse(wish.provider)
            )
        except ApiError as error:
            if gone(error):
                return {}
            raise
        services = [service for description in descriptions for service in description.services]
        return dict(item for service in services for item in _grants(service))

    async def _granted(self, wish: AccessRightsInputs) -> Granted:
        own = self.servers.security(wish.server)
        offered = await self._offered(wish)
        found = await asyncio.gather(*(own.holders(what) for what in offered.values()))
        granted = zip(offered, found, strict=True)
        return {grant: frozenset(item.name for item in holders) for grant, holders in granted if holders}


def _grants(service: Service) -> Iterator[tuple[str, Service | Endpoint]]:
    yield service.service_code, service
    for endpoint in service.endpoints:
        if not endpoint.is_base:
            yield f"{service.service_code} {endpoint}", endpoint


def by_grant(rights: Mapping[str, tuple[str, ...]]) -> Granted:
    """Holders by what they may call."""
    grants = {grant for held in rights.values() for grant in held}
    return {grant: frozenset(holder for holder, held in rights.items() if grant in held) for grant in grants}


def by_holder(granted: Granted) -> dict[str, tuple[str, ...]]:
    """What each holder may call, all in alphabetical order."""
    holders = sorted({holder for found in granted.values() for holder in found})
    return {
        holder: tuple(sorted(grant for grant, found in granted.items() if holder in found))
        for holder in holders
    }
