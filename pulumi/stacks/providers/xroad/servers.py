"""Connections to the servers of a federation, one each, shared by all resources of a run."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from estate.load import load_secret
from stacks.providers.serving import ProviderError
from stacks.providers.xroad.authority import CertificateAuthority
from stacks.providers.xroad.backups import BackupsApi
from stacks.providers.xroad.central import CentralServerApi
from stacks.providers.xroad.endpoint import trusting
from stacks.providers.xroad.errors import ApiError
from stacks.providers.xroad.issuing import IssuingApi
from stacks.providers.xroad.memory import Memory
from stacks.providers.xroad.security import SecurityServerApi
from stacks.providers.xroad.settings import ROOT_VARIABLE, TIMESTAMPING_VARIABLE, Settings
from stacks.providers.xroad.transport import AdminConnection
from stacks.providers.xroad.waiting import until

T = TypeVar("T")


class Servers:
    """Everything that resources talk to. Connections are made when they are first needed."""

    def __init__(
        self,
        settings: Settings,
        authority: CertificateAuthority | None = None,
        *,
        patience_seconds: float = 60.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`authority` replaces the one that the settings name, `transport` the network to the servers.

        `patience_seconds` bounds how long a server that is overloaded, starting or away is tried.
        """
        self.settings = settings
        self._patience = patience_seconds
        self._transport = transport
        self._authority = authority
        self._connections: dict[str, AdminConnection] = {}
        self._memory = Memory()
        self._tls = trusting(_root_certificate())

    @property
    def central(self) -> CentralServerApi:
        """The central server."""
        return CentralServerApi(self._connection(self.settings.central))

    def security(self, name: str) -> SecurityServerApi:
        """The security server called `name`; ProviderError if the settings don't have it."""
        return SecurityServerApi(self._connection(name))

    def backups(self, name: str) -> BackupsApi:
        """Backups of the server called `name`, of either kind; ProviderError if the settings don't have it."""
        return BackupsApi(self._connection(name))

    @property
    def authority(self) -> CertificateAuthority:
        """The authority that issues X-Road certificates."""
        if self._authority is None:
            trust = self.settings.trust_services
            self._authority = IssuingApi(
                trust.endpoint,
                self._tls,
                lambda: secret(trust.token),
                probe_seconds=self.settings.probe_seconds,
            )
        return self._authority

    @property
    def security_servers(self) -> list[str]:
        """Names of all security servers."""
        return [name for name in self.settings.servers if name != self.settings.central]

    async def authority_certificates(self) -> list[bytes]:
        """Certificates of the authority, the issuing one first (PEM each); perhaps remembered ones."""
        return await self.remembered("authority", self.authority.certificates)

    async def remembered(self, question: str, ask: Callable[[], Awaitable[T]]) -> T:
        """What `ask` makes of answers; within a look at what exists perhaps a remembered one, see `memory`."""
        found: T = await self._memory.answer(question, ask)
        return found

    def pin(self, name: str) -> str:
        """The PIN of a server's software token."""
        return secret(self.settings.servers[name].pin)

    def timestamping_certificate(self, host: str) -> str:
        """The certificate of the time-stamping authority on `host` (PEM); ProviderError if it isn't there."""
        return timestamping_certificate(host)

    async def until(
        self,
        probe: Callable[[], Awaitable[T | None]],
        what: str,
        *,
        tolerated: Callable[[ApiError], bool] = lambda _: False,
        detail: Callable[[], str] = lambda: "",
    ) -> T:
        """Wait for what the global configuration's clock drives: see `waiting.until`."""
        return await until(
            probe,
            what,
            deadline_seconds=self.settings.distribution_seconds,
            interval_seconds=self.settings.probe_seconds,
            tolerated=tolerated,
            detail=detail,
        )

    async def close(self) -> None:
        """Give back all connections."""
        for connection in self._connections.values():
            await connection.close()
        if isinstance(self._authority, IssuingApi):
            await self._authority.close()

    def _connection(self, name: str) -> AdminConnection:
        if name not in self._connections:
            try:
                server = self.settings.servers[name]
            except KeyError:
                raise ProviderError(f"there is no server '{name}' in the provider's settings") from None
            self._connections[name] = AdminConnection(
                server.endpoint,
                _reader(server.api_key),
                self._tls,
                patience_seconds=self._patience,
                transport=self._transport,
                memory=self._memory,
            )
        return self._connections[name]


def secret(name: str) -> str:
    """The value of a secret of this deployment; ProviderError, with the next step, if it is missing."""
    try:
        return load_secret(name)
    except LookupError as error:
        raise ProviderError(str(error.args[0])) from None


def _reader(name: str) -> Callable[[], str]:
    def read() -> str:
        try:
            return load_secret(name)
        except LookupError:
            # Unlike other secrets, API keys are made on their hosts.
            raise ProviderError(f"there is no API key '{name}' yet: apply the stage `exchange` first") from None

    return read


def timestamping_certificate(host: str) -> str:
    """The certificate in the file of `host` (PEM); ProviderError, with the next step, if there is none."""
    folder = os.environ.get(TIMESTAMPING_VARIABLE)
    if not folder:
        raise ProviderError(f"set {TIMESTAMPING_VARIABLE} to the folder of time-stamping certificates")
    path = Path(folder) / f"{host}.crt"
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise ProviderError(
            f"the certificate of the time-stamping authority on {host} can't be read from {path}: "
            f"{error.strerror}; next: apply the stage `trust-services`, which fetches it"
        ) from None
    except ValueError:
        raise ProviderError(
            f"{path} isn't a certificate in PEM; next: apply the stage `trust-services` again"
        ) from None
    return certificate.public_bytes(Encoding.PEM).decode()


def _root_certificate() -> str:
    path = os.environ.get(ROOT_VARIABLE)
    if not path:
        raise ProviderError(f"set {ROOT_VARIABLE} to the file of the site's root certificate")
    try:
        return Path(path).read_text(encoding="ascii")
    except OSError as error:
        raise ProviderError(f"the root certificate can't be read from {path}: {error.strerror}") from None
