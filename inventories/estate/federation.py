"""The X-Road federation: members, subsystems, security servers, services, access rights.

Terms and identifiers follow X-Road's architecture (arc-g) and its REST message protocol (pr-rest).
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from pydantic import Field

from estate.approval import Approvals
from estate.endpoints import ServiceEndpoint
from estate.exchange import Cluster, ConfigurationProxy, Kept, LocalIni, Memory, RemoteDatabase, ServerSettings
from estate.groups import Group, SubsystemText
from estate.types import Certificate, DomainName, IdentifierCode, Model, Name, Seconds, Version


class Distribution(StrEnum):
    """Whose packages the exchange hosts run."""

    NIIS = "niis"
    """X-Road, from a repository that the estate names."""
    SIMULATOR = "simulator"
    """Test equipment of this repository. Never in production."""


class OperatingSystem(StrEnum):
    """Systems that X-Road 7.8 supports (ig-cs, ig-ss)."""

    UBUNTU_22_04 = "ubuntu-22.04"
    UBUNTU_24_04 = "ubuntu-24.04"
    RHEL_8 = "rhel-8"
    RHEL_9 = "rhel-9"
    DEBIAN_13 = "debian-13"
    """For the simulator only: X-Road has no Debian packages."""


class ServiceType(StrEnum):
    """How a service is described to the security server."""

    OPENAPI3 = "OPENAPI3"
    REST = "REST"


class Connection(StrEnum):
    """How a subsystem's information systems connect to their security server (ug-ss, connection types)."""

    HTTP = "HTTP"
    HTTPS = "HTTPS"
    """With a certificate of their own. Not merely encrypted: that is HTTPS_NO_AUTH."""
    HTTPS_NO_AUTH = "HTTPS_NO_AUTH"


class MemberClass(Model):
    """A kind of member, such as government bodies."""

    code: IdentifierCode
    description: str = Field(min_length=1)


class Service(Model):
    """A service that a subsystem offers; the sector system behind it gives its address."""

    code: IdentifierCode
    type: ServiceType = ServiceType.REST
    sector: Name
    url: str | None = Field(default=None, pattern=r"^https?://[^/\s]+(/\S*)?$", max_length=255)
    """Where it is, if it isn't where the sector system is."""
    timeout: Seconds = Field(default=60, le=1000)
    """How long the security server waits for an answer."""
    verify_tls: bool = True
    """Whether the certificate of an HTTPS service is verified."""
    endpoints: tuple[ServiceEndpoint, ...] = ()
    """What a right can be narrowed to."""


class Subsystem(Model):
    """A member's information system, the unit of access rights."""

    code: IdentifierCode
    name: str = Field(min_length=1)
    security_server: Name | tuple[Name, ...]
    """The host that represents it; several, if messages shall go on when one fails. All offer the same."""
    connection: Connection = Connection.HTTPS
    certificates: tuple[Certificate, ...] = ()
    """What its information systems show to their security server (PEM), for connection HTTPS."""
    services: tuple[Service, ...] = ()
    local_groups: tuple[Group, ...] = ()
    """Groups that rights to its own services can be given to."""

    @property
    def security_servers(self) -> tuple[Name, ...]:
        """The hosts that represent it."""
        return (self.security_server,) if isinstance(self.security_server, str) else self.security_server


class Member(Model):
    """An organisation of the federation."""

    member_class: IdentifierCode
    code: IdentifierCode
    name: str = Field(min_length=1)
    subsystems: tuple[Subsystem, ...] = Field(min_length=1)


class SecurityServer(Model):
    """A security server's identity: the host it runs on, its owner, its code."""

    host: Name
    owner: IdentifierCode
    """A member code of the management member class' federation."""
    code: IdentifierCode
    operating_system: OperatingSystem | None = None
    """None: the federation's."""
    memory: Memory = "d"
    settings: LocalIni = Field(default_factory=dict)
    database: RemoteDatabase | None = None
    """None: on the host itself."""
    cluster: Cluster | None = None

    @property
    def nodes(self) -> tuple[str, ...]:
        """Its hosts, the primary first."""
        return (self.host, *(self.cluster.secondaries if self.cluster else ()))


class SubsystemId(NamedTuple):
    """`CLASS/MEMBER/SUBSYSTEM`, within the instance of the estate."""

    member_class: str
    member: str
    subsystem: str

    @classmethod
    def parse(cls, text: str) -> SubsystemId:
        """Read `CLASS/MEMBER/SUBSYSTEM`; ValueError if it has another shape."""
        parts = text.split("/")
        if len(parts) != 3 or not all(parts):
            raise ValueError(f"'{text}' isn't CLASS/MEMBER/SUBSYSTEM")
        return cls(*parts)

    def __str__(self) -> str:
        return "/".join(self)


GLOBAL_GROUP, LOCAL_GROUP = "global-group/", "local-group/"
"""How a right's client begins if it is a group."""


