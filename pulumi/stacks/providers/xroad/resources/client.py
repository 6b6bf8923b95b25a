"""Clients: subsystems that a security server represents."""

# ruff: noqa: ARG002  (methods answer one interface; not each kind needs all of it)
from __future__ import annotations

import asyncio
from typing import ClassVar, cast

from cryptography import x509

from stacks.providers.serving import Checked, Properties, ProviderError, Refusal, Subject
from stacks.providers.xroad.errors import ApiError, UnreachableError
from stacks.providers.xroad.identifiers import SubsystemId
from stacks.providers.xroad.resources.certification_service import fingerprint
from stacks.providers.xroad.resources.kind import Found, Inputs, Kind, gone
from stacks.providers.xroad.security import Client, ConnectionType


class ClientInputs(Inputs):
    """A subsystem at a security server. It acts once it is registered, which is another resource."""

    kind: ClassVar[str] = "Client"

    server: str
    """The host."""
    subsystem: str
    connection: str = "HTTPS"
    """How information systems connect: HTTP, HTTPS (with their certificate) or HTTPS_NO_AUTH."""
    certificates: tuple[str, ...] = ()
    """What information systems may show, and nothing else. PEM; digests of those found that aren't declared."""


class ClientKind(Kind[ClientInputs]):
    """Adds clients, before they offer something and are registered; removes them when neither is left."""

    inputs = ClientInputs
    replacing = frozenset({"server", "subsystem"})

    def key(self, wish: ClientInputs) -> str:
        """Host and subsystem."""
        return f"{wish.server}/{wish.subsystem}"

    def named(self, key: str) -> ClientInputs:
        """From host and subsystem."""
        server, _, subsystem = key.partition("/")
        SubsystemId.parse(subsystem)
        return ClientInputs(server=server, subsystem=subsystem)

    async def check(self, subject: Subject, inputs: Properties) -> Checked:
        """Validate a declaration with its certificates."""
        checked = await super().check(subject, inputs)
        refusals = list(checked.refusals)
        for index, certificate in enumerate(checked.inputs.get("certificates") or ()):
            try:
                x509.load_pem_x509_certificate(str(certificate).encode())
            except ValueError:
                refusals.append(Refusal(f"certificates.{index}", "isn't a certificate in PEM"))
        return Checked(checked.inputs, tuple(refusals))

    async def find(self, wish: ClientInputs) -> Found[ClientInputs] | None:
        """Look through the server's clients: many are looked for in one run."""
        for present in await self.servers.security(wish.server).clients():
            if present.id == wish.subsystem:
                return await self._found(wish, present)
        return None

    async def existing(self, servers: list[str]) -> list[Found[ClientInputs]]:
        """Of every server."""
        clients = await self.clients(servers)
        return await asyncio.gather(
            *(self._found(ClientInputs(server=name, subsystem=item.id), item) for name, item in clients)
        )

    async def _found(self, wish: ClientInputs, present: Client) -> Found[ClientInputs]:
        digests = await self._digests(wish)
        declared = {fingerprint(item.encode()): item for item in wish.certificates}
        known = [item for digest, item in declared.items() if digest in digests]
        certificates = (*known, *sorted(digests - declared.keys()))
        connection = present.connection_type or wish.connection
        return Found(wish.model_copy(update={"connection": connection, "certificates": certificates}))

    async def make(self, wish: ClientInputs) -> None:
        """Add it, once the server knows the subsystem; set how information systems connect."""
        own = self.servers.security(wish.server)
        subsystem = SubsystemId.parse(wish.subsystem)
        connection = cast("ConnectionType", wish.connection)
        present = await self.client(wish.server, subsystem)
        if present is None:
            await self._wait_until_known(wish)
            try:
                await own.add_client(subsystem, connection)
            except ApiError as error:
                if error.status != 409:
                    raise
            present = await self.client(wish.server, subsystem)
        if present is None:
            raise ProviderError(f"{wish.server} accepted {wish.subsystem}, but doesn't show it")
        if present.connection_type != wish.connection:
            await own.set_connection_type(subsystem, connection)
        digests = await self._digests(wish)
        declared = {fingerprint(item.encode()): item for item in wish.certificates}
        # A renewed certificate is accepted before the former isn't any more.
        for digest in declared.keys() - digests:
            await own.add_tls_certificate(subsystem, declared[digest].encode())
        for digest in digests - declared.keys():
            await own.delete_tls_certificate(subsystem, digest)

    async def remove(self, wish: ClientInputs, state: Properties) -> None:
        """Remove it, with whatever else it has on this server."""
        own, subsystem = self.servers.security(wish.server), SubsystemId.parse(wish.subsystem)

        async def deleted() -> bool:
            try:
                await own.delete_client(subsystem)
            except ApiError as error:
                if gone(error):
                    return True
                # The server's copy of the configuration still has its registration.
                if error.status == 409:
                    return False
                raise
            return True

        try:
            present = await self.client(wish.server, subsystem)
            if present is None or present.is_management_services_provider:
                # The management services' registration ends with their security server.
                return
            await self.servers.until(
                deleted,
                f"{wish.server} removes {wish.subsystem}",
            )
        except UnreachableError:
            # A host that is gone takes its clients with it; their registrations were ended centrally.
            return

    async def _digests(self, wish: ClientInputs) -> set[str]:
        found = await self.servers.security(wish.server).tls_certificates(SubsystemId.parse(wish.subsystem))
        return {item.hash.replace(":", "").upper() for item in found}

    async def _wait_until_known(self, wish: ClientInputs) -> None:
        """Wait until the server's copy of the global configuration has the subsystem.

        A client that is added earlier stays saved, even if it is registered centrally already.
        """
        subsystem = SubsystemId.parse(wish.subsystem)
        await self.servers.until(
            lambda: self.servers.security(wish.server).knows_subsystem(subsystem),
            f"{wish.server} knows {wish.subsystem} from the global configuration",
        )
