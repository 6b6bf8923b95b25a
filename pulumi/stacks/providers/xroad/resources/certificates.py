"""A certificate of a security server for one usage: ordered, imported, activated, retired."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from stacks.providers.serving import ProviderError
from stacks.providers.xroad.authority import CertificateOrder, Subject
from stacks.providers.xroad.errors import ApiError, UnreachableError
from stacks.providers.xroad.identifiers import MemberId
from stacks.providers.xroad.renewal import Holding, Renewal, holding, issuer_of, name_of, renew_before
from stacks.providers.xroad.resources.distribution import distributed
from stacks.providers.xroad.security import (
    SOFTWARE_TOKEN,
    CertificateWish,
    Key,
    KeyUsage,
    SecurityServerApi,
    SubjectField,
    Token,
    TokenCertificate,
)
from stacks.providers.xroad.servers import Servers

_GOOD = "OCSP_RESPONSE_GOOD"


@dataclass(frozen=True)
class Wanted:
    """What a certificate is for."""

    usage: KeyUsage
    server: str
    """The host."""
    member: MemberId
    """Who signs with it; of an authentication certificate the server's owner."""
    member_name: str
    country: str
    address: str
    """The server's name, which an authentication certificate is for."""

    @property
    def label(self) -> str:
        """What its keys are called: X-Road itself knows no name of a key."""
        if self.usage == "AUTHENTICATION":
            return "authentication"
        return f"signing-{self.member.member_class}-{self.member.code}"


async def software_token(own: SecurityServerApi) -> Token:
    """The server's software token; ProviderError if it has none."""
    for token in await own.tokens():
        if token.id == SOFTWARE_TOKEN:
            return token
    raise ProviderError(f"{own.connection.endpoint} has no software token")


class Certificates:
    """The certificates of one security server for one usage. Each step looks first, so any may be the first."""

    def __init__(self, servers: Servers, wanted: Wanted) -> None:
        self.servers = servers
        self.wanted = wanted
        self._own = servers.security(wanted.server)

    async def held(self, token: Token | None = None) -> Holding:
        """What the token has for the usage. An authority that can't be asked isn't compared."""
        if token is None:
            token = await software_token(self._own)
        try:
            authority = name_of((await self.servers.authority_certificates())[0])
        except UnreachableError:
            authority = None
        renewal = Renewal(authority, datetime.now(UTC), renew_before())
        return holding(token, self.wanted.label, self.wanted.usage, renewal)

    async def certify(self) -> TokenCertificate:
        """The present certificate, or an ordered one if that must be replaced."""
        held = await self.held()
        if held.chosen is not None:
            return held.chosen
        authority = await self._authority_name()
        certificate = await self._order(authority, held.pending)
        if issuer_of(certificate) != authority:
            # An interrupted run had ordered it from the authority before: an order gives the same one for ever.
            pending = (await self.held()).pending
            if pending is not None:
                await self._own.delete_key(pending.id)
            certificate = await self._order(authority, None)
        if any(item.certificate_details.issuer_common_name != authority for item in held.replaced):
            # A signing certificate is used as soon as it is imported: all must know its authority before.
            await distributed(self.servers)
        try:
            await self._own.import_certificate(certificate)
        except ApiError as error:
            if error.code != "certificate_already_exists":
                raise
        imported = (await self.held()).chosen
        if imported is None:
            usage = self.wanted.usage.lower()
            raise ProviderError(f"{self.wanted.server} accepted the {usage} certificate, but doesn't show it")
        return imported

    async def activate(self, certificate: str) -> None:
        """Use a certificate; the server checks its status with the authority's responder first."""
        last = "not read yet"

        async def active() -> bool:
            nonlocal last
            present = await self._own.certificate(certificate)
            if not present.active:
                await self._own.activate_certificate(certificate)
                return False
            last = f"OCSP status {present.ocsp_status or 'unknown'}"
            return present.ocsp_status == _GOOD

        await self.servers.until(
            active,
            f"{self.wanted.server}: its certificate {certificate} is active and its OCSP status good",
            tolerated=lambda error: "ocsp" in str(error).lower(),
            detail=lambda: last,
        )

    async def _order(self, authority: str, pending: Key | None) -> bytes:
        """Order a certificate for a key that waits for one, or for a new key."""
        wanted, own = self.wanted, self._own
        fields = await own.subject_fields(authority, wanted.usage, wanted.member)
        subject = self._subject(fields)
        order = CertificateWish(wanted.usage, authority, wanted.member, subject.fields)
        if pending is None:
            key_id, request_id = await own.add_key_with_request(SOFTWARE_TOKEN, wanted.label, order)
        else:
            if not pending.certificate_signing_requests:
                await own.add_request(pending.id, order)
                keys = (await software_token(own)).keys
                pending = next(key for key in keys if key.id == pending.id)
            key_id, request_id = pending.id, pending.certificate_signing_requests[0].id
        request = await own.certificate_request(key_id, request_id)
        subject.require(request, f"{wanted.server}, {wanted.usage.lower()} key")
        return await self.servers.authority.sign(
            CertificateOrder(
                wanted.usage,
                wanted.member,
                wanted.member_name,
                request,
                wanted.address if wanted.usage == "AUTHENTICATION" else None,
            )
        )

    async def _authority_name(self) -> str:
        """What the global configuration calls the authority that we order from."""
        name = name_of((await self.servers.authority_certificates())[0])

        async def known() -> str | None:
            offered = [item.name for item in await self._own.certificate_authorities(self.wanted.usage)]
            return name if name in offered else None

        return await self.servers.until(
            known,
            f"{self.wanted.server} knows the certification service '{name}'",
        )

    def _subject(self, fields: list[SubjectField]) -> Subject:
        """What the estate says for each field that the profile asks for."""
        wanted = self.wanted
        declared = {
            "CN": wanted.address if wanted.usage == "AUTHENTICATION" else wanted.member_name,
            "O": wanted.member_name,
            "C": wanted.country,
            "serialNumber": wanted.member.code,
            "businessCategory": wanted.member.member_class,
        }
        values: dict[str, str] = {}
        for item in fields:
            if item.id in declared:
                values[item.id] = declared[item.id]
            elif item.required:
                values[item.id] = item.default_value or ""
            if item.read_only and item.default_value and values.get(item.id) != item.default_value:
                raise ProviderError(
                    f"{wanted.server}: its global configuration gives {item.id}={item.default_value} for "
                    f"{wanted.member}, the estate declares {values.get(item.id)}"
                )
        return Subject(values)


async def _nothing(_: Holding, __: TokenCertificate) -> None:
    """Where a certificate isn't registered anywhere."""


async def retire(
    servers: Servers,
    server: str,
    holdings: Collection[Holding],
    before_removal: Callable[[Holding, TokenCertificate], Awaitable[None]] = _nothing,
) -> None:
    """Stop using what was replaced on a security server, then remove it with its keys."""
    own = servers.security(server)
    replaced = [certificate for held in holdings for certificate in held.replaced]
    for certificate in replaced:
        if certificate.active:
            await own.disable_certificate(certificate.hash)
    if replaced:
        # The server itself, connections that are open and messages under way go on with the earlier ones.
        await distributed(servers)
    for held in holdings:
        removed = {item.hash for key in held.unused for item in key.certificates}
        for certificate in held.replaced:
            await before_removal(held, certificate)
            if certificate.hash not in removed:
                # It shares its key with the chosen one.
                await own.delete_certificate(certificate.hash)
        for key in held.unused:
            await own.delete_key(key.id)
