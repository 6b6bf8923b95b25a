"""Certificate status and time stamps for tests: the site's own programs' answers, without their files.

The addresses are those of one small server: `/` answers about certificates, `/stamps` stamps.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from trust_services.signing import SigningKey
from trust_services.status.certificate_id import shortened
from trust_services.status.signing import CertificateState, Signer
from trust_services.timestamps.answer import Stamper
from trust_services.timestamps.clock import Moment
from trust_services.timestamps.request import read_request

POLICY = ObjectIdentifier("1.3.6.1.4.1.99999.1.1")
_UNAUTHORIZED = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.UNAUTHORIZED)


@cache
def rsa_key(name: str) -> rsa.RSAPrivateKey:
    """A key that is always the same in a run: making one takes a while."""
    return rsa.generate_private_key(65537, 2048)


def certified(
    name: str,
    key: SigningKey,
    issuer: x509.Certificate,
    issuer_key: SigningKey,
    purposes: Sequence[ObjectIdentifier],
    *,
    critical: bool = True,
) -> x509.Certificate:
    """A certificate for a purpose."""
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        issuer.subject,
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]),
        key.public_key(),
        x509.random_serial_number(),
        now - timedelta(hours=1),
        now + timedelta(days=1),
    )
    return builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=critical).sign(
        issuer_key, hashes.SHA256()
    )


@dataclass
class TrustServices:
    """Answers for one issuing authority. Every certificate is good until a test says otherwise."""

    issuer: x509.Certificate
    issuer_key: SigningKey
    url: str = ""
    """Of the status; set while it is served."""
    revoked: dict[int, datetime] = field(default_factory=dict)
    unknown: set[int] = field(default_factory=set)
    age: timedelta = timedelta()
    """How old every answer pretends to be."""
    asked: list[bytes] = field(default_factory=list)
    """Every OCSP request that came."""
    away: set[str] = field(default_factory=set)
    """Paths that answer nothing but 503."""

    def __post_init__(self) -> None:
        responder = ec.generate_private_key(ec.SECP256R1())
        certificate = certified(
            "Status", responder, self.issuer, self.issuer_key, [ExtendedKeyUsageOID.OCSP_SIGNING]
        )
        self.signer = Signer(self.issuer, certificate, responder)
        self.stamp_with(rsa_key("stamps"))

    def stamp_with(self, key: rsa.RSAPrivateKey) -> None:
        """Stamp with another key and a new certificate from now on."""
        self.stamp_certificate = certified(
            "Time stamps", key, self.issuer, self.issuer_key, [ExtendedKeyUsageOID.TIME_STAMPING]
        )
        self.stamper = Stamper(key, self.stamp_certificate, (), POLICY)

    @property
    def stamps_url(self) -> str:
        """Of the time stamps."""
        return f"{self.url}stamps"

    @property
    def stamp_pem(self) -> bytes:
        """The certificate that time stamps are verified with."""
        return self.stamp_certificate.public_bytes(Encoding.PEM)

    def status(self, request: bytes) -> bytes:
        """The answer to an OCSP request."""
        self.asked.append(request)
        serial = ocsp.load_der_ocsp_request(request).serial_number
        signed_at = datetime.now(UTC) - self.age
        state = CertificateState(serial, self.revoked.get(serial))
        answers = self.signer.sign([state], signed_at, signed_at + timedelta(hours=2))
        short = shortened(request)
        found = [answer.der for answer in answers if answer.request == short and serial not in self.unknown]
        return found[0] if found else _UNAUTHORIZED.public_bytes(Encoding.DER)

    def stamp(self, request: bytes) -> bytes:
        """The answer to a time stamp request."""
        return self.stamper.stamp(read_request(request, POLICY), Moment(datetime.now(UTC), 0.001))


@contextmanager
def serving(trust: TrustServices) -> Iterator[TrustServices]:
    """Serve on a loopback port."""
    answers: dict[str, tuple[str, str, Callable[[bytes], bytes]]] = {
        "/": ("application/ocsp-request", "application/ocsp-response", trust.status),
        "/stamps": ("application/timestamp-query", "application/timestamp-reply", trust.stamp),
    }

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            wanted, made, answer = answers.get(self.path, ("", "", trust.status))
            if self.path in trust.away:
                self.send_error(503)
            elif self.headers.get("Content-Type") != wanted:
                self.send_error(415)
            else:
                content = answer(body)
                self.send_response(200)
                self.send_header("Content-Type", made)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base's name
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    trust.url = f"http://127.0.0.1:{server.server_port}/"
    try:
        yield trust
    finally:
        server.shutdown()
        server.server_close()
