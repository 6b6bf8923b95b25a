"""What a security server keeps."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from xroad_simulator.identifiers import ClientId, ServiceId
from xroad_simulator.store import Record

BASE_METHOD, BASE_PATH = "*", "**"
"""The endpoint that stands for a whole service."""


class ServerIdentity(Record):
    """Owner and code of the server, as far as they have been set."""

    KIND: ClassVar[str] = "identity"
    owner_class: str | None = None
    owner_code: str | None = None
    server_code: str | None = None

    @property
    def key(self) -> str:
        """There is one."""
        return "identity"


class AnchorRecord(Record):
    """The imported configuration anchor."""

    KIND: ClassVar[str] = "anchor"
    content: str

    @property
    def key(self) -> str:
        """There is one."""
        return "anchor"


class ConfigurationRecord(Record):
    """The last configuration that was fetched and verified."""

    KIND: ClassVar[str] = "configuration"
    shared: str
    private: str
    """Both as they were fetched, in base64."""
    expires: datetime
    fetched_at: datetime
    url: str

    @property
    def key(self) -> str:
        """There is one."""
        return "configuration"


class Usage(StrEnum):
    """What a key is for. Keys of one use never serve the other."""

    AUTHENTICATION = "AUTHENTICATION"
    SIGNING = "SIGNING"


class CsrRecord(Record):
    """A certificate signing request that waits for its certificate."""

    KIND: ClassVar[str] = "csr"
    id: str
    key_id: str
    usage: Usage
    owner: str
    """The member that the certificate will name."""
    profile: str
    request: str

    @property
    def key(self) -> str:
        """Key and request."""
        return f"{self.key_id}:{self.id}"


class CertificateStatus(StrEnum):
    """Where an authentication certificate stands at the central server."""

    SAVED = "SAVED"
    REGISTRATION_IN_PROGRESS = "REGISTRATION_IN_PROGRESS"
    REGISTERED = "REGISTERED"
    """Also every imported signing certificate: those aren't registered one by one."""
    DELETION_IN_PROGRESS = "DELETION_IN_PROGRESS"
    GLOBAL_ERROR = "GLOBAL_ERROR"


class CertificateRecord(Record):
    """An imported certificate of one of the token's keys."""

    KIND: ClassVar[str] = "certificate"
    hash: str
    key_id: str
    usage: Usage
    owner: str
    certificate: str
    status: CertificateStatus
    active: bool
    activation_problem: str | None = None
    """Why its status kept it from being activated."""

    @property
    def key(self) -> str:
        """The certificate's hash."""
        return self.hash


class ClientStatus(StrEnum):
    """Where a client stands at the central server."""

    SAVED = "SAVED"
    REGISTRATION_IN_PROGRESS = "REGISTRATION_IN_PROGRESS"
    REGISTERED = "REGISTERED"
    DELETION_IN_PROGRESS = "DELETION_IN_PROGRESS"
    DISABLING_IN_PROGRESS = "DISABLING_IN_PROGRESS"
    DISABLED = "DISABLED"
    ENABLING_IN_PROGRESS = "ENABLING_IN_PROGRESS"
    GLOBAL_ERROR = "GLOBAL_ERROR"


class ConnectionType(StrEnum):
    """How a client's information system must connect."""

    HTTP = "HTTP"
    HTTPS = "HTTPS"
    """With a certificate that the client's list names."""
    HTTPS_NO_AUTH = "HTTPS_NO_AUTH"
    """TLS, but the information system shows no certificate."""


class ClientRecord(Record):
    """A member or subsystem that the server represents."""

    KIND: ClassVar[str] = "client"
    id: str
    status: ClientStatus
    connection_type: ConnectionType

    @property
    def key(self) -> str:
        """The full identifier."""
        return self.id

    @property
    def client(self) -> ClientId:
        """The identifier's parts."""
        return ClientId.parse(self.id)


class TlsCertificateRecord(Record):
    """A TLS certificate of a client's information system."""

    KIND: ClassVar[str] = "tls_certificate"
    client: str
    hash: str
    certificate: str

    @property
    def key(self) -> str:
        """Client and hash."""
        return f"{self.client}|{self.hash}"


class ServiceType(StrEnum):
    """How a service is described."""

    WSDL = "WSDL"
    REST = "REST"
    OPENAPI3 = "OPENAPI3"


class DescriptionRecord(Record):
    """A service description; its services are records of their own."""

    KIND: ClassVar[str] = "service_description"
    id: int
    client: str
    url: str
    type: ServiceType
    disabled: bool
    disabled_notice: str
    refreshed_at: datetime

    @property
    def key(self) -> str:
        """The number."""
        return f"{self.id:08d}"


class ServiceRecord(Record):
    """A service of a client."""

    KIND: ClassVar[str] = "service"
    client: str
    code: str
    description: int
    url: str
    timeout_seconds: int
    verify_tls: bool
    title: str | None = None

    @property
    def key(self) -> str:
        """Client and code."""
        return f"{self.client}|{self.code}"

    @property
    def id(self) -> ServiceId:
        """The full identifier."""
        return ServiceId(ClientId.parse(self.client), self.code)


class EndpointRecord(Record):
    """A method and path of a service, or the whole of it."""

    KIND: ClassVar[str] = "endpoint"
    id: int
    client: str
    service: str
    method: str
    path: str
    generated: bool

    @property
    def key(self) -> str:
        """The number."""
        return f"{self.id:08d}"

    @property
    def is_base(self) -> bool:
        """Whether it stands for the whole service."""
        return (self.method, self.path) == (BASE_METHOD, BASE_PATH)


class SubjectType(StrEnum):
    """Who a right is given to."""

    SUBSYSTEM = "SUBSYSTEM"
    GLOBALGROUP = "GLOBALGROUP"
    LOCALGROUP = "LOCALGROUP"


class AccessRightRecord(Record):
    """A right of one subject to one endpoint."""

    KIND: ClassVar[str] = "access_right"
    client: str
    endpoint: int
    subject: str
    """Subsystem, `INST:group`, or the number of a local group."""
    subject_type: SubjectType
    given_at: datetime

    @property
    def key(self) -> str:
        """Endpoint and subject."""
        return f"{self.endpoint:08d}|{self.subject}"


class LocalGroupRecord(Record):
    """A group that one client keeps of others."""

    KIND: ClassVar[str] = "local_group"
    id: int
    client: str
    code: str
    description: str
    updated_at: datetime

    @property
    def key(self) -> str:
        """The number."""
        return f"{self.id:08d}"


class LocalGroupMemberRecord(Record):
    """A subsystem's place in a local group."""

    KIND: ClassVar[str] = "local_group_member"
    group: int
    client: str
    added_at: datetime

    @property
    def key(self) -> str:
        """Group and client."""
        return f"{self.group:08d}|{self.client}"


class TimestampingRecord(Record):
    """A time-stamping service that the server was told to use."""

    KIND: ClassVar[str] = "timestamping"
    name: str
    url: str
    cost_type: str

    @property
    def key(self) -> str:
        """Name and address."""
        return f"{self.name}|{self.url}"
