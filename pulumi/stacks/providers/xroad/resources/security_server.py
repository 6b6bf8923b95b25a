"""Security servers: from the anchor to an active, registered authentication certificate."""

# ruff: noqa: ARG002  (methods answer one interface; not each kind needs all of it)
from __future__ import annotations

from typing import ClassVar

from cryptography import x509
from cryptography.x509.oid import NameOID

from stacks.providers.serving import Properties, ProviderError
from stacks.providers.xroad.authority import CertificateOrder, Subject
from stacks.providers.xroad.errors import ApiError, UnreachableError
from stacks.providers.xroad.identifiers import ServerId
from stacks.providers.xroad.resources.kind import Found, Inputs, Kind, gone, in_order
from stacks.providers.xroad.security import (
    SENDING_FAILED,
    SOFTWARE_TOKEN,
    CertificateWish,
    Key,
    KeyUsage,
    SecurityServerApi,
    SubjectField,
    Timestamping,
    Token,
    TokenCertificate,
)
from stacks.providers.xroad.tokens import open_token
from stacks.providers.xroad.waiting import until

_GOOD = "OCSP_RESPONSE_GOOD"
_CONFIGURATION_CODES = ("conf_download_failed", "conf_verification", "global_conf")


class SecurityServerInputs(Inputs):
    """A registered security server whose certificates are in use."""

    kind: ClassVar[str] = "SecurityServer"

    server: str
    """The host."""
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


