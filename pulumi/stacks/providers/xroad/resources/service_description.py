"""Service descriptions: what a subsystem offers, at which address, and whether it is enabled."""

# ruff: noqa: ARG002  (methods answer one interface; not each kind needs all of it)
from __future__ import annotations

import asyncio
from typing import ClassVar, cast

from stacks.providers.serving import Properties, ProviderError
from stacks.providers.xroad.errors import ApiError
from stacks.providers.xroad.identifiers import SubsystemId
from stacks.providers.xroad.resources.kind import Found, Inputs, Kind, gone, in_order
from stacks.providers.xroad.security import Endpoint, Service, ServiceDescription, ServiceType

_NOTICE = "Disabled by declaration"


class ServiceDescriptionInputs(Inputs):
    """A description with its services."""

    kind: ClassVar[str] = "ServiceDescription"

    server: str
    """The host."""
    subsystem: str
    """Who offers it."""
    type: str
    """WSDL, REST or OPENAPI3."""
    url: str
    """Where the description is; for REST also where the service is."""
    code: str = ""
    """The service's code; empty for WSDL, which names its operations itself."""
    service_url: str = ""
    """Where the services are. Empty: as the description says."""
    timeout_seconds: int = 60
    verify_tls: bool = True
    """Whether the certificate of an HTTPS service is verified."""
    enabled: bool = True
    endpoints: tuple[str, ...] = ()
    """Methods and paths that rights can be given to, as `METHOD PATH`, beside those of the description."""


class ServiceDescriptionKind(Kind[ServiceDescriptionInputs]):
    """Keeps descriptions at a security server. A description is known by its type and its code or address."""

    inputs = ServiceDescriptionInputs
    replacing = frozenset({"server", "subsystem", "type", "code"})

    def key(self, wish: ServiceDescriptionInputs) -> str:
        """Host, subsystem, type, and the code, or for WSDL the address."""
        return f"{wish.server}/{wish.subsystem}/{wish.type}/{wish.code or wish.url}"

    def named(self, key: str) -> ServiceDescriptionInputs:
        """From the key's parts."""
        server, subsystem, kind, rest = key.split("/", 3)
        SubsystemId.parse(subsystem)
        code, url = ("", rest) if kind == "WSDL" else (rest, "")
        return ServiceDescriptionInputs(server=server, subsystem=subsystem, type=kind, url=url, code=code)

    async def find(self, wish: ServiceDescriptionInputs) -> Found[ServiceDescriptionInputs] | None:
        """Look among what the subsystem offers."""
        present = await self._present(wish)
        return self._found(wish, present) if present else None

    async def existing(self, servers: list[str]) -> list[Found[ServiceDescriptionInputs]]:
        """Of every client of every server."""
        clients = await self.clients(servers)
        offers = await asyncio.gather(
            *(
                self.servers.security(name).service_descriptions(SubsystemId.parse(item.id))
                for name, item in clients
            )
        )
        return [
            self._found(_as_found(name, client.id, item), item)
            for (name, client), descriptions in zip(clients, offers, strict=True)
            for item in descriptions
        ]

    @staticmethod
    def _found(wish: ServiceDescriptionInputs, present: ServiceDescription) -> Found[ServiceDescriptionInputs]:
        update: dict[str, object] = {"url": present.url, "enabled": not present.disabled}
        # One setting stands for all services of a description; the first that differs speaks for them.
        for service in present.services:
            update["timeout_seconds"] = service.timeout
            update["verify_tls"] = service.ssl_auth
            if wish.service_url:
                update["service_url"] = service.url
            if not _as_declared(service, wish):
                break
        own = [str(item) for item in _endpoints(present) if not item.generated or str(item) in wish.endpoints]
        update["endpoints"] = in_order(own, wish.endpoints)
        facts = {"description": present.id, "services": sorted(_codes(present))}
        return Found(wish.model_copy(update=update), facts)

    async def make(self, wish: ServiceDescriptionInputs) -> None:
        """Add it, set its services, enable it."""
        own = self.servers.security(wish.server)
        present = await self._present(wish)
        if present is None:
            await own.add_service_description(
                SubsystemId.parse(wish.subsystem),
                wish.url,
                cast("ServiceType", wish.type),
                wish.code or None,
            )
            present = await self._present(wish)
        if present is None:
            raise ProviderError(f"{wish.server} accepted {self.key(wish)}, but doesn't show it")
        if present.url != wish.url:
            await own.change_service_description(
                present.id, wish.url, cast("ServiceType", wish.type), wish.code or None
            )
            present = await self._present(wish) or present
        if different := [service for service in present.services if not _as_declared(service, wish)]:
            await own.change_services(
                different[0], wish.service_url or None, wish.timeout_seconds, wish.verify_tls
            )
        await self._set_endpoints(wish, present)
        if wish.enabled and present.disabled:
            await own.enable_service_description(present.id)
        elif not wish.enabled and not present.disabled:
            await own.disable_service_description(present.id, _NOTICE)

    async def remove(self, wish: ServiceDescriptionInputs, state: Properties) -> None:
        """Remove it with its services and their access rights."""
        present = await self._present(wish)
        if present is None:
            return
        try:
            await self.servers.security(wish.server).delete_service_description(present.id)
        except ApiError as error:
            if not gone(error):
                raise

    async def _set_endpoints(self, wish: ServiceDescriptionInputs, present: ServiceDescription) -> None:
        own = self.servers.security(wish.server)
        known = {str(item) for item in _endpoints(present)}
        for service in present.services:
            for text in wish.endpoints:
                if text not in known:
                    method, _, path = text.partition(" ")
                    await own.add_endpoint(service, method, path)
        for item in _endpoints(present):
            if not item.generated and str(item) not in wish.endpoints:
                await own.delete_endpoint(item.id)

    async def _present(self, wish: ServiceDescriptionInputs) -> ServiceDescription | None:
        try:
            offered = await self.servers.security(wish.server).service_descriptions(
                SubsystemId.parse(wish.subsystem)
            )
        except ApiError as error:
            if gone(error):
                return None
            raise
        alike = [item for item in offered if item.type == wish.type]
        if wish.code:
            return next((item for item in alike if wish.code in _codes(item)), None)
        # A WSDL that is the only one may have moved: its operations would clash with those of a second.
        moved = alike[0] if len(alike) == 1 else None
        return next((item for item in alike if item.url == wish.url), moved)


def _as_found(server: str, subsystem: str, item: ServiceDescription) -> ServiceDescriptionInputs:
    """A declaration of what exists, as far as that doesn't differ from service to service."""
    service = item.services[0] if item.services else None
    return ServiceDescriptionInputs(
        server=server,
        subsystem=subsystem,
        type=item.type,
        url=item.url,
        code=service.service_code if service and item.type != "WSDL" else "",
        service_url=service.url if service else "",
    )


def _endpoints(description: ServiceDescription) -> list[Endpoint]:
    """Of all services but for those that stand for a whole one. A WSDL's operations have none."""
    return [item for service in description.services for item in service.endpoints if not item.is_base]


def _codes(description: ServiceDescription) -> set[str]:
    return {service.service_code for service in description.services}


def _as_declared(service: Service, wish: ServiceDescriptionInputs) -> bool:
    url = wish.service_url or service.url
    return (service.url, service.timeout, service.ssl_auth) == (url, wish.timeout_seconds, wish.verify_tls)
