"""Typed client of the central server's admin API, API version 1 (X-Road 7.8)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, Literal

from stacks.providers.xroad.answers import Answer, Version
from stacks.providers.xroad.errors import ApiError
from stacks.providers.xroad.identifiers import MemberId, ServerId, SubsystemId
from stacks.providers.xroad.transport import AdminConnection

SOFTWARE_TOKEN = "0"  # noqa: S105  an identifier
"""The token that keeps configuration signing keys unless an HSM is attached."""

Source = Literal["INTERNAL", "EXTERNAL"]
"""A configuration for this instance's own servers, or for federated instances."""

SOURCES: tuple[Source, ...] = ("INTERNAL", "EXTERNAL")

_PAGE = 100


class Initialization(Answer):
    """How far the server's initialisation went; empty strings stand for what is missing."""

    instance_identifier: str = ""
    central_server_address: str = ""
    software_token_init_status: str = "UNKNOWN"  # noqa: S105  a status

    @property
    def token_initialized(self) -> bool:
        """Whether the software token exists."""
        return self.software_token_init_status == "INITIALIZED"  # noqa: S105  a status

    @property
    def complete(self) -> bool:
        """Whether nothing is left to initialise."""
        return bool(self.instance_identifier and self.central_server_address) and self.token_initialized


class SigningKey(Answer):
    """A key that signs the global configuration."""

    id: str
    active: bool
    source_type: Source | None = None


class Token(Answer):
    """A device or file that keeps keys."""

    id: str
    logged_in: bool
    status: str = "OK"
    configuration_signing_keys: tuple[SigningKey, ...] = ()


class MemberClass(Answer):
    """A kind of member."""

    code: str
    description: str


class ClientId(Answer):
    """A member or, with a subsystem code, a subsystem."""

    instance_id: str
    member_class: str
    member_code: str
    subsystem_code: str | None = None

    def __str__(self) -> str:
        parts = (self.instance_id, self.member_class, self.member_code, self.subsystem_code)
        return ":".join(part for part in parts if part)


class Client(Answer):
    """A member or subsystem with its owner's name."""

    client_id: ClientId
    member_name: str = ""


class UsedServer(Answer):
    """A security server that a subsystem is registered at."""

    encoded_id: str = ""

    @property
    def identity(self) -> str:
        """`INSTANCE:CLASS:CODE:SERVER`."""
        return self.encoded_id.removeprefix("SERVER:")


class Subsystem(Answer):
    """A subsystem as the central server knows it."""

    subsystem_id: ClientId
    subsystem_name: str | None = None
    used_security_servers: tuple[UsedServer, ...] = ()


class CertificateDetails(Answer):
    """Facts of a certificate; the hash is hexadecimal SHA-256 of its DER form."""

    hash: str
    subject_distinguished_name: str = ""


class CertificationServiceSummary(Answer):
    """A certification service as listed."""

    id: int
    name: str = ""


class CertificationService(Answer):
    """An approved certification authority with its settings."""

    id: int
    certificate_profile_info: str
    tls_auth: bool
    default_csr_format: str = "PEM"


class IntermediateCa(Answer):
    """A CA between the service's certificate and the certificates that it issues."""

    id: int
    ca_certificate: CertificateDetails


class OcspResponder(Answer):
    """Where a CA's certificate status is asked for."""

    id: int
    url: str
    has_certificate: bool = False


class GlobalGroup(Answer):
    """A group of members and subsystems of the instance."""

    code: str
    description: str


class ConfigurationPart(Answer):
    """An optional part of the global configuration. One that nobody uploaded has no time."""

    content_identifier: str
    file_name: str
    file_updated_at: str | None = None
    version: int = 0


class TimestampingService(Answer):
    """An approved time-stamping authority."""

    id: int
    url: str
    cost_type: str = "UNDEFINED"
    certificate: CertificateDetails


class ServerIdentifier(Answer):
    """A security server's identifier in parts."""

    instance_id: str
    member_class: str
    member_code: str
    server_code: str

    def __str__(self) -> str:
        return f"{self.instance_id}:{self.member_class}:{self.member_code}:{self.server_code}"


