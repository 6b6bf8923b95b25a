"""Typed client of a security server's admin API, API version 1 (X-Road 7.8)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from stacks.providers.xroad.answers import Answer, Version
from stacks.providers.xroad.errors import ApiError
from stacks.providers.xroad.identifiers import MemberId, SubsystemId
from stacks.providers.xroad.transport import AdminConnection

SOFTWARE_TOKEN = "0"  # noqa: S105  an identifier
"""The token that keeps keys in files."""

SENDING_FAILED = "management_request_sending_failed"
"""The central server couldn't be told, or refused: the metadata says which."""

KeyUsage = Literal["AUTHENTICATION", "SIGNING"]
"""Authentication keys prove a server in TLS; signing keys sign messages in a member's name."""

ServiceType = Literal["WSDL", "REST", "OPENAPI3"]
ConnectionType = Literal["HTTP", "HTTPS", "HTTPS_NO_AUTH"]


class Initialization(Answer):
    """How far the server's initialisation went."""

    is_anchor_imported: bool
    is_server_code_initialized: bool
    is_server_owner_initialized: bool
    software_token_init_status: str

    @property
    def complete(self) -> bool:
        """Whether the server knows who it is: its owner and its code."""
        return self.is_server_owner_initialized and self.is_server_code_initialized

    @property
    def token_initialized(self) -> bool:
        """Whether the software token exists."""
        return self.software_token_init_status == "INITIALIZED"  # noqa: S105  a status


class Anchor(Answer):
    """Facts of the imported configuration anchor."""

    hash: str


class CertificateDetails(Answer):
    """Facts of a certificate. The hash is what the API finds it by."""

    hash: str
    subject_distinguished_name: str = ""
    issuer_common_name: str
    not_before: str
    not_after: str


class TokenCertificate(Answer):
    """A certificate of a key with its place in the life cycle."""

    owner_id: str = ""
    active: bool
    status: str
    ocsp_status: str = ""
    ocsp_verify_before_activation_error: str | None = None
    certificate_details: CertificateDetails

    @property
    def hash(self) -> str:
        """What the API finds the certificate by."""
        return self.certificate_details.hash

    @property
    def country(self) -> str:
        """The country of its subject; empty if it names none."""
        parts = self.certificate_details.subject_distinguished_name.replace(" ", "").split(",")
        return next((part.removeprefix("C=") for part in parts if part.startswith("C=")), "")


class CertificateRequest(Answer):
    """A certificate signing request that waits for its certificate."""

    id: str
    owner_id: str = ""


class Key(Answer):
    """A key with its certificates and requests."""

    id: str
    label: str
    name: str = ""
    usage: KeyUsage | None = None
    certificates: tuple[TokenCertificate, ...] = ()
    certificate_signing_requests: tuple[CertificateRequest, ...] = ()


class Token(Answer):
    """A device or file that keeps keys."""

    id: str
    logged_in: bool
    status: str = "OK"
    keys: tuple[Key, ...] = ()


class CertificateAuthority(Answer):
    """A CA that the global configuration approves."""

    name: str
    authentication_only: bool = False
    default_csr_format: str | None = None


class SubjectField(Answer):
    """A part of a certificate's subject, as the CA's profile prescribes it."""

    id: str
    default_value: str | None = None
    read_only: bool
    required: bool


class ServerAddress(Answer):
    """A security server's identity as it sees it itself."""

    id: str
    server_address: str | None = None


class Client(Answer):
    """A member or subsystem that the server represents."""

    id: str
    owner: bool = False
    is_management_services_provider: bool = False
    connection_type: str | None = None
    status: str = ""


class Endpoint(Answer):
    """A method and path of a service that rights can be given to."""

    id: str
    method: str
    path: str
    generated: bool = False
    """Whether the service's description names it: then it can't be removed."""

    @property
    def is_base(self) -> bool:
        """Whether it stands for the whole service."""
        return (self.method, self.path) == ("*", "**")

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class Service(Answer):
    """A service, or an operation of one."""

    id: str
    service_code: str
    url: str
    timeout: int
    ssl_auth: bool = False
    endpoints: tuple[Endpoint, ...] = ()

    @property
    def path(self) -> str:
        """Where the API has it."""
        return f"/services/{quote(self.id, safe=':')}"


