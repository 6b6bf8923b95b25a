"""Security servers: from the anchor to an active, registered authentication certificate."""

# ruff: noqa: ARG002  (methods answer one interface; not each kind needs all of it)
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from stacks.providers.serving import Properties, ProviderError
from stacks.providers.xroad.errors import ApiError, UnreachableError
from stacks.providers.xroad.identifiers import ServerId
from stacks.providers.xroad.renewal import REGISTERED, Holding
from stacks.providers.xroad.resources.certificates import Certificates, Wanted, retire, software_token
from stacks.providers.xroad.resources.certified import CertifiedInputs, CertifiedKind
from stacks.providers.xroad.resources.distribution import distributed
from stacks.providers.xroad.resources.kind import Found, gone, in_order
from stacks.providers.xroad.security import (
    SENDING_FAILED,
    SOFTWARE_TOKEN,
    Key,
    KeyUsage,
    SecurityServerApi,
    Timestamping,
    Token,
    TokenCertificate,
)
from stacks.providers.xroad.tokens import open_token

_CONFIGURATION_CODES = ("conf_download_failed", "conf_verification", "global_conf")


class SecurityServerInputs(CertifiedInputs):
    """A registered security server whose certificates are in use."""

    kind: ClassVar[str] = "SecurityServer"

    identity: str
    """`INSTANCE:CLASS:CODE:SERVER`."""
    address: str
    """The name under which other security servers reach it; the common name of its certificate."""
    owner_name: str
    country: str
    timestamping: tuple[str, ...] = ()
    """Addresses of the approved time-stamping services that it uses, and of no others."""
    ready: bool = True
    """False is only found, never declared: a certificate isn't registered, active or good."""