class SecurityServer(Answer):
    """A security server that the central server has registered."""

    server_id: ServerIdentifier
    server_address: str


class ManagementServices(Answer):
    """Who offers the management services, and where they are."""

    service_provider_id: str | None = None
    security_server_id: str = ""
    services_address: str = ""
    wsdl_address: str = ""


class ManagementRequest(Answer):
    """A request that a security server made, or one that the central server added."""

    id: int
    type: str
    origin: str
    status: str = ""
    security_server_id: ServerIdentifier
    address: str | None = None
    client_id: ClientId | None = None


class ManagementRequestDetails(ManagementRequest):
    """A management request with the certificate that it is about."""

    certificate_details: CertificateDetails | None = None


class Anchor(Answer):
    """Facts of a configuration anchor."""

    hash: str


class CentralServerApi:
    """Calls to one central server. Names follow the operations of the API."""

    def __init__(self, connection: AdminConnection) -> None:
        self.connection = connection

    async def version(self) -> Version:
        """The software's version."""
        return Version.model_validate(await self.connection.get("/system/version"))

    async def initialization(self) -> Initialization:
        """How far initialisation went."""
        return Initialization.model_validate(await self.connection.get("/initialization/status"))

    async def initialize(self, instance: str, address: str, pin: str) -> None:
        """Set what isn't set yet; the server refuses a change of what is."""
        body = {
            "instance_identifier": instance,
            "central_server_address": address,
            "software_token_pin": pin,
        }
        await self.connection.send("POST", "/initialization", body)

    async def change_address(self, address: str) -> None:
        """Change the name under which security servers reach the central server."""
        await self.connection.send("PUT", "/system/server-address", {"central_server_address": address})

    async def tokens(self) -> list[Token]:
        """Tokens with their configuration signing keys."""
        return [Token.model_validate(item) for item in await self.connection.get("/tokens")]

    async def log_in(self, token: str, pin: str) -> None:
        """Open a token. A wrong PIN counts towards its locking."""
        await self.connection.send("PUT", f"/tokens/{token}/login", {"password": pin})

    async def add_signing_key(self, source: Source, label: str, token: str) -> None:
        """Make a signing key. Has no natural key: look at the tokens first (at most two a source)."""
        body = {"key_label": label, "token_id": token}
        await self.connection.send("POST", f"/configuration-sources/{source}/signing-keys", body)

    async def anchor(self, source: Source) -> Anchor | None:
        """Facts of a source's anchor; None before there is one."""
        answer = await self.connection.get(f"/configuration-sources/{source}/anchor")
        return Anchor.model_validate(answer["anchor"]) if answer.get("anchor") else None

    async def download_anchor(self, source: Source) -> bytes:
        """A source's anchor as XML."""
        return await self.connection.download(f"/configuration-sources/{source}/anchor/download")

    async def member_classes(self) -> list[MemberClass]:
        """All member classes."""
        return [MemberClass.model_validate(item) for item in await self.connection.get("/member-classes")]

    async def add_member_class(self, code: str, description: str) -> None:
        """Add a member class."""
        await self.connection.send("POST", "/member-classes", {"code": code, "description": description})

    async def describe_member_class(self, code: str, description: str) -> None:
        """Change a member class' description."""
        await self.connection.send("PATCH", f"/member-classes/{code}", {"description": description})

    async def delete_member_class(self, code: str) -> None:
        """Remove a member class that no member belongs to."""
        await self.connection.send("DELETE", f"/member-classes/{code}")

    async def clients(self, **filters: str) -> list[Client]:
        """All members and subsystems that match every filter."""
        return [Client.model_validate(item) async for item in self._pages("/clients", "clients", **filters)]

    async def member(self, member: MemberId) -> Client:
        """A member; ApiError 404 if there is none."""
        return Client.model_validate(await self.connection.get(f"/members/{member}"))

    async def add_member(self, member_class: str, code: str, name: str) -> None:
        """Add a member."""
        body = {"member_id": {"member_class": member_class, "member_code": code}, "member_name": name}
        await self.connection.send("POST", "/members", body)

    async def rename_member(self, member: MemberId, name: str) -> None:
        """Change a member's name."""
        await self.connection.send("PATCH", f"/members/{member}", {"member_name": name})

    async def delete_member(self, member: MemberId) -> None:
        """Remove a member with its subsystems and servers."""
        await self.connection.send("DELETE", f"/members/{member}")

    async def subsystems(self, member: MemberId) -> list[Subsystem]:
        """A member's subsystems; ApiError 404 if there is no such member."""
        answer = await self.connection.get(f"/members/{member}/subsystems")
        return [Subsystem.model_validate(item) for item in answer]

    async def add_subsystem(self, subsystem: SubsystemId, name: str) -> None:
        """Add a subsystem."""
        body = {
            "subsystem_id": {
                "member_class": subsystem.member_class,
                "member_code": subsystem.member,
                "subsystem_code": subsystem.code,
            },
            "subsystem_name": name,
        }
        await self.connection.send("POST", "/subsystems", body)

    async def rename_subsystem(self, subsystem: SubsystemId, name: str) -> None:
        """Change a subsystem's name."""
        await self.connection.send("PATCH", f"/subsystems/{subsystem}", {"subsystem_name": name})

    async def delete_subsystem(self, subsystem: SubsystemId) -> None:
        """Remove a subsystem that no security server has registered."""
        await self.connection.send("DELETE", f"/subsystems/{subsystem}")

    async def unregister_subsystem(self, subsystem: SubsystemId, server: ServerId) -> None:
        """End a subsystem's registration at a security server from the central side."""
        await self.connection.send("DELETE", f"/subsystems/{subsystem}/servers/{server}")

    async def global_groups(self) -> list[GlobalGroup]:
        """All global groups, the security servers' owners' included."""
        return [GlobalGroup.model_validate(item) for item in await self.connection.get("/global-groups")]

    async def add_global_group(self, code: str, description: str) -> None:
        """Add a global group without members."""
        await self.connection.send("POST", "/global-groups", {"code": code, "description": description})

    async def describe_global_group(self, code: str, description: str) -> None:
        """Change a global group's description."""
        await self.connection.send("PATCH", f"/global-groups/{code}", {"description": description})

    async def delete_global_group(self, code: str) -> None:
        """Remove a global group. Rights that it has at security servers mean nobody then."""
        await self.connection.send("DELETE", f"/global-groups/{code}")

    async def group_members(self, code: str) -> set[str]:
        """Members and subsystems in a global group.

        The list itself is a POST request; who isn't in the group can be asked with GET.
        """
        everybody = {str(item.client_id) for item in await self.clients()}
        return everybody - {str(item.client_id) for item in await self.clients(excluding_group=code)}

    async def add_group_members(self, code: str, members: Iterable[str]) -> None:
        """Take members and subsystems into a global group; those inside already stay."""
        await self.connection.send("POST", f"/global-groups/{code}/members/add", {"items": list(members)})

    async def delete_group_member(self, code: str, member: str) -> None:
        """Take a member or subsystem out of a global group."""
        await self.connection.send("DELETE", f"/global-groups/{code}/members/{member}")

    async def configuration_parts(self, source: Source) -> list[ConfigurationPart]:
        """Parts of a configuration: those of every instance, and the optional ones."""
        answer = await self.connection.get(f"/configuration-sources/{source}/configuration-parts")
        return [ConfigurationPart.model_validate(item) for item in answer]

    async def download_configuration_part(self, source: Source, part: ConfigurationPart) -> bytes:
        """A part as it was uploaded."""
        path = f"/configuration-sources/{source}/configuration-parts/{part.content_identifier}/{part.version}"
        return await self.connection.download(f"{path}/download")

    async def upload_configuration_part(self, source: Source, part: str, file: str, content: bytes) -> None:
        """Upload a part; the next generation has it. It can't be removed again."""
        path = f"/configuration-sources/{source}/configuration-parts"
        parts = [("content_identifier", (None, part)), ("file", (file, content, "application/octet-stream"))]
        await self.connection.request("POST", path, files=parts)

    async def certification_services(self) -> list[CertificationServiceSummary]:
        """All certification services."""
        answer = await self.connection.get("/certification-services")
        return [CertificationServiceSummary.model_validate(item) for item in answer]

    async def certification_service(self, service: int) -> CertificationService:
        """One certification service with its settings."""
        answer = await self.connection.get(f"/certification-services/{service}")
        return CertificationService.model_validate(answer)

    async def certification_service_certificate(self, service: int) -> CertificateDetails:
        """The certificate of a certification service."""
        answer = await self.connection.get(f"/certification-services/{service}/certificate")
        return CertificateDetails.model_validate(answer)

    async def add_certification_service(
        self, certificate: bytes, profile: str, *, tls_only: bool, csr_format: str
    ) -> CertificationService:
        """Approve a CA. A second call adds a second identical one: compare certificates first."""
        fields = {
            "certificate_profile_info": profile,
            "tls_auth": str(tls_only).lower(),
            "default_csr_format": csr_format,
        }
        answer = await self.connection.submit("/certification-services", fields, certificate)
        return CertificationService.model_validate(answer)

    async def change_certification_service(
        self, service: int, profile: str, *, tls_only: bool, csr_format: str
    ) -> None:
        """Change settings; the certificate itself can't be changed."""
        body = {
            "certificate_profile_info": profile,
            "tls_auth": str(tls_only).lower(),
            "default_csr_format": csr_format,
        }
        await self.connection.send("PATCH", f"/certification-services/{service}", body)

    async def delete_certification_service(self, service: int) -> None:
        """Withdraw the approval of a CA: its certificates aren't valid in this instance any more."""
        await self.connection.send("DELETE", f"/certification-services/{service}")

    async def intermediate_cas(self, service: int) -> list[IntermediateCa]:
        """CAs below a certification service; none if there is no such service."""
        try:
            answer = await self.connection.get(f"/certification-services/{service}/intermediate-cas")
        except ApiError as error:
            if error.status == 404:
                return []
            raise
        return [IntermediateCa.model_validate(item) for item in answer]

    async def add_intermediate_ca(self, service: int, certificate: bytes) -> IntermediateCa:
        """Name a CA between a certification service and its certificates. Isn't compared: look first."""
        path = f"/certification-services/{service}/intermediate-cas"
        return IntermediateCa.model_validate(await self.connection.submit(path, {}, certificate))

    async def delete_intermediate_ca(self, authority: int) -> None:
        """Don't accept certificates of an intermediate CA any more."""
        await self.connection.send("DELETE", f"/intermediate-cas/{authority}")

    async def intermediate_responders(self, authority: int) -> list[OcspResponder]:
        """OCSP responders of an intermediate CA."""
        answer = await self.connection.get(f"/intermediate-cas/{authority}/ocsp-responders")
        return [OcspResponder.model_validate(item) for item in answer]

    async def add_intermediate_responder(self, authority: int, url: str) -> None:
        """Add an OCSP responder of an intermediate CA."""
        fields = {"url": url, "cost_type": "FREE"}
        await self.connection.submit(f"/intermediate-cas/{authority}/ocsp-responders", fields, None)

    async def delete_intermediate_responder(self, authority: int, responder: int) -> None:
        """Remove an OCSP responder of an intermediate CA."""
        await self.connection.send("DELETE", f"/intermediate-cas/{authority}/ocsp-responders/{responder}")

    async def ocsp_responders(self, service: int) -> list[OcspResponder]:
        """OCSP responders of a certification service."""
        answer = await self.connection.get(f"/certification-services/{service}/ocsp-responders")
        return [OcspResponder.model_validate(item) for item in answer]

    async def add_ocsp_responder(self, service: int, url: str, certificate: bytes | None) -> None:
        """Add an OCSP responder; without a certificate it must be the CA's own or issued by it."""
        fields = {"url": url, "cost_type": "FREE"}
        await self.connection.submit(f"/certification-services/{service}/ocsp-responders", fields, certificate)

    async def delete_ocsp_responder(self, responder: int) -> None:
        """Remove an OCSP responder."""
        await self.connection.send("DELETE", f"/ocsp-responders/{responder}")

    async def timestamping_services(self) -> list[TimestampingService]:
        """All approved time-stamping services."""
        answer = await self.connection.get("/timestamping-services")
        return [TimestampingService.model_validate(item) for item in answer]

    async def add_timestamping_service(self, url: str, certificate: bytes, cost: str) -> TimestampingService:
        """Approve a time-stamping service. Servers verify time stamps against this certificate."""
        fields = {"url": url, "cost_type": cost}
        answer = await self.connection.submit("/timestamping-services", fields, certificate)
        return TimestampingService.model_validate(answer)

    async def delete_timestamping_service(self, service: int) -> None:
        """Withdraw the approval of a time-stamping service."""
        await self.connection.send("DELETE", f"/timestamping-services/{service}")

    async def management_services(self) -> ManagementServices:
        """Who offers the management services."""
        answer = await self.connection.get("/management-services-configuration")
        return ManagementServices.model_validate(answer)

    async def set_management_provider(self, provider: SubsystemId) -> None:
        """Name the subsystem that offers the management services."""
        body = {"service_provider_id": str(provider)}
        await self.connection.send("PATCH", "/management-services-configuration", body)

    async def register_management_provider(self, server: ServerId) -> None:
        """Register the providing subsystem at a security server. Works only once."""
        path = "/management-services-configuration/register-provider"
        await self.connection.send("POST", path, {"security_server_id": str(server)})

    async def security_servers(self) -> list[SecurityServer]:
        """All registered security servers."""
        return [SecurityServer.model_validate(item) async for item in self._pages("/security-servers", "items")]

    async def security_server(self, server: ServerId) -> SecurityServer:
        """A registered security server; ApiError 404 if there is none."""
        return SecurityServer.model_validate(await self.connection.get(f"/security-servers/{server}"))

    async def change_security_server_address(self, server: ServerId, address: str) -> None:
        """Change the address under which other servers reach a security server."""
        await self.connection.send("PATCH", f"/security-servers/{server}", {"server_address": address})

    async def authentication_certificates(self, server: ServerId) -> list[CertificateDetails]:
        """Authentication certificates that are registered to a security server."""
        answer = await self.connection.get(f"/security-servers/{server}/authentication-certificates")
        return [CertificateDetails.model_validate(item) for item in answer]

    async def security_server_clients(self, server: ServerId) -> list[Client]:
        """Members and subsystems that are registered at a security server."""
        answer = await self.connection.get(f"/security-servers/{server}/clients")
        return [Client.model_validate(item) for item in answer]

    async def delete_security_server(self, server: ServerId) -> None:
        """Remove a security server with its certificates and registrations."""
        await self.connection.send("DELETE", f"/security-servers/{server}")

    async def waiting_requests(self, server: ServerId | None = None) -> AsyncIterator[ManagementRequest]:
        """Requests that wait for approval, newest first: of one security server, or of all."""
        filters = {"sort": "id", "desc": "true", "status": "WAITING"}
        if server is not None:
            filters["server_id"] = str(server)
        async for item in self._pages("/management-requests", "items", **filters):
            request = ManagementRequest.model_validate(item)
            if server is None or str(request.security_server_id) == str(server):
                yield request

    async def management_request(self, request: int) -> ManagementRequestDetails:
        """One management request with its certificate."""
        answer = await self.connection.get(f"/management-requests/{request}")
        return ManagementRequestDetails.model_validate(answer)

    async def approve(self, request: int) -> None:
        """Approve a waiting request."""
        await self.connection.send("POST", f"/management-requests/{request}/approval")

    async def _pages(self, path: str, key: str, **filters: str) -> AsyncIterator[Any]:
        """Items of a list that comes in pages. `offset` counts pages."""
        page = seen = 0
        while True:
            answer = await self.connection.get(path, limit=_PAGE, offset=page, **filters)
            for item in answer[key]:
                yield item
            page += 1
            seen += len(answer[key])
            if not answer[key] or seen >= answer["paging_metadata"]["total_items"]:
                return
