"""What a central server keeps."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from xroad_simulator.identifiers import ClientId, ServerId
from xroad_simulator.software_token import KeyAlgorithm
from xroad_simulator.store import Record

OWNERS_GROUP = "security-server-owners"
"""The global group of all owners of security servers; the central server keeps it itself."""


class Source(StrEnum):
    """Who a configuration is for."""

    INTERNAL = "INTERNAL"
    """The instance's own security servers."""
    EXTERNAL = "EXTERNAL"
    """Other instances that federate with this one."""


class Identity(Record):
    """Name of the instance and address of its central server."""

    KIND: ClassVar[str] = "identity"
    instance: str | None = None
    address: str | None = None

    @property
    def key(self) -> str:
        """There is one."""
        return "identity"


class MemberClassRecord(Record):
    """A kind of member."""

    KIND: ClassVar[str] = "member_class"
    code: str
    description: str

    @property
    def key(self) -> str:
        """The class code."""
        return self.code


class MemberRecord(Record):
    """A member."""

    KIND: ClassVar[str] = "member"
    member_class: str
    code: str
    name: str

    @property
    def key(self) -> str:
        """Class and code."""
        return f"{self.member_class}:{self.code}"


class SubsystemRecord(Record):
    """A subsystem of a member."""

    KIND: ClassVar[str] = "subsystem"
    member_class: str
    member_code: str
    code: str
    name: str | None = None

    @property
    def key(self) -> str:
        """Class, member and code."""
        return f"{self.member_class}:{self.member_code}:{self.code}"


class GroupMember(Record):
    """A client's place in a global group."""

    KIND: ClassVar[str] = "group_member"
    id: int
    group: str
    client: str
    created_at: datetime

    @property
    def key(self) -> str:
        """Group and client."""
        return f"{self.group}:{self.client}"


class GlobalGroupRecord(Record):
    """A group of clients of the whole instance."""

    KIND: ClassVar[str] = "global_group"
    code: str
    description: str
    created_at: datetime
    updated_at: datetime

    @property
    def key(self) -> str:
        """The group's code."""
        return self.code


class SigningKeyRecord(Record):
    """A key that signs a configuration; the key itself lies in the token."""

    KIND: ClassVar[str] = "signing_key"
    id: str
    source: Source
    label: str
    algorithm: KeyAlgorithm
    certificate: str
    active: bool
    created_at: datetime

    @property
    def key(self) -> str:
        """Source, time, and identifier: keys list in the order in which they were made."""
        return f"{self.source}:{self.created_at.isoformat()}:{self.id}"


class AnchorRecord(Record):
    """The anchor of a source as it was made last."""

    KIND: ClassVar[str] = "anchor"
    source: Source
    content: str
    created_at: datetime

    @property
    def key(self) -> str:
        """The source."""
        return self.source.value


class PartRecord(Record):
    """A file of the configuration: generated in every format, or uploaded (version 0)."""

    KIND: ClassVar[str] = "part"
    identifier: str
    version: int
    file_name: str
    location: str
    """Where the web server has it; empty for an uploaded one, which every format has at its own place."""
    content: str
    updated_at: datetime

    @property
    def key(self) -> str:
        """Format and content identifier."""
        return f"{self.version}:{self.identifier}"


class GenerationRecord(Record):
    """The signed directory of a source as it was generated last: what the web server serves."""

    KIND: ClassVar[str] = "generation"
    source: Source
    version: int
    document: str
    generated_at: datetime
    expires: datetime

    @property
    def key(self) -> str:
        """Source and format."""
        return f"{self.source}:{self.version}"


class CertificationServiceRecord(Record):
    """An approved CA and its settings."""

    KIND: ClassVar[str] = "certification_service"
    id: int
    certificate: str
    certificate_profile_info: str
    tls_auth: bool
    default_csr_format: str
    acme_server_directory_url: str | None = None
    acme_server_ip_address: str | None = None
    authentication_certificate_profile_id: str | None = None
    signing_certificate_profile_id: str | None = None

    @property
    def key(self) -> str:
        """The number."""
        return f"{self.id:08d}"


class IntermediateRecord(Record):
    """A CA below an approved one."""

    KIND: ClassVar[str] = "intermediate_ca"
    id: int
    service: int
    certificate: str

    @property
    def key(self) -> str:
        """The number."""
        return f"{self.id:08d}"


