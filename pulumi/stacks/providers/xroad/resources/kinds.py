"""All kinds of resource, in the order in which a federation comes into being."""

from __future__ import annotations

from typing import Any

from stacks.providers.xroad.resources.access_rights import AccessRightsKind
from stacks.providers.xroad.resources.central_server import CentralServerKind
from stacks.providers.xroad.resources.certification_service import CertificationServiceKind
from stacks.providers.xroad.resources.client import ClientKind
from stacks.providers.xroad.resources.client_registration import ClientRegistrationKind
from stacks.providers.xroad.resources.configuration_part import ConfigurationPartKind
from stacks.providers.xroad.resources.groups import GlobalGroupKind, LocalGroupKind
from stacks.providers.xroad.resources.kind import Kind
from stacks.providers.xroad.resources.management import ManagementProviderKind, ManagementRegistrationKind
from stacks.providers.xroad.resources.member import MemberKind
from stacks.providers.xroad.resources.member_class import MemberClassKind
from stacks.providers.xroad.resources.security_server import SecurityServerKind
from stacks.providers.xroad.resources.service_description import ServiceDescriptionKind
from stacks.providers.xroad.resources.signing_certificate import SigningCertificateKind
from stacks.providers.xroad.resources.subsystem import SubsystemKind
from stacks.providers.xroad.resources.timestamping_service import TimestampingServiceKind

KINDS: tuple[type[Kind[Any]], ...] = (
    CentralServerKind,
    MemberClassKind,
    MemberKind,
    SubsystemKind,
    GlobalGroupKind,
    ManagementProviderKind,
    CertificationServiceKind,
    TimestampingServiceKind,
    ConfigurationPartKind,
    SecurityServerKind,
    ManagementRegistrationKind,
    ClientKind,
    SigningCertificateKind,
    LocalGroupKind,
    ServiceDescriptionKind,
    AccessRightsKind,
    ClientRegistrationKind,
)
