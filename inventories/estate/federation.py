"""The X-Road federation: members, subsystems, security servers, services, access rights.

Terms and identifiers follow X-Road's architecture (arc-g) and its REST message protocol (pr-rest).
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from pydantic import Field

from estate.approval import Approvals
from estate.types import DomainName, IdentifierCode, Model, Name, Seconds, Version


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


class Subsystem(Model):
    """A member's information system, the unit of access rights."""

    code: IdentifierCode
    name: str = Field(min_length=1)
    security_server: Name
    """The host that represents it."""
    connection: Connection = Connection.HTTPS
    services: tuple[Service, ...] = ()


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


class AccessRight(Model):
    """Permission for a client subsystem to call services of a provider subsystem."""

    client: str = Field(pattern=r"^[^/]+/[^/]+/[^/]+$")
    provider: str = Field(pattern=r"^[^/]+/[^/]+/[^/]+$")
    services: tuple[IdentifierCode, ...] = Field(min_length=1)
    reason: str = Field(min_length=1)
    """The legal or administrative ground, for auditors."""


class Management(Model):
    """Which subsystem offers the central server's management services, and where."""

    provider: str = Field(pattern=r"^[^/]+/[^/]+/[^/]+$")
    security_server: Name


class PackageRepository(Model):
    """Where X-Road's packages come from: an internal mirror in production."""

    url: str = Field(pattern=r"^https://")
    suite: str = Field(min_length=1)
    component: str = "main"
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
    approvals: Approvals | None = None
    """Who has to agree to a change of access rights; without it the review of the repository is enough."""
    configuration_interval: Seconds = 60
    """How often the global configuration is generated and fetched (X-Road: 60 s)."""
    configuration_lifetime: Seconds = 600
    """How long a generated configuration stays valid (X-Road: confExpireIntervalSeconds, 600 s)."""

    def subsystems(self) -> dict[SubsystemId, Subsystem]:
        """Every subsystem by identifier."""
        return {
            SubsystemId(member.member_class, member.code, subsystem.code): subsystem
            for member in self.members
            for subsystem in member.subsystems
        }

    def member(self, code: str) -> Member:
        """The member with this code; KeyError if there is none."""
        for member in self.members:
            if member.code == code:
                return member
        raise KeyError(code)