class SecurityServerKind(CertifiedKind[SecurityServerInputs]):
    """Initialises and registers a security server; each step looks first, so any of them may be the first.

    Only the registration that is declared is approved: this server, this address, this certificate.

    A certificate that is revoked, due, or of another authority than the present one is replaced by one for a
    new key, beside it: messages pass all the while. The new one is used when every security server knows it;
    the earlier one is unregistered and removed when none is shown it any more. Signing certificates come first,
    since registrations are signed with them.
    """

    inputs = SecurityServerInputs
    replacing = frozenset({"identity", "server"})

    def key(self, wish: SecurityServerInputs) -> str:
        """The host and the identity."""
        return f"{wish.server}/{wish.identity}"

    def named(self, key: str) -> SecurityServerInputs:
        """From host and identity."""
        server, _, identity = key.partition("/")
        ServerId.parse(identity)
        return SecurityServerInputs(server=server, identity=identity, address="", owner_name="", country="")

    async def reasons(self, wish: SecurityServerInputs) -> Sequence[str]:
        """Of the server's own certificates. Nothing is due on one that isn't made yet."""
        tokens = await self.servers.security(wish.server).tokens()
        token = next((item for item in tokens if item.id == SOFTWARE_TOKEN), None)
        return _sentences(wish, (await self._holdings(wish, token)).values()) if token else ()

    async def find(self, wish: SecurityServerInputs) -> Found[SecurityServerInputs] | None:
        """None until the central server has it."""
        registered = {str(item.server_id): item for item in await self.servers.central.security_servers()}
        if wish.identity not in registered:
            return None
        address = registered[wish.identity].server_address
        own = self.servers.security(wish.server)
        found = wish.model_copy(update={"address": address, "ready": False})
        status = await own.initialization()
        if not (status.is_anchor_imported and status.token_initialized and status.is_server_owner_initialized):
            return Found(found)
        token = await software_token(own)
        holdings = await self._holdings(wish, token)
        authentication, signing = (holdings[usage].shown for usage in ("AUTHENTICATION", "SIGNING"))
        facts: Properties = {}
        if authentication is not None:
            facts["authentication_certificate"] = authentication.hash
        if signing is not None:
            facts["signing_certificate"] = signing.hash
        in_use, stale = await self._timestamping(own)
        return Found(
            found.model_copy(
                update={
                    "ready": token.logged_in
                    and authentication is not None
                    and authentication.active
                    and authentication.status == "REGISTERED"
                    and signing is not None
                    and signing.active,
                    "timestamping": in_order([*in_use, *(item.url for item in stale)], wish.timestamping),
                    "due": _sentences(wish, holdings.values()),
                }
            ),
            facts,
        )

    async def existing(self, servers: list[str]) -> list[Found[SecurityServerInputs]]:
        """Registered servers that are among ours. The country is that of the certificate in use."""
        names = {str(item.client_id): item.member_name for item in await self.servers.central.clients()}
        found = []
        for name in servers:
            own = self.servers.security(name)
            identity = await own.own_identity()
            if identity is None:
                continue
            wish = SecurityServerInputs(
                server=name,
                identity=identity.id,
                address="",
                owner_name=names.get(str(ServerId.parse(identity.id).owner), ""),
                country=_country(await software_token(own)),
            )
            found.append(await self.find(wish))
        return [item for item in found if item]

    async def make(self, wish: SecurityServerInputs) -> None:
        """Take every step that hasn't been taken."""
        own = self.servers.security(wish.server)
        await self._import_anchor(wish, own)
        await self._initialize(wish, own)
        token = await software_token(own)
        await open_token(token, wish.server, lambda: self.servers.pin(wish.server), own.log_in)
        # The signing certificate comes first: registration requests are signed with it.
        signatures, connections = (self._certificates(wish, usage) for usage in ("SIGNING", "AUTHENTICATION"))
        signing = await signatures.certify()
        await signatures.activate(signing.hash)
        authentication = await connections.certify()
        await self._register(wish, own, authentication.hash)
        if not authentication.active and await self._replaced(wish, own):
            # Its own registration is all that this server can see; others learn of it with their next fetch.
            await distributed(self.servers)
        await connections.activate(authentication.hash)
        identity = ServerId.parse(wish.identity)
        if (await self.servers.central.security_server(identity)).server_address != wish.address:
            await self.servers.central.change_security_server_address(identity, wish.address)
        await self.use_timestamping(wish)
        await self._retire(wish, own)

    async def remove(self, wish: SecurityServerInputs, state: Properties) -> None:
        """End the registration at the central server, then discard the server's own keys."""
        try:
            await self.servers.central.delete_security_server(ServerId.parse(wish.identity))
        except ApiError as error:
            if not gone(error):
                raise
        own = self.servers.security(wish.server)
        try:
            token = await software_token(own)
            for usage in _USAGES:
                for key in _keys(token, self._certificates(wish, usage).wanted.label):
                    for certificate in key.certificates:
                        if certificate.status in REGISTERED and usage == "AUTHENTICATION":
                            await self._forget(own, certificate.hash)
                    await own.delete_key(key.id)
        except UnreachableError:
            # A host that is gone takes its keys with it; nobody trusts them any more.
            return

    async def _forget(self, own: SecurityServerApi, certificate: str) -> None:
        """Let a certificate be deleted whose registration was ended centrally."""
        try:
            await own.mark_for_deletion(certificate)
        except ApiError as error:
            # The global configuration may have told the server meanwhile.
            if error.status != 409:
                raise

    async def _import_anchor(self, wish: SecurityServerInputs, own: SecurityServerApi) -> None:
        central = self.servers.central

        async def anchor() -> str | None:
            found = await central.anchor("INTERNAL")
            return found.hash if found else None

        wanted = await self.servers.until(
            anchor,
            "the central server has a configuration anchor",
        )
        present = await own.anchor()
        if present is not None and _same_hash(present.hash, wanted):
            return
        content = await central.download_anchor("INTERNAL")
        seen = (await own.preview_anchor(content)).hash
        if not _same_hash(seen, wanted):
            raise ProviderError(
                f"{wish.server} computes {seen} for the anchor, the central server says {wanted}: "
                "it was changed on its way"
            )

        async def imported() -> bool:
            await own.import_anchor(content, replace=present is not None)
            return True

        await self.servers.until(
            imported,
            f"{wish.server} fetches the global configuration",
            # The server fetches the configuration first, which may not have been generated yet.
            tolerated=lambda error: (error.code or "").startswith(_CONFIGURATION_CODES),
        )

    async def _initialize(self, wish: SecurityServerInputs, own: SecurityServerApi) -> None:
        identity = ServerId.parse(wish.identity)
        status = await own.initialization()
        if status.complete:
            present = await own.own_identity()
            if present is not None and present.id != wish.identity:
                raise ProviderError(
                    f"{wish.server} is {present.id}, not {wish.identity}; install it anew to change that"
                )
        parts: dict[str, str] = {}
        if not status.is_server_owner_initialized:
            parts["owner_member_class"] = identity.member_class
            parts["owner_member_code"] = identity.member
        if not status.is_server_code_initialized:
            parts["security_server_code"] = identity.code
        if not status.token_initialized:
            parts["software_token_pin"] = self.servers.pin(wish.server)
        if not parts:
            return
        # Initialisation isn't transactional, so it starts only once the owner is known for certain.
        await self.servers.until(
            lambda: own.knows_member(identity.owner),
            f"{wish.server} knows its owner {identity.owner} from the global configuration",
        )
        await own.initialize(parts)

    async def _replaced(self, wish: SecurityServerInputs, own: SecurityServerApi) -> bool:
        """Whether an authentication certificate is in use that another one is to replace."""
        held = (await self._holdings(wish, await software_token(own)))["AUTHENTICATION"]
        return any(item.active for item in held.replaced)

    async def _retire(self, wish: SecurityServerInputs, own: SecurityServerApi) -> None:
        """Stop using what was replaced, then end its registration and remove it with its keys."""

        async def end_registration(held: Holding, certificate: TokenCertificate) -> None:
            if self._is_registered(held, certificate):
                await self._unregister(wish, own, certificate.hash)

        holdings = (await self._holdings(wish, await software_token(own))).values()
        await retire(self.servers, wish.server, holdings, end_registration)

    @staticmethod
    def _is_registered(held: Holding, certificate: TokenCertificate) -> bool:
        """Whether the central server has it. Signing certificates are called registered, but aren't."""
        return held.usage == "AUTHENTICATION" and certificate.status in REGISTERED

    async def _unregister(self, wish: SecurityServerInputs, own: SecurityServerApi, certificate: str) -> None:
        """Have the central server forget an authentication certificate."""

        async def unregistered() -> bool:
            if (await own.certificate(certificate)).status in REGISTERED:
                await own.unregister_certificate(certificate)
            return True

        await self.servers.until(
            unregistered,
            f"{wish.server}: the registration of its earlier certificate {certificate} is ended",
            # The management services' own server may be changing over, or an interrupted run was heard:
            # then the configuration tells the server that the certificate is gone.
            tolerated=lambda error: error.code == SENDING_FAILED or error.status == 409,
        )

    async def _holdings(self, wish: SecurityServerInputs, token: Token) -> dict[KeyUsage, Holding]:
        """What the token has for each usage."""
        return {usage: await self._certificates(wish, usage).held(token) for usage in _USAGES}

    def _certificates(self, wish: SecurityServerInputs, usage: KeyUsage) -> Certificates:
        owner = ServerId.parse(wish.identity).owner
        wanted = Wanted(usage, wish.server, owner, wish.owner_name, wish.country, wish.address)
        return Certificates(self.servers, wanted)

    async def _register(self, wish: SecurityServerInputs, own: SecurityServerApi, certificate: str) -> None:
        """Ask for registration, approve it, wait until the global configuration has it."""
        last = "not read yet"

        async def registered() -> bool:
            nonlocal last
            present = await own.certificate(certificate)
            last = f"status {present.status}"
            if present.status == "REGISTERED":
                return True
            if present.status == "GLOBAL_ERROR":
                raise ProviderError(
                    f"{wish.server}: the global configuration doesn't have its certificate {certificate} "
                    "any more; delete that certificate's key on the server to have a new one made"
                )
            # An interrupted attempt may have left a request that the server itself doesn't know of.
            if not await self.approve(wish, certificate) and present.status == "SAVED":
                await own.register_certificate(certificate, wish.address)
                await self.approve(wish, certificate)
            return False

        await self.servers.until(
            registered,
            f"{wish.server}: its authentication certificate is registered",
            tolerated=lambda error: error.code == SENDING_FAILED,
            detail=lambda: last,
        )

    async def approve(self, wish: SecurityServerInputs, certificate: str) -> bool:
        """Approve the request for exactly this server, address and certificate, if one waits."""
        central = self.servers.central
        async for request in central.waiting_requests(ServerId.parse(wish.identity)):
            if request.type != "AUTH_CERT_REGISTRATION_REQUEST" or request.origin != "SECURITY_SERVER":
                continue
            details = (await central.management_request(request.id)).certificate_details
            if (
                request.address == wish.address
                and details is not None
                and _same_hash(details.hash, certificate)
            ):
                await central.approve(request.id)
                return True
        return False

    async def use_timestamping(self, wish: SecurityServerInputs) -> None:
        """Use what is declared, then stop using the rest: there is no moment without a service."""
        own = self.servers.security(wish.server)
        in_use, _ = await self._timestamping(own)
        for url in wish.timestamping:
            if url in in_use:
                continue

            async def approved(url: str = url) -> bool:
                offered = await own.approved_timestamping_services()
                # The entry must equal the configuration's, so that one is sent back.
                for service in offered:
                    if service.url == url:
                        await own.use_timestamping_service(service)
                        return True
                return False

            await self.servers.until(
                approved,
                f"{wish.server} knows the time-stamping service {url}",
            )
        in_use, stale = await self._timestamping(own)
        for service in [*stale, *(item for url, item in in_use.items() if url not in wish.timestamping)]:
            await own.stop_using_timestamping_service(service)

    async def _timestamping(self, own: SecurityServerApi) -> tuple[dict[str, Timestamping], list[Timestamping]]:
        """Services in use by address, and entries that the configuration doesn't have so (any more).

        An entry doesn't follow when the configuration's changes its name; then it stands for nothing.
        """
        entries = await own.timestamping_services()
        if not entries:
            return {}, []
        approved = {(item.name, item.url) for item in await own.approved_timestamping_services()}
        in_use = {item.url: item for item in entries if (item.name, item.url) in approved}
        return in_use, [item for item in entries if (item.name, item.url) not in approved]


_USAGES: tuple[KeyUsage, ...] = ("AUTHENTICATION", "SIGNING")


def _keys(token: Token, label: str) -> list[Key]:
    return [key for key in token.keys if key.label == label]


def _sentences(wish: SecurityServerInputs, holdings: Iterable[Holding]) -> tuple[str, ...]:
    return tuple(f"{wish.server}: {reason}" for held in holdings for reason in held.reasons)


def _country(token: Token) -> str:
    """What the certificates in use say; nothing before there is one."""
    used = [item for key in token.keys for item in key.certificates if item.active]
    return next((item.country for item in used if item.country), "")


def _same_hash(one: str, other: str) -> bool:
    return one.replace(":", "").upper() == other.replace(":", "").upper()
