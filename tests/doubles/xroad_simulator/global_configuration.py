"""The global configuration: what it holds, how it is signed, and how a server checks it.

The central server writes a directory (expiry, hash of each file), signs it with the active key of
its source, and serves both as one multipart document (pr-gconf). A security server accepts it if
the signature matches a certificate of its anchor, the instance is its own, and it hasn't expired.
The parameters themselves are JSON here and XML in X-Road.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from datetime import datetime
from email import message_from_bytes

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from pydantic import BaseModel, ConfigDict

from xroad_simulator import software_token
from xroad_simulator.certificates import decode
from xroad_simulator.clock import now, timestamp
from xroad_simulator.identifiers import ClientId, ServerId
from xroad_simulator.software_token import PrivateKey

FORMAT_VERSION = 6
_XMLNS = "http://x-road.eu/xsd/xroad.xsd"
_CRLF = b"\r\n"


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


class CertificationService(_Model):
    """An approved CA."""

    name: str
    certificate: str
    certificate_profile_info: str
    authentication_only: bool
    default_csr_format: str
    responders: tuple[Responder, ...] = ()


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


class SecurityServer(_Model):
    """A registered security server: address, authentication certificates, clients."""

    id: str
    address: str
    authentication_certificates: tuple[str, ...]
    clients: tuple[str, ...]


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
        """The certificates of the approved CAs."""
        return [decode(service.certificate) for service in self.certification_services]

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


def _boundary() -> str:
    return f"jetty{secrets.token_hex(10)}"


def _multipart(boundary: str, parts: Sequence[bytes]) -> bytes:
    marker = f"--{boundary}".encode()
    return b"".join(marker + _CRLF + part + _CRLF for part in parts) + marker + b"--" + _CRLF


def location(generation: str) -> str:
    """Path of the parameters of one generation on the central server's web server."""
    return f"/V{FORMAT_VERSION}/{generation}/shared-params.json"


def publish(instance: str, content: bytes, path: str, expires: datetime, key: PrivateKey, signer: str) -> bytes:
    """A signed directory with one file; `signer` is the base64 of the signing certificate."""
    inner = _boundary()
    header = f"Expire-date: {timestamp(expires)}\r\nVersion: {FORMAT_VERSION}\r\n\r\n".encode()
    digest = base64.b64encode(hashlib.sha512(content).digest()).decode()
    entry = (
        "Content-type: application/octet-stream\r\n"
        "Content-transfer-encoding: base64\r\n"
        f'Content-identifier: SHARED-PARAMETERS; instance="{instance}"\r\n'
        f"Content-location: {path}\r\n"
        "Hash-algorithm-id: http://www.w3.org/2001/04/xmlenc#sha512\r\n\r\n"
        f"{digest}"
    ).encode()
    directory = f"Content-Type: multipart/mixed; charset=UTF-8; boundary={inner}\r\n\r\n".encode() + _multipart(
        inner, [header, entry]
    )
    signature = base64.b64encode(software_token.sign(key, directory)).decode()
    certificate_hash = base64.b64encode(hashlib.sha512(base64.b64decode(signer)).digest()).decode()
    signed = (
        "Content-type: application/octet-stream\r\n"
        "Content-transfer-encoding: base64\r\n"
        "Signature-algorithm-id: sha512\r\n"
        "Verification-certificate-hash: "
        f'{certificate_hash}; hash-algorithm-id="http://www.w3.org/2001/04/xmlenc#sha512"\r\n\r\n'
        f"{signature}"
    ).encode()
    outer = _boundary()
    return f"{outer}\r\n".encode() + _multipart(outer, [directory, signed])


class Directory(_Model):
    """A verified directory: where the parameters are, what their hash is, when all expires."""

    location: str
    digest: str
    expires: datetime

    @property
    def is_expired(self) -> bool:
        """Whether it must not be used any more."""
        return now() > self.expires

    def names(self, content: bytes) -> bool:
        """Whether this is the directory's content."""
        return base64.b64encode(hashlib.sha512(content).digest()).decode() == self.digest

    def accept(self, content: bytes) -> Parameters:
        """The parameters; ConfigurationError if they aren't those of the directory."""
        if not self.names(content):
            raise ConfigurationError("conf_verification.signature_invalid", "hash mismatch")
        return Parameters.model_validate_json(content)


def verify(document: bytes, anchor: Anchor) -> Directory:
    """Check a downloaded document against an anchor and read its directory."""
    boundary, _, body = document.partition(_CRLF)
    pieces = body.split(b"--" + boundary)
    if len(pieces) != 4:
        raise ConfigurationError("conf_verification.malformed", "not two parts")
    directory = pieces[1].removeprefix(_CRLF).removesuffix(_CRLF)
    signed = message_from_bytes(pieces[2].removeprefix(_CRLF))
    wanted = str(signed["Verification-certificate-hash"]).partition(";")[0]
    for certificate in anchor.verification_certificates:
        digest = base64.b64encode(hashlib.sha512(base64.b64decode(certificate)).digest())
        if digest.decode() == wanted:
            break
    else:
        raise ConfigurationError("conf_verification.cert_not_found", "signer not in the anchor")
    try:
        software_token.verify(
            decode(certificate).public_key(),
            base64.b64decode(str(signed.get_payload())),
            directory,
        )
    except InvalidSignature as error:
        raise ConfigurationError("conf_verification.signature_invalid", "signature mismatch") from error
    return _read(directory, anchor)


def _read(directory: bytes, anchor: Anchor) -> Directory:
    message = message_from_bytes(directory)
    parts = [part for part in message.walk() if not part.is_multipart()]
    if len(parts) != 2:
        raise ConfigurationError("conf_verification.malformed", "not one file")
    header, entry = parts
    if f'instance="{anchor.instance}"' not in str(entry["Content-identifier"]):
        raise ConfigurationError("conf_verification.other", "another instance")
    read = Directory(
        location=str(entry["Content-location"]),
        digest=str(entry.get_payload()).strip(),
        expires=datetime.fromisoformat(str(header["Expire-date"])),
    )
    if read.is_expired:
        raise ConfigurationError("conf_verification.conf_expired", str(read.expires))
    return read
