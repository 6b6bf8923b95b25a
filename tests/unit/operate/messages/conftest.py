"""Signed documents made by the simulator, with authorities of their own."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asn1crypto import tsp
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from tests.key_usage import key_usage

from federation_rig.trust_services import TrustServices
from xroad_simulator import ocsp, time_stamps
from xroad_simulator.identifiers import ClientId, ServiceId
from xroad_simulator.security import containers
from xroad_simulator.security.message import Request, Response
from xroad_simulator.security.message_log import STAMP_CHAIN, STAMPED, Batch, Entry, Side
from xroad_simulator.security.signatures import Signature
from xroad_simulator.software_token import PrivateKey

CLIENT = ClientId("TEST", "GOV", "DIGITAL", "PORTAL")
SERVICE = ServiceId(ClientId("TEST", "GOV", "CIVIL", "REGISTRY"), "birth-records")


def certificate(
    subject: dict[x509.ObjectIdentifier, str],
    key: PrivateKey,
    issuer: tuple[x509.Name, PrivateKey] | None,
    *extensions: x509.ExtensionType,
    age: timedelta = timedelta(hours=1),
) -> x509.Certificate:
    """A certificate for two days, `age` of which are over."""
    name = x509.Name([x509.NameAttribute(oid, value) for oid, value in subject.items()])
    now = datetime.now(UTC)
    issuer_name, issuer_key = issuer or (name, key)
    builder = x509.CertificateBuilder(
        issuer_name,
        name,
        key.public_key(),
        x509.random_serial_number(),
        now - age,
        now - age + timedelta(days=2),
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    return builder.sign(issuer_key, hashes.SHA256())


def new_key() -> ec.EllipticCurvePrivateKey:
    """Elliptic-curve keys are quick to make."""
    return ec.generate_private_key(ec.SECP256R1())


@dataclass
class Authorities:
    """A root, an issuing CA below it with its status and time-stamping services, and two members."""

    name: str = "Trust services"
    root_key: PrivateKey = field(default_factory=new_key)
    issuer_key: PrivateKey = field(default_factory=new_key)

    def __post_init__(self) -> None:
        self.root = certificate(
            {NameOID.COMMON_NAME: f"{self.name} root"},
            self.root_key,
            None,
            x509.BasicConstraints(ca=True, path_length=1),
            key_usage("key_cert_sign", "crl_sign"),
        )
        self.issuer = certificate(
            {NameOID.COMMON_NAME: self.name},
            self.issuer_key,
            (self.root.subject, self.root_key),
            x509.BasicConstraints(ca=True, path_length=0),
            key_usage("key_cert_sign", "crl_sign", "digital_signature"),
        )
        self.trust = TrustServices(self.issuer, self.issuer_key)
        self.members = {code: self.member(code) for code in ("DIGITAL", "CIVIL")}

    def member(
        self, code: str, *extensions: x509.ExtensionType, key: PrivateKey | None = None, **changes: str
    ) -> tuple[x509.Certificate, PrivateKey]:
        """A member's signing certificate of the Basic profile, and its key."""
        own = new_key() if key is None else key
        subject = {
            NameOID.COMMON_NAME: f"Agency {code}",
            NameOID.BUSINESS_CATEGORY: changes.get("member_class", "GOV"),
            NameOID.COUNTRY_NAME: "BJ",
            NameOID.SERIAL_NUMBER: code,
        }
        wanted = extensions or (key_usage("content_commitment"),)
        return certificate(subject, own, (self.issuer.subject, self.issuer_key), *wanted), own

    def status_of(self, signing: x509.Certificate) -> bytes:
        """The status program's answer."""
        return self.trust.status(ocsp.request(signing, self.issuer))

    def sign(
        self,
        parts: Sequence[bytes],
        signer: tuple[x509.Certificate, PrivateKey],
        *,
        statuses: Sequence[bytes] | None = None,
        carried: Sequence[x509.Certificate] | None = None,
    ) -> Signature:
        """A member's signature, with the issuing CA's certificate and its own status inside."""
        certificate_, key = signer
        answers = [self.status_of(certificate_)] if statuses is None else statuses
        return Signature.make(certificate_, key, parts, answers, [self.issuer] if carried is None else carried)

    def token(self, content: bytes) -> bytes:
        """A time stamp of a content."""
        reply = self.trust.stamp(time_stamps.query(hashlib.sha512(content).digest(), 7))
        made: bytes = tsp.TimeStampResp.load(reply)["time_stamp_token"].dump()
        return made

    def stamped(self, entries: Sequence[Entry]) -> list[Entry]:
        """The records with a time stamp over all of them."""
        batch = Batch.of([(entry.number, entry.signature) for entry in entries])
        token = self.token(batch.content)
        if batch.tree is None:
            return [replace(entries[0], signature=entries[0].signature.stamped(token), token=token)]
        return [
            replace(
                entry,
                token=token,
                stamp_chain=batch.tree.chain(index, STAMPED),
                stamp_result=batch.tree.result(STAMP_CHAIN),
            )
            for index, entry in enumerate(entries)
        ]