class ServiceDescription(Answer):
    """What a subsystem offers under one address."""

    id: str
    url: str
    type: ServiceType
    disabled: bool
    services: tuple[Service, ...] = ()


class LocalGroupMember(Answer):
    """A subsystem in a local group."""

    id: str


class LocalGroup(Answer):
    """A group that one client keeps for its own services."""

    id: str
    code: str
    description: str
    members: tuple[LocalGroupMember, ...] = ()


class Holder(Answer):
    """Who may call a service or an endpoint."""

    id: str
    local_group_code: str | None = None

    @property
    def name(self) -> str:
        """The identifier of a subsystem or global group; a local group's code, as its number says nothing."""
        return self.local_group_code or self.id


class Timestamping(Answer):
    """A time-stamping service in use."""

    name: str
    url: str
    cost_type: str = "UNDEFINED"


class ConfigurationDiagnostics(Answer):
    """How the server fares with fetching the global configuration."""

    status_class: str
    """`OK`, `WAITING` or `FAIL`."""
    prev_update_at: str


@dataclass(frozen=True)
class CertificateWish:
    """What a certificate signing request is to ask for."""

    usage: KeyUsage
    authority: str
    member: MemberId
    subject: Mapping[str, str]

    def body(self) -> dict[str, Any]:
        """The request in the form of the API."""
        body: dict[str, Any] = {
            "key_usage_type": self.usage,
            "ca_name": self.authority,
            "csr_format": "PEM",
            "subject_field_values": dict(self.subject),
            "acme_order": False,
        }
        if self.usage == "SIGNING":
            body["member_id"] = str(self.member)
        return body


