"""What the components of the federation are told. Plain, immutable, without secrets."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from stacks.providers.xroad.identifiers import OWNERS_GROUP
from stacks.providers.xroad.resources.certification_service import BASIC_PROFILE
from stacks.providers.xroad.settings import Settings


class Args(BaseModel):
    """Base: immutable, and an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class MemberClassArgs(Args):
    """A kind of member."""

    code: str
    description: str


class SubsystemArgs(Args):
    """An information system of a member."""

    subsystem: str
    """`INSTANCE:CLASS:CODE:SUBSYSTEM`."""
    name: str


class MemberArgs(Args):
    """An organisation with its information systems."""

    member: str
    """`INSTANCE:CLASS:CODE`."""
    member_class: str
    name: str
    subsystems: tuple[SubsystemArgs, ...] = ()


class CertificationArgs(Args):
    """The approved authority."""

    name: str
    profile: str = BASIC_PROFILE
    ocsp_responders: tuple[str, ...] = ()
    """Addresses. The responders answer with certificates of the authority itself, so none is registered."""
    intermediates: tuple[str, ...] = ()
    """Authorities below it (PEM) that issue the certificates."""


class TimestampingArgs(Args):
    """An approved time-stamping authority. Its certificate is known only when its host has one."""

    url: str
    host: str


class GlobalGroupArgs(Args):
    """A group of the instance."""

    code: str
    description: str
    members: tuple[str, ...]


class ConfigurationPartArgs(Args):
    """An optional part of the global configuration."""

    part: str
    file: str
    content: str


class InstanceArgs(Args):
    """The central server and everything that it alone keeps."""

    instance: str
    server: str
    address: str
    member_classes: tuple[MemberClassArgs, ...]
    members: tuple[MemberArgs, ...]
    management_provider: str
    certification: CertificationArgs
    timestamping: tuple[TimestampingArgs, ...] = ()
    global_groups: tuple[GlobalGroupArgs, ...] = ()
    configuration_parts: tuple[ConfigurationPartArgs, ...] = ()


class ServiceArgs(Args):
    """A service of a subsystem."""

    code: str
    type: str
    url: str
    description_url: str
    timeout_seconds: int = Field(default=60, ge=1, le=1000)
    verify_tls: bool = False
    endpoints: tuple[str, ...] = ()
    """As `METHOD PATH`, beside those that its description names."""


class LocalGroupArgs(Args):
    """A group that a client keeps for its own services."""

    code: str
    description: str
    members: tuple[str, ...]


class ClientArgs(Args):
    """A subsystem that a security server represents, with what it offers."""

    subsystem: str
    services: tuple[ServiceArgs, ...] = ()
    connection: str = "HTTPS"
    certificates: tuple[str, ...] = ()
    """What its information systems show (PEM)."""
    local_groups: tuple[LocalGroupArgs, ...] = ()


class SigningArgs(Args):
    """A member that signs at another member's server."""

    member: str
    name: str


class AccessRightArgs(Args):
    """What a subsystem or group may call at a subsystem, and on what ground."""

    provider: str
    holder: str
    """A subsystem, a global group as `INSTANCE:GROUP`, or the code of a local group of the provider."""
    services: tuple[str, ...] = Field(min_length=1)
    """Codes, or `SERVICE METHOD PATH` for an endpoint."""
    reason: str = ""


class ManagementArgs(Args):
    """Where the central server's management services are. Only the management security server has them."""

    subsystem: str
    wsdl_url: str
    services_url: str
    services: tuple[str, ...]


class SecurityServerArgs(Args):
    """A security server with its clients and the rights that these grant."""

    server: str
    identity: str
    address: str
    owner: str
    owner_name: str
    country: str
    clients: tuple[ClientArgs, ...] = ()
    signing: tuple[SigningArgs, ...] = ()
    """Members of clients here that don't own the server."""
    access_rights: tuple[AccessRightArgs, ...] = ()
    management: ManagementArgs | None = None
    timestamping: tuple[str, ...] = ()


class FederationArgs(Args):
    """A whole federation."""

    settings: Settings
    instance: InstanceArgs
    security_servers: tuple[SecurityServerArgs, ...] = Field(min_length=1)

    def access_rights(self) -> dict[tuple[str, str], frozenset[str]]:
        """Services and endpoints by provider and holder, with those of the management services."""
        found: dict[tuple[str, str], frozenset[str]] = {}
        for right in (right for server in self.security_servers for right in server.access_rights):
            key = (right.provider, right.holder)
            found[key] = found.get(key, frozenset()) | frozenset(right.services)
        for server in self.security_servers:
            if server.management is not None:
                owners = f"{self.instance.instance}:{OWNERS_GROUP}"
                found[server.management.subsystem, owners] = frozenset(server.management.services)
        return found