def request(body: bytes = b"", **changes: object) -> Request:
    """The portal asks for birth records."""
    facts: dict[str, object] = {
        "client": CLIENT,
        "service": SERVICE,
        "message_id": "message-1",
        "method": "POST" if body else "GET",
        "path": "/123",
        "headers": (("X-Road-UserId", "BJ123"), ("Accept", "application/json")),
        "body": body,
    }
    return Request(**{**facts, **changes})  # type: ignore[arg-type]


def response(to: Request, body: bytes = b"{}") -> Response:
    """The registry's answer."""
    return Response.answering(to, 200, "OK", (("Content-Type", "application/json"),), body)


def entry(number: int, message: Request | Response, signature: Signature) -> Entry:
    """A record of the log, without a time stamp."""
    is_response = isinstance(message, Response)
    return Entry(
        number=number,
        logged_at=datetime.now(UTC),
        side=Side.PROVIDER,
        is_response=is_response,
        message_id="message-1",
        request_id="request-1",
        client=str(CLIENT),
        service=str(SERVICE),
        belongs_to=str(SERVICE.client),
        message=message.head().decode(),
        body=message.body or None,
        signature=signature,
        stamp_chain=None,
        token=None,
        stamp_result=None,
    )


def exchange(authorities: Authorities, body: bytes = b"", answer: bytes = b'{"name": "Kossi"}') -> list[Entry]:
    """The records of a request and its response, stamped together."""
    asked = request(body)
    answered = response(asked, answer)
    entries = []
    for number, (message, code) in enumerate(((asked, "DIGITAL"), (answered, "CIVIL")), 1):
        parts = [message.head(), message.body] if message.body else [message.head()]
        entries.append(entry(number, message, authorities.sign(parts, authorities.members[code])))
    return authorities.stamped(entries)


@dataclass
class Files:
    """A folder with a root and containers."""

    folder: Path
    authorities: Authorities

    @property
    def root(self) -> Path:
        """The root certificate's file."""
        path = self.folder / "root.crt"
        path.write_bytes(self.authorities.root.public_bytes(Encoding.PEM))
        return path

    def write(self, content: bytes, name: str = "message.asice") -> Path:
        """A file of this content."""
        path = self.folder / name
        path.write_bytes(content)
        return path

    def container(self, record: Entry) -> Path:
        """A record's container."""
        return self.write(containers.container(record), containers.name(record))


@pytest.fixture(scope="session")
def authorities() -> Authorities:
    """Elliptic-curve keys throughout, but for the time stamps'."""
    return Authorities()


@pytest.fixture(scope="session")
def rsa_authorities() -> Authorities:
    """RSA keys, as servers make them."""
    keys = [rsa.generate_private_key(65537, 2048) for _ in range(2)]
    made = Authorities("RSA services", *keys)
    made.members["DIGITAL"] = made.member("DIGITAL", key=keys[0])
    return made


@pytest.fixture
def files(tmp_path: Path, authorities: Authorities) -> Files:
    """A folder for one test."""
    return Files(tmp_path, authorities)