class SecurityServerKind(Kind[SecurityServerInputs]):
    """Initialises and registers a security server; each step looks first, so any of them may be the first.

    Only the registration that is declared is approved: this server, this address, this certificate.
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

    async def find(self, wish: SecurityServerInputs) -> Found[SecurityServerInputs] | None:
        """None until the central server has it."""
        identity = ServerId.parse(wish.identity)
        try:
            registered = await self.servers.central.security_server(identity)
        except ApiError as error:
            if gone(error):
                return None
            raise
        own = self.servers.security(wish.server)
        found = wish.model_copy(update={"address": registered.server_address, "ready": False})
        status = await own.initialization()
        if not (status.is_anchor_imported and status.token_initialized and status.is_server_owner_initialized):
            return Found(found)
        token = await self._token(own)
        authentication = _certificate(token, self._label(wish, "AUTHENTICATION"))
        signing = _certificate(token, self._label(wish, "SIGNING"))
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
                }
            ),
            facts,
        )

    async def make(self, wish: SecurityServerInputs) -> None:
        """Take every step that hasn't been taken."""
        own = self.servers.security(wish.server)
        await self._import_anchor(wish, own)
        await self._initialize(wish, own)
        token = await self._token(own)
        await open_token(token, wish.server, lambda: self.servers.pin(wish.server), own.log_in)
        # The signing certificate comes first: registration requests are signed with it.
        signing = await self._certify(wish, own, "SIGNING")
        await self._activate(wish, own, signing.hash)
        authentication = await self._certify(wish, own, "AUTHENTICATION")
        await self._register(wish, own, authentication.hash)
        await self._activate(wish, own, authentication.hash)
        identity = ServerId.parse(wish.identity)
        if (await self.servers.central.security_server(identity)).server_address != wish.address:
            await self.servers.central.change_security_server_address(identity, wish.address)
        await self.use_timestamping(wish)

    async def remove(self, wish: SecurityServerInputs, state: Properties) -> None:
        """End the registration at the central server, then discard the server's own keys."""
        try:
            await self.servers.central.delete_security_server(ServerId.parse(wish.identity))
        except ApiError as error:
            if not gone(error):
                raise
        own = self.servers.security(wish.server)
        try:
            token = await self._token(own)
            for usage in ("AUTHENTICATION", "SIGNING"):
                for key in _keys(token, self._label(wish, usage)):
                    for certificate in key.certificates:
                        if certificate.status in _REGISTERED and usage == "AUTHENTICATION":
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

        wanted = await until(
            anchor,
            "the central server has a configuration anchor",
            deadline_seconds=self.servers.settings.distribution_seconds,
            interval_seconds=self.servers.settings.probe_seconds,
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
        last = "not tried"

        async def imported() -> bool:
            nonlocal last
            try:
                await own.import_anchor(content, replace=present is not None)
            except ApiError as error:
                # The server fetches the configuration first, which may not have been generated yet.
                if error.code is None or not error.code.startswith(_CONFIGURATION_CODES):
                    raise
                last = str(error)
                return False
            return True

        await until(
            imported,
            f"{wish.server} fetches the global configuration",
            deadline_seconds=self.servers.settings.distribution_seconds,
            interval_seconds=self.servers.settings.probe_seconds,
            detail=lambda: last,
        )

    async def _initialize(self, wish: SecurityServerInputs, own: SecurityServerApi) -> None:
        identity = ServerId.parse(wish.identity)
        status = await own.initialization()
        if status.is_server_owner_initialized and status.is_server_code_initialized:
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
        await until(
            lambda: own.knows_member(identity.owner),
            f"{wish.server} knows its owner {identity.owner} from the global configuration",
            deadline_seconds=self.servers.settings.distribution_seconds,
            interval_seconds=self.servers.settings.probe_seconds,
        )
        await own.initialize(parts)

    async def _certify(
        self, wish: SecurityServerInputs, own: SecurityServerApi, usage: KeyUsage
    ) -> TokenCertificate:
        """The certificate of the key for this usage: the present one, or an ordered one."""
        label = self._label(wish, usage)
        token = await self._token(own)
        present = _certificate(token, label)
        if present is not None:
            return present
        authority = await self._authority_name(wish, own, usage)
        identity = ServerId.parse(wish.identity)
        subject = self._subject(wish, await own.subject_fields(authority, usage, identity.owner), usage)
        order = CertificateWish(usage, authority, identity.owner, subject.fields)
        key = next(iter(_keys(token, label)), None)
        if key is None:
            key_id, request_id = await own.add_key_with_request(token.id, label, order)
        else:
            if not key.certificate_signing_requests:
                await own.add_request(key.id, order)
                key = next(iter(_keys(await self._token(own), label)))
            key_id, request_id = key.id, key.certificate_signing_requests[0].id
        request = await own.certificate_request(key_id, request_id)
        subject.require(request, f"{wish.server}, {usage.lower()} key")
        certificate = await self.servers.authority.sign(
            CertificateOrder(
                usage,
                identity.owner,
                wish.owner_name,
                request,
                wish.address if usage == "AUTHENTICATION" else None,
            )
        )
        try:
            await own.import_certificate(certificate)
        except ApiError as error:
            if error.code != "certificate_already_exists":
                raise
        imported = _certificate(await self._token(own), label)
        if imported is None:
            raise ProviderError(f"{wish.server} accepted the {usage.lower()} certificate, but doesn't show it")
        return imported

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
                try:
                    await own.register_certificate(certificate, wish.address)
                except ApiError as error:
                    if error.code != SENDING_FAILED:
                        raise
                    last = str(error)
                await self.approve(wish, certificate)
            return False

        await until(
            registered,
            f"{wish.server}: its authentication certificate is registered",
            deadline_seconds=self.servers.settings.distribution_seconds,
            interval_seconds=self.servers.settings.probe_seconds,
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

    async def _activate(self, wish: SecurityServerInputs, own: SecurityServerApi, certificate: str) -> None:
        """Use a certificate; the server checks its status with the authority's responder first."""
        last = "not read yet"

        async def active() -> bool:
            nonlocal last
            present = await own.certificate(certificate)
            if not present.active:
                try:
                    await own.activate_certificate(certificate)
                except ApiError as error:
                    if "ocsp" not in str(error).lower():
                        raise
                    last = str(error)
                return False
            last = f"OCSP status {present.ocsp_status or 'unknown'}"
            return present.ocsp_status == _GOOD

        await until(
            active,
            f"{wish.server}: its certificate {certificate} is active and its OCSP status good",
            deadline_seconds=self.servers.settings.distribution_seconds,
            interval_seconds=self.servers.settings.probe_seconds,
            detail=lambda: last,
        )

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

            await until(
                approved,
                f"{wish.server} knows the time-stamping service {url}",
                deadline_seconds=self.servers.settings.distribution_seconds,
                interval_seconds=self.servers.settings.probe_seconds,
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

    async def _authority_name(self, wish: SecurityServerInputs, own: SecurityServerApi, usage: KeyUsage) -> str:
        """What the global configuration calls the authority that we order from."""
        certificate = x509.load_pem_x509_certificate((await self.servers.authority.certificates())[0])
        name = str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)

        async def known() -> str | None:
            offered = [item.name for item in await own.certificate_authorities(usage)]
            return name if name in offered else None

        return await until(
            known,
            f"{wish.server} knows the certification service '{name}'",
            deadline_seconds=self.servers.settings.distribution_seconds,
            interval_seconds=self.servers.settings.probe_seconds,
        )

    def _subject(self, wish: SecurityServerInputs, fields: list[SubjectField], usage: KeyUsage) -> Subject:
        """What the estate says for each field that the profile asks for."""
        identity = ServerId.parse(wish.identity)
        declared = {
            "CN": wish.address if usage == "AUTHENTICATION" else wish.owner_name,
            "O": wish.owner_name,
            "C": wish.country,
            "serialNumber": identity.member,
            "businessCategory": identity.member_class,
        }
        values: dict[str, str] = {}
        for item in fields:
            if item.id in declared:
                values[item.id] = declared[item.id]
            elif item.required:
                values[item.id] = item.default_value or ""
            if item.read_only and item.default_value and values.get(item.id) != item.default_value:
                raise ProviderError(
                    f"{wish.server}: its global configuration gives {item.id}={item.default_value} for "
                    f"{identity.owner}, the estate declares {values.get(item.id)}"
                )
        return Subject(values)

    def _label(self, wish: SecurityServerInputs, usage: KeyUsage) -> str:
        owner = ServerId.parse(wish.identity).owner
        return "authentication" if usage == "AUTHENTICATION" else f"signing-{owner.member_class}-{owner.code}"

    async def _token(self, own: SecurityServerApi) -> Token:
        for token in await own.tokens():
            if token.id == SOFTWARE_TOKEN:
                return token
        raise ProviderError(f"{own.connection.endpoint} has no software token")


_REGISTERED = frozenset({"REGISTERED", "REGISTRATION_IN_PROGRESS"})
_DISCARDED = frozenset({"DELETION_IN_PROGRESS", "GLOBAL_ERROR"})


def _keys(token: Token, label: str) -> list[Key]:
    return [key for key in token.keys if key.label == label]


def _certificate(token: Token, label: str) -> TokenCertificate | None:
    """The usable certificate under a label: an active one before others."""
    usable = [
        certificate
        for key in _keys(token, label)
        for certificate in key.certificates
        if certificate.status not in _DISCARDED
    ]
    usable.sort(key=lambda item: (item.active, item.status == "REGISTERED"), reverse=True)
    return usable[0] if usable else None


def _same_hash(one: str, other: str) -> bool:
    return one.replace(":", "").upper() == other.replace(":", "").upper()
