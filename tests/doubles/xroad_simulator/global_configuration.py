"""The global configuration: what a security server knows of its instance, and the anchor that it trusts.

How the parameters are written is in `parameters_xml`, how they are signed and checked in `signed_directory`.
"""

from __future__ import annotations

import base64
import hashlib
import xml.etree.ElementTree as ET
from functools import cached_property

from cryptography import x509
from pydantic import BaseModel, ConfigDict

from xroad_simulator.certificates import decode
from xroad_simulator.identifiers import ClientId, ServerId

_XMLNS = "http://x-road.eu/xsd/xroad.xsd"


class ConfigurationError(Exception):
    """A configuration or anchor that a server must not use; the code is X-Road's."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Responder(_Model):
    """An OCSP responder of a certification service."""

    url: str
    cost_type: str
    certificate: str | None = None


class Authority(_Model):
    """A CA and who tells the status of its certificates."""

    certificate: str
    responders: tuple[Responder, ...] = ()


class CertificationService(Authority):
    """An approved CA, and those below it."""

    name: str
    certificate_profile_info: str
    authentication_only: bool
    default_csr_format: str
    intermediates: tuple[Authority, ...] = ()
    acme_directory_url: str | None = None
    acme_ip_address: str | None = None
    authentication_profile_id: str | None = None
    signing_profile_id: str | None = None


class TimestampingService(_Model):
    """An approved time-stamping authority; `name` is its certificate's common name."""

    name: str
    url: str
    cost_type: str
    certificate: str


class Subsystem(_Model):
    """A subsystem that the central server knows."""

    code: str
    name: str | None = None


class Member(_Model):
    """A member and its subsystems."""

    member_class: str
    code: str
    name: str
    subsystems: tuple[Subsystem, ...] = ()


class SigningSource(_Model):
    """A central server and the certificates that may sign its configurations."""

    address: str
    internal_certificates: tuple[str, ...]
    external_certificates: tuple[str, ...]


class SecurityServer(_Model):
    """A registered security server: address, authentication certificates, clients."""

    id: str
    address: str
    authentication_certificates: tuple[str, ...]
    """`certificate_hash` of each."""
    sha1_hashes: tuple[str, ...] = ()
    """What the oldest format has instead."""
    clients: tuple[str, ...]
    in_maintenance: bool = False
    maintenance_message: str | None = None

    def has(self, certificate: str) -> bool:
        """Whether an authentication certificate (base64) is registered to this server."""
        return certificate_hash(certificate) in self.authentication_certificates


class GlobalGroup(_Model):
    """A group of members and subsystems of the whole instance."""

    code: str
    description: str
    members: tuple[str, ...]


class MemberClass(_Model):
    """A kind of member."""

    code: str
    description: str


class Parameters(_Model):
    """Everything that a security server knows about the rest of its instance."""

    instance: str
    sources: tuple[SigningSource, ...] = ()
    member_classes: tuple[MemberClass, ...]
    members: tuple[Member, ...]
    security_servers: tuple[SecurityServer, ...]
    global_groups: tuple[GlobalGroup, ...]
    certification_services: tuple[CertificationService, ...]
    timestamping_services: tuple[TimestampingService, ...]
    management_service_provider: str | None
    registration_address: str
    """URL of the central server's registration service."""
    registration_certificate: str
    """The TLS certificate that the registration service shows."""
    ocsp_freshness_seconds: int = 3600
    timestamping_interval_seconds: int = 60

    def authorities(self) -> list[x509.Certificate]:
        """The certificates of the approved CAs and of those below them."""
        return [certificate for certificate, _, _ in self._authorities]

    @cached_property
    def _authorities(self) -> tuple[tuple[x509.Certificate, Authority, bool], ...]:
        """Every CA with its certificate read, and whether it is below an approved one."""
        return tuple(
            (decode(authority.certificate), authority, authority is not service)
            for service in self.certification_services
            for authority in (service, *service.intermediates)
        )

    def responders(self, authority: x509.Certificate) -> list[Responder]:
        """Who tells the status of a CA's certificates."""
        named = [known.responders for certificate, known, _ in self._authorities if certificate == authority]
        return [responder for responders in named for responder in responders]

    def is_intermediate(self, authority: x509.Certificate) -> bool:
        """Whether a CA is below an approved one, so that its own status counts as well."""
        return any(is_below for certificate, _, is_below in self._authorities if certificate == authority)

    def server(self, identifier: ServerId) -> SecurityServer | None:
        """The server with this identifier, or None."""
        wanted = str(identifier)
        return next((server for server in self.security_servers if server.id == wanted), None)

    def servers_of(self, client: ClientId) -> list[SecurityServer]:
        """The servers where a client is registered."""
        wanted = str(client)
        return [server for server in self.security_servers if wanted in server.clients]

    def member(self, identifier: ClientId) -> Member | None:
        """The member that this client is or belongs to, or None."""
        for member in self.members:
            if (member.member_class, member.code) == (
                identifier.member_class,
                identifier.member_code,
            ):
                return member
        return None

    def knows(self, client: ClientId) -> bool:
        """Whether the member or subsystem exists at the central server."""
        if client.instance != self.instance:
            return False
        member = self.member(client)
        if member is None or client.subsystem_code is None:
            return member is not None
        return any(subsystem.code == client.subsystem_code for subsystem in member.subsystems)

    def is_in_group(self, client: ClientId, code: str) -> bool:
        """Whether a client belongs to a global group."""
        return any(group.code == code and str(client) in group.members for group in self.global_groups)


class Anchor(_Model):
    """Where a configuration comes from and which certificates may sign it."""

    instance: str
    generated_at: str
    download_urls: tuple[str, ...]
    verification_certificates: tuple[str, ...]

    def xml(self) -> bytes:
        """The anchor file."""
        ET.register_namespace("conf", _XMLNS)
        root = ET.Element(f"{{{_XMLNS}}}configurationAnchor")
        ET.SubElement(root, "generatedAt").text = self.generated_at
        ET.SubElement(root, "instanceIdentifier").text = self.instance
        for url in self.download_urls:
            source = ET.SubElement(root, "source")
            ET.SubElement(source, "downloadURL").text = url
            for certificate in self.verification_certificates:
                ET.SubElement(source, "verificationCert").text = certificate
        document: bytes = ET.tostring(root, encoding="UTF-8", xml_declaration=True)
        return document

    @classmethod
    def parse(cls, data: bytes) -> Anchor:
        """Read an anchor file; ConfigurationError if it isn't one."""
        try:
            root = ET.fromstring(data)  # noqa: S314 - expat limits expansion; test equipment
        except ET.ParseError as error:
            raise ConfigurationError("malformed_anchor", str(error)) from error
        instance = root.findtext("instanceIdentifier")
        generated_at = root.findtext("generatedAt")
        urls = [element.text or "" for element in root.iter("downloadURL")]
        certificates = [element.text or "" for element in root.iter("verificationCert")]
        if not instance or not generated_at or not urls or not certificates:
            raise ConfigurationError("malformed_anchor", "an element is missing")
        return cls(
            instance=instance,
            generated_at=generated_at,
            download_urls=tuple(urls),
            verification_certificates=tuple(dict.fromkeys(certificates)),
        )


def anchor_hash(data: bytes) -> str:
    """SHA-224 in upper-case hex: what operators compare out of band."""
    return hashlib.sha224(data).hexdigest().upper()


def certificate_hash(certificate: str, algorithm: str = "sha256") -> str:
    """Hash of a certificate, both in base64: how the configuration names authentication certificates."""
    return base64.b64encode(hashlib.new(algorithm, base64.b64decode(certificate)).digest()).decode()