class ResponderRecord(Record):
    """An OCSP responder of an approved CA, or of one below it."""

    KIND: ClassVar[str] = "ocsp_responder"
    id: int
    service: int | None = None
    intermediate: int | None = None
    url: str
    cost_type: str
    certificate: str | None

    @property
    def key(self) -> str:
        """The number."""
        return f"{self.id:08d}"


class TimestampingServiceRecord(Record):
    """An approved time-stamping authority."""

    KIND: ClassVar[str] = "timestamping_service"
    id: int
    url: str
    cost_type: str
    certificate: str

    @property
    def key(self) -> str:
        """The number."""
        return f"{self.id:08d}"


class ServerRecord(Record):
    """A registered security server."""

    KIND: ClassVar[str] = "security_server"
    member_class: str
    member_code: str
    code: str
    address: str
    in_maintenance: bool = False
    maintenance_message: str | None = None
    created_at: datetime
    updated_at: datetime

    @property
    def key(self) -> str:
        """Owner and code."""
        return f"{self.member_class}:{self.member_code}:{self.code}"

    def identifier(self, instance: str) -> ServerId:
        """The server's identifier in its instance."""
        return ServerId(instance, self.member_class, self.member_code, self.code)


class AuthenticationCertificateRecord(Record):
    """An authentication certificate that is registered to a server."""

    KIND: ClassVar[str] = "authentication_certificate"
    id: int
    server: str
    certificate: str

    @property
    def key(self) -> str:
        """Server and number."""
        return f"{self.server}:{self.id:08d}"


class ServerClientRecord(Record):
    """A client that is registered to a server. The owner is one without this record."""

    KIND: ClassVar[str] = "server_client"
    server: str
    client: str
    """Without the instance."""
    enabled: bool = True
    """A disabled client isn't in the configuration, but its registration stays."""

    @property
    def key(self) -> str:
        """Server and client."""
        return f"{self.server}|{self.client}"


class ManagementSettings(Record):
    """Which subsystem offers the management services."""

    KIND: ClassVar[str] = "management_settings"
    provider: str | None = None

    @property
    def key(self) -> str:
        """There is one."""
        return "management"


class RequestType(StrEnum):
    """What a management request asks for."""

    AUTH_CERT_REGISTRATION = "AUTH_CERT_REGISTRATION_REQUEST"
    AUTH_CERT_DELETION = "AUTH_CERT_DELETION_REQUEST"
    CLIENT_REGISTRATION = "CLIENT_REGISTRATION_REQUEST"
    CLIENT_DELETION = "CLIENT_DELETION_REQUEST"
    CLIENT_DISABLE = "CLIENT_DISABLE_REQUEST"
    CLIENT_ENABLE = "CLIENT_ENABLE_REQUEST"
    CLIENT_RENAME = "CLIENT_RENAME_REQUEST"
    OWNER_CHANGE = "OWNER_CHANGE_REQUEST"
    ADDRESS_CHANGE = "ADDRESS_CHANGE_REQUEST"
    MAINTENANCE_MODE_ENABLE = "MAINTENANCE_MODE_ENABLE_REQUEST"
    MAINTENANCE_MODE_DISABLE = "MAINTENANCE_MODE_DISABLE_REQUEST"


class RequestOrigin(StrEnum):
    """Who made a management request."""

    CENTER = "CENTER"
    SECURITY_SERVER = "SECURITY_SERVER"


class RequestStatus(StrEnum):
    """Where a management request stands."""

    WAITING = "WAITING"
    """For the complementary request or an approval."""
    SUBMITTED = "SUBMITTED FOR APPROVAL"
    """Both halves are there."""
    APPROVED = "APPROVED"
    DECLINED = "DECLINED"
    """By the central server. Not `REVOKED`: that is by whoever made it."""
    REVOKED = "REVOKED"


class RequestRecord(Record):
    """A management request."""

    KIND: ClassVar[str] = "management_request"
    id: int
    type: RequestType
    origin: RequestOrigin
    status: RequestStatus
    server: str
    """Full identifier of the security server."""
    client: str | None = None
    """Full identifier, for requests about clients."""
    address: str | None = None
    certificate: str | None = None
    subsystem_name: str | None = None
    comments: str | None = None
    """What was there before, or why the server is in maintenance."""
    created_at: datetime
    updated_at: datetime

    @property
    def key(self) -> str:
        """The number."""
        return f"{self.id:08d}"

    @property
    def server_id(self) -> ServerId:
        """The server that the request is about."""
        return ServerId.parse(self.server)

    @property
    def client_id(self) -> ClientId | None:
        """The client that the request is about."""
        return None if self.client is None else ClientId.parse(self.client)
