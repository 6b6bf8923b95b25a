"""Service descriptions: what a subsystem offers, at which address, and whether it is enabled."""

# ruff: noqa: ARG002  (methods answer one interface; not each kind needs all of it)
from __future__ import annotations

from typing import ClassVar, cast

from stacks.providers.serving import Properties, ProviderError
from stacks.providers.xroad.errors import ApiError
from stacks.providers.xroad.identifiers import SubsystemId
from stacks.providers.xroad.resources.kind import Found, Inputs, Kind, gone
from stacks.providers.xroad.security import ServiceDescription, ServiceType

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
    """Whether the certificate of an HTTPS service must be among the client's TLS certificates."""
    enabled: bool = True


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
        if present is None:
            return None
        wanted_url = wish.service_url or wish.url
        # Services of one description share their settings here; the first that differs speaks for all.
        services = sorted(
            present.services,
            key=lambda item: (
                (item.url, item.timeout, item.ssl_auth) == (wanted_url, wish.timeout_seconds, wish.verify_tls)
            ),
        )
        update: dict[str, object] = {"url": present.url, "enabled": not present.disabled}
        if services:
            first = services[0]
            if wish.service_url:
                update["service_url"] = first.url
            update["timeout_seconds"] = first.timeout
            update["verify_tls"] = first.ssl_auth and first.url.startswith("https://")
        if not wish.verify_tls or not wanted_url.startswith("https://"):
            update["verify_tls"] = bool(services and services[0].ssl_auth and wish.verify_tls)
        codes = [service.service_code for service in present.services]
        return Found(wish.model_copy(update=update), {"description": present.id, "services": codes})

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
        for service in present.services:
            url = wish.service_url or service.url
            if (service.url, service.timeout, service.ssl_auth) != (
                url,
                wish.timeout_seconds,
                wish.verify_tls,
            ):
                await own.change_service(service, url, wish.timeout_seconds, wish.verify_tls)
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

    async def _present(self, wish: ServiceDescriptionInputs) -> ServiceDescription | None:
        try:
            offered = await self.servers.security(wish.server).service_descriptions(
                SubsystemId.parse(wish.subsystem)
            )
        except ApiError as error:
            if gone(error):
                return None
            raise
        for item in offered:
            codes = {service.service_code for service in item.services}
            if item.type == wish.type and (wish.code in codes if wish.code else item.url == wish.url):
                return item
        return None
