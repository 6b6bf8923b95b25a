"""The provider `xroad`: its kinds of resource over one federation's servers."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from stacks.providers.serving import ProviderError, Resource
from stacks.providers.xroad.authority import CertificateAuthority
from stacks.providers.xroad.resources.former import FORMER, FormerKind
from stacks.providers.xroad.resources.kind import PACKAGE
from stacks.providers.xroad.resources.kinds import KINDS
from stacks.providers.xroad.servers import Servers
from stacks.providers.xroad.settings import Settings


class XRoadProvider:
    """Answers for all kinds of resource of one federation."""

    name = PACKAGE
    version = "0.1.0"

    def __init__(
        self,
        authority: CertificateAuthority | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`authority` replaces the one that the settings name, `transport` the network to the servers."""
        self._authority = authority
        self._transport = transport
        self._servers: Servers | None = None
        self._kinds: dict[str, Resource] = {}

    async def configure(self, settings: Mapping[str, str]) -> None:
        """Read the settings; connections are made later."""
        self._servers = Servers(Settings.read(settings), self._authority, transport=self._transport)
        self._kinds = {kind.inputs.token(): kind(self._servers) for kind in KINDS}
        self._kinds |= dict.fromkeys(FORMER, FormerKind())

    def resource(self, type_token: str) -> Resource:
        """The kind behind a type token."""
        if not self._kinds:
            raise ProviderError("the xroad provider needs its settings: use an explicit provider")
        try:
            return self._kinds[type_token]
        except KeyError:
            raise ProviderError(f"the xroad provider has no resource of type {type_token}") from None

    async def close(self) -> None:
        """Give back connections."""
        if self._servers is not None:
            await self._servers.close()