class AccessRight(Model):
    """Permission for a client subsystem, or a group of them, to call services of a provider subsystem."""

    client: str = Field(pattern=r"^([^/]+/[^/]+/[^/]+|(global|local)-group/[^/]+)$")
    """`CLASS/MEMBER/SUBSYSTEM`, `global-group/CODE`, or `local-group/CODE` of the provider."""
    provider: SubsystemText
    services: tuple[IdentifierCode, ...] = Field(min_length=1)
    endpoints: tuple[ServiceEndpoint, ...] = ()
    """Narrows the right to these endpoints of its one service."""
    reason: str = Field(min_length=1)
    """The legal or administrative ground, for auditors."""


class Management(Model):
    """Which subsystem offers the central server's management services, and where."""

    provider: SubsystemText
    security_server: Name


class ConfigurationParts(Model):
    """Optional parts of the global configuration. One that isn't set isn't uploaded; none can be taken back."""

    monitoring_client: SubsystemText | None = None
    """Who may ask every security server for its environmental monitoring data."""
    ocsp_fetch_interval: Seconds | None = None
    """How often security servers ask for their certificates' status (X-Road: 1200 s)."""
    verify_next_update: bool | None = None
    """Whether an OCSP answer is refused after its `nextUpdate` (X-Road: yes)."""


class PackageRepository(Model):
    """Where X-Road's packages come from: an internal mirror in production."""

    url: str = Field(pattern=r"^https://")
    """Of the Debian packages. The suite is `<codename>-<version>`, so that no other version can come."""
    component: str = "main"
    rpm_url: str | None = Field(default=None, pattern=r"^https://")
    """Of the RPM packages, above the folders `rhel/8` and `rhel/9`; for security servers on RHEL only."""
    key_fingerprint: str = Field(pattern=r"^[0-9A-F]{40}$")


class Federation(Model):
    """One X-Road instance."""

    instance: IdentifierCode
    distribution: Distribution
    version: Version
    operating_system: OperatingSystem
    repository: PackageRepository | None = None
    central_server: Name
    address: DomainName
    """The name under which security servers reach the central server."""
    management: Management
    member_classes: tuple[MemberClass, ...] = Field(min_length=1)
    members: tuple[Member, ...] = Field(min_length=1)
    security_servers: tuple[SecurityServer, ...] = Field(min_length=1)
    access_rights: tuple[AccessRight, ...] = ()
    global_groups: tuple[Group, ...] = ()
    configuration_parts: ConfigurationParts = ConfigurationParts()
    approvals: Approvals | None = None
    """Who has to agree to a change of access rights; without it the review of the repository is enough."""
    intermediates: tuple[Certificate, ...] = ()
    """Authorities (PEM) between the trust services CA and X-Road certificates; none if it issues them."""
    configuration_interval: Seconds = 60
    """How often the global configuration is generated and fetched (X-Road: 60 s)."""
    configuration_lifetime: Seconds = 600
    """How long a generated configuration stays valid (X-Road: confExpireIntervalSeconds, 600 s)."""
    settings: ServerSettings = ServerSettings()
    central_server_database: RemoteDatabase | None = None
    """None: on the central server itself."""
    backups: Kept | None = None
    """How backups of every server's configuration are encrypted, and where they go."""
    archives: Kept | None = None
    """The same for archives of the message logs."""
    configuration_proxies: tuple[ConfigurationProxy, ...] = ()

    def security_server_of(self, host: str) -> SecurityServer | None:
        """The security server that a host is a node of."""
        return next((server for server in self.security_servers if host in server.nodes), None)

    def identity(self, host: str) -> str:
        """What the server of a host is called as a whole: the instance, or `INSTANCE/CLASS/OWNER/CODE`.

        X-Road's OpenPGP keys and backups are named so. Nodes of a cluster have one. KeyError for other hosts.
        """
        if host == self.central_server:
            return self.instance
        server = self.security_server_of(host)
        if server is None:
            raise KeyError(host)
        return f"{self.instance}/{self.member(server.owner).member_class}/{server.owner}/{server.code}"

    def system_of(self, host: str) -> OperatingSystem:
        """The operating system of a host of the federation."""
        server = self.security_server_of(host)
        return (server.operating_system if server else None) or self.operating_system

    def database_of(self, host: str) -> RemoteDatabase | None:
        """The database service elsewhere that a host's server uses."""
        if host == self.central_server:
            return self.central_server_database
        server = self.security_server_of(host)
        return server.database if server else None

    def subsystems(self) -> dict[SubsystemId, Subsystem]:
        """Every subsystem by identifier."""
        return {
            SubsystemId(member.member_class, member.code, subsystem.code): subsystem
            for member in self.members
            for subsystem in member.subsystems
        }

    def holders(self, right: AccessRight) -> list[SubsystemId]:
        """The subsystems that a right is given to: its client, or the members of that group."""
        code = right.client.partition("/")[2]
        if right.client.startswith(GLOBAL_GROUP):
            groups = self.global_groups
        elif right.client.startswith(LOCAL_GROUP):
            groups = self.subsystems()[SubsystemId.parse(right.provider)].local_groups
        else:
            return [SubsystemId.parse(right.client)]
        return [SubsystemId.parse(item) for group in groups if group.code == code for item in group.members]

    def member(self, code: str) -> Member:
        """The member with this code; KeyError if there is none."""
        for member in self.members:
            if member.code == code:
                return member
        raise KeyError(code)