class SecurityServerApi:
    """Calls to one security server. Names follow the operations of the API."""

    def __init__(self, connection: AdminConnection) -> None:
        self.connection = connection

    async def version(self) -> Version:
        """The software's version."""
        return Version.model_validate(await self.connection.get("/system/version"))

    async def initialization(self) -> Initialization:
        """How far initialisation went."""
        return Initialization.model_validate(await self.connection.get("/initialization/status"))

    async def initialize(self, parts: Mapping[str, str]) -> None:
        """Set owner, code and PIN, as far as they are missing; the server refuses what is set already."""
        await self.connection.send("POST", "/initialization", dict(parts), accept_warnings=True)

    async def anchor(self) -> Anchor | None:
        """The imported anchor; None before there is one."""
        if not (await self.initialization()).is_anchor_imported:
            return None
        return Anchor.model_validate(await self.connection.get("/system/anchor"))

    async def preview_anchor(self, anchor: bytes) -> Anchor:
        """Hash of an anchor as the server computes it."""
        path = "/system/anchor/previews"
        answer = await self.connection.upload("POST", path, anchor, validate_instance="false")
        return Anchor.model_validate(answer.json())

    async def import_anchor(self, anchor: bytes, *, replace: bool) -> None:
        """Trust the central server of this anchor."""
        await self.connection.upload("PUT" if replace else "POST", "/system/anchor", anchor)

    async def knows_member(self, member: MemberId) -> bool:
        """Whether the server's copy of the global configuration has this member."""
        try:
            await self.connection.get(
                "/member-names", member_class=member.member_class, member_code=member.code
            )
        except ApiError as error:
            if error.status in {404, 409, 500}:
                return False
            raise
        return True

    async def knows_subsystem(self, subsystem: SubsystemId) -> bool:
        """Whether the server's copy of the global configuration has this subsystem."""
        answer = await self.connection.get(
            "/clients",
            instance=subsystem.instance,
            member_class=subsystem.member_class,
            member_code=subsystem.member,
            subsystem_code=subsystem.code,
            internal_search="false",
            show_members="false",
        )
        return any(item["id"] == str(subsystem) for item in answer)

    async def candidates(self, client: SubsystemId) -> dict[str, str]:
        """Subsystems and global groups that rights of `client` can be given to; the API's names of them."""
        answer = await self.connection.get(f"/clients/{client}/service-client-candidates")
        return {item["id"]: item["id"] for item in answer if ":" in item["id"]}

    async def tokens(self) -> list[Token]:
        """Tokens with their keys, certificates and requests."""
        return [Token.model_validate(item) for item in await self.connection.get("/tokens")]

    async def log_in(self, token: str, pin: str) -> None:
        """Open a token. A wrong PIN counts towards its locking."""
        await self.connection.send("PUT", f"/tokens/{token}/login", {"password": pin})

    async def certificate_authorities(self, usage: KeyUsage) -> list[CertificateAuthority]:
        """Approved CAs that issue certificates for this usage."""
        answer = await self.connection.get("/certificate-authorities", key_usage_type=usage)
        return [CertificateAuthority.model_validate(item) for item in answer]

    async def subject_fields(
        self, authority: str, usage: KeyUsage, member: MemberId, *, new_member: bool = False
    ) -> list[SubjectField]:
        """The subject that a CA's profile wants for a certificate of this member."""
        path = f"/certificate-authorities/{quote(authority, safe='')}/csr-subject-fields"
        answer = await self.connection.get(
            path, key_usage_type=usage, member_id=str(member), is_new_member=str(new_member).lower()
        )
        return [SubjectField.model_validate(item) for item in answer]

    async def add_key_with_request(self, token: str, label: str, wish: CertificateWish) -> tuple[str, str]:
        """Make a key and a request for it; returns their identifiers. Labels aren't unique: look first."""
        body = {"key_label": label, "csr_generate_request": wish.body()}
        answer = await self.connection.send("POST", f"/tokens/{token}/keys-with-csrs", body)
        return answer["key"]["id"], answer["csr_id"]

    async def add_request(self, key: str, wish: CertificateWish) -> None:
        """Make a further request for an existing key."""
        path = f"/keys/{key}/csrs"
        await self.connection.request("POST", path, json=wish.body(), headers={"Accept": "*/*"})

    async def certificate_request(self, key: str, request: str) -> bytes:
        """A certificate signing request (PEM)."""
        return await self.connection.download(f"/keys/{key}/csrs/{request}", csr_format="PEM")

    async def delete_key(self, key: str) -> None:
        """Remove a key with its certificates and requests."""
        await self.connection.request("DELETE", f"/keys/{key}", params={"ignore_warnings": "true"})

    async def import_certificate(self, certificate: bytes) -> TokenCertificate:
        """Give a key its certificate (PEM or DER)."""
        answer = await self.connection.upload("POST", "/token-certificates", certificate)
        return TokenCertificate.model_validate(answer.json())

    async def certificate(self, certificate: str) -> TokenCertificate:
        """A certificate by its hash; ApiError 404 if there is none."""
        return TokenCertificate.model_validate(await self.connection.get(f"/token-certificates/{certificate}"))

    async def register_certificate(self, certificate: str, address: str) -> None:
        """Ask the central server to register an authentication certificate for this address."""
        await self.connection.send("PUT", f"/token-certificates/{certificate}/register", {"address": address})

    async def unregister_certificate(self, certificate: str) -> None:
        """Ask the central server to forget an authentication certificate."""
        await self.connection.send("PUT", f"/token-certificates/{certificate}/unregister")

    async def mark_for_deletion(self, certificate: str) -> None:
        """Treat an authentication certificate as unregistered without asking the central server."""
        await self.connection.send("PUT", f"/token-certificates/{certificate}/mark-for-deletion")

    async def activate_certificate(self, certificate: str) -> None:
        """Use a certificate from now on."""
        await self.connection.send("PUT", f"/token-certificates/{certificate}/activate")

    async def disable_certificate(self, certificate: str) -> None:
        """Don't use a certificate any more; it can be activated again."""
        await self.connection.send("PUT", f"/token-certificates/{certificate}/disable")

    async def delete_certificate(self, certificate: str) -> None:
        """Remove a certificate that isn't registered."""
        await self.connection.send("DELETE", f"/token-certificates/{certificate}")

    async def own_identity(self) -> ServerAddress | None:
        """Who the server is; None before it is initialised."""
        answer = await self.connection.get("/security-servers", current_server="true")
        return ServerAddress.model_validate(answer[0]) if answer else None

    async def clients(self) -> list[Client]:
        """Subsystems that this server represents."""
        answer = await self.connection.get("/clients", internal_search="true", show_members="false")
        return [Client.model_validate(item) for item in answer]

    async def tls_certificates(self, client: SubsystemId) -> list[CertificateDetails]:
        """Certificates that the client's information systems may show."""
        answer = await self.connection.get(f"/clients/{client}/tls-certificates")
        return [CertificateDetails.model_validate(item) for item in answer]

    async def add_tls_certificate(self, client: SubsystemId, certificate: bytes) -> None:
        """Accept a certificate of an information system."""
        await self.connection.upload("POST", f"/clients/{client}/tls-certificates", certificate)

    async def delete_tls_certificate(self, client: SubsystemId, certificate: str) -> None:
        """Don't accept a certificate of an information system any more."""
        await self.connection.send("DELETE", f"/clients/{client}/tls-certificates/{certificate}")

    async def local_groups(self, client: SubsystemId) -> list[LocalGroup]:
        """Groups of a client with their members; ApiError 404 if there is no such client."""
        answer = await self.connection.get(f"/clients/{client}/local-groups")
        return [LocalGroup.model_validate(item) for item in answer]

    async def add_local_group(self, client: SubsystemId, code: str, description: str) -> None:
        """Add a group without members."""
        body = {"code": code, "description": description}
        await self.connection.send("POST", f"/clients/{client}/local-groups", body)

    async def describe_local_group(self, group: str, description: str) -> None:
        """Change a group's description."""
        await self.connection.send("PATCH", f"/local-groups/{group}", {"description": description})

    async def delete_local_group(self, group: str) -> None:
        """Remove a group with the rights that it has."""
        await self.connection.send("DELETE", f"/local-groups/{group}")

    async def add_local_group_members(self, group: str, members: Iterable[str]) -> None:
        """Take subsystems into a group; one that is inside already is refused with all."""
        await self.connection.send("POST", f"/local-groups/{group}/members", {"items": list(members)})

    async def delete_local_group_members(self, group: str, members: Iterable[str]) -> None:
        """Take subsystems out of a group; one that isn't inside is refused with all."""
        await self.connection.send("POST", f"/local-groups/{group}/members/delete", {"items": list(members)})

    async def client(self, client: MemberId | SubsystemId) -> Client:
        """A client of this server; ApiError 404 if there is none."""
        return Client.model_validate(await self.connection.get(f"/clients/{client}"))

    async def add_client(self, client: SubsystemId, connection: ConnectionType) -> None:
        """Represent a subsystem; it must be registered before it can act."""
        body = {
            "client": {
                "member_class": client.member_class,
                "member_code": client.member,
                "subsystem_code": client.code,
                "connection_type": connection,
            },
            "ignore_warnings": False,
        }
        await self.connection.send("POST", "/clients", body, accept_warnings=True)

    async def set_connection_type(self, client: SubsystemId, connection: ConnectionType) -> None:
        """Choose how the client's information systems connect."""
        await self.connection.send("PATCH", f"/clients/{client}", {"connection_type": connection})

    async def register_client(self, client: SubsystemId) -> None:
        """Ask the central server to register a client at this server."""
        await self.connection.send("PUT", f"/clients/{client}/register")

    async def unregister_client(self, client: SubsystemId) -> None:
        """Ask the central server to forget a client of this server."""
        await self.connection.send("PUT", f"/clients/{client}/unregister")

    async def delete_client(self, client: SubsystemId) -> None:
        """Remove a client that isn't registered, with its services and rights."""
        await self.connection.send("DELETE", f"/clients/{client}")

    async def service_descriptions(self, client: SubsystemId) -> list[ServiceDescription]:
        """What a client offers; ApiError 404 if there is no such client."""
        answer = await self.connection.get(f"/clients/{client}/service-descriptions")
        return [ServiceDescription.model_validate(item) for item in answer]

    async def add_service_description(
        self, client: SubsystemId, url: str, kind: ServiceType, code: str | None
    ) -> ServiceDescription:
        """Add a description; it starts disabled. `code` names the service of REST and OPENAPI3."""
        body: dict[str, Any] = {"url": url, "type": kind, "ignore_warnings": False}
        if code is not None:
            body["rest_service_code"] = code
        path = f"/clients/{client}/service-descriptions"
        return ServiceDescription.model_validate(
            await self.connection.send("POST", path, body, accept_warnings=True)
        )

    async def change_service_description(
        self, description: str, url: str, kind: ServiceType, code: str | None
    ) -> None:
        """Change the address of a description."""
        body: dict[str, Any] = {"url": url, "type": kind, "ignore_warnings": False}
        if code is not None:
            body |= {"rest_service_code": code, "new_rest_service_code": code}
        path = f"/service-descriptions/{description}"
        await self.connection.send("PATCH", path, body, accept_warnings=True)

    async def delete_service_description(self, description: str) -> None:
        """Remove a description with its services and their access rights."""
        await self.connection.send("DELETE", f"/service-descriptions/{description}")

    async def enable_service_description(self, description: str) -> None:
        """Offer the services of a description."""
        await self.connection.send("PUT", f"/service-descriptions/{description}/enable")

    async def disable_service_description(self, description: str, notice: str) -> None:
        """Refuse calls of the services with this notice."""
        path = f"/service-descriptions/{description}/disable"
        await self.connection.send("PUT", path, {"disabled_notice": notice})

    async def change_services(
        self, service: Service, url: str | None, timeout_seconds: int, verify_tls: bool
    ) -> None:
        """Set where services are, how long they may take, and whether their TLS certificates are verified.

        The same is set for all services of the description of `service`; None leaves their addresses.
        """
        body = {
            "url": url or service.url,
            "timeout": timeout_seconds,
            "ssl_auth": verify_tls,
            "url_all": url is not None,
            "timeout_all": True,
            "ssl_auth_all": True,
            "ignore_warnings": False,
        }
        await self.connection.send("PATCH", service.path, body, accept_warnings=True)

    async def add_endpoint(self, service: Service, method: str, path: str) -> None:
        """Name a method and path of a service."""
        body = {"service_code": service.service_code, "method": method, "path": path}
        await self.connection.send("POST", f"{service.path}/endpoints", body)

    async def delete_endpoint(self, endpoint: str) -> None:
        """Remove an endpoint with the rights to it."""
        await self.connection.send("DELETE", f"/endpoints/{endpoint}")

    async def holders(self, what: Service | Endpoint) -> list[Holder]:
        """Who may call a whole service, or an endpoint."""
        return [
            Holder.model_validate(item) for item in await self.connection.get(f"{_path(what)}/service-clients")
        ]

    async def grant(self, what: Service | Endpoint, holders: Iterable[str]) -> None:
        """Let holders call a service or an endpoint. A right that exists is refused with all: compare first."""
        await self.connection.send("POST", f"{_path(what)}/service-clients", _items(holders))

    async def revoke(self, what: Service | Endpoint, holders: Iterable[str]) -> None:
        """Take rights away; messages may pass until the server's cache ends (60 s by default)."""
        await self.connection.send("POST", f"{_path(what)}/service-clients/delete", _items(holders))

    async def approved_timestamping_services(self) -> list[Timestamping]:
        """Time-stamping services of the global configuration."""
        answer = await self.connection.get("/timestamping-services")
        return [Timestamping.model_validate(item) for item in answer]

    async def timestamping_services(self) -> list[Timestamping]:
        """Time-stamping services that this server uses."""
        answer = await self.connection.get("/system/timestamping-services")
        return [Timestamping.model_validate(item) for item in answer]

    async def use_timestamping_service(self, service: Timestamping) -> None:
        """Use an approved service; the entry must equal the global configuration's."""
        await self.connection.send("POST", "/system/timestamping-services", service.model_dump())

    async def stop_using_timestamping_service(self, service: Timestamping) -> None:
        """Don't use a service any more."""
        await self.connection.send("POST", "/system/timestamping-services/delete", service.model_dump())

    async def configuration_diagnostics(self) -> ConfigurationDiagnostics:
        """When the global configuration was fetched last, and whether it is in order."""
        return ConfigurationDiagnostics.model_validate(await self.connection.get("/diagnostics/globalconf"))


def _path(what: Service | Endpoint) -> str:
    return what.path if isinstance(what, Service) else f"/endpoints/{what.id}"


def _items(holders: Iterable[str]) -> dict[str, Any]:
    return {"items": [{"id": item, "service_client_type": _KINDS[item.count(":")]} for item in holders]}


_KINDS = {0: "LOCALGROUP", 1: "GLOBALGROUP", 3: "SUBSYSTEM"}
"""Kinds of holder by the number of colons in the API's name."""
