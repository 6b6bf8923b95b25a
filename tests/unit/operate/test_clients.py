"""What counts as a failed request of a client that asks for a certificate's status."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from operate import ceremony, clients
from operate.bench_issuing import authority_certificate
from operate.failure import Failure
from operate.workspace import Workspace
from trust_services.certificate_state import CertificateState
from trust_services.refusal import Refusal
from trust_services.status.signing import Signer
from trust_services.status.verification import Authority

KEY, OTHER = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
ISSUER = authority_certificate("CA", KEY.public_key(), "CA", KEY, 0)
SUBJECT = authority_certificate("stamps", OTHER.public_key(), "CA", KEY, 0)
IMPOSTOR = Signer(ISSUER, authority_certificate("CA", OTHER.public_key(), "CA", OTHER, 0), OTHER)
BUDGET = timedelta(hours=1)


def answer(
    serial: int = SUBJECT.serial_number,
    age: timedelta = timedelta(0),
    revoked: datetime | None = None,
    signer: Signer | None = None,
) -> bytes:
    """An answer of so long ago, signed by the authority itself as a former one does."""
    state = CertificateState(serial, revoked, x509.ReasonFlags.superseded if revoked else None)
    signed = datetime.now(UTC).replace(microsecond=0) - age
    return (signer or Signer(ISSUER, ISSUER, KEY)).sign([state], signed, signed + 2 * BUDGET)[0].der


@pytest.fixture
def asked() -> Iterator[Callable[[bytes], None]]:
    """Asks a responder that answers so."""
    told = b""

    class Responder(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200 if told else 503)
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Responder) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        ask = clients._ask_status(
            Authority(ISSUER, BUDGET), SUBJECT, "127.0.0.1", server.server_port, "status.site"
        )

        def with_answer(content: bytes) -> None:
            nonlocal told
            told = content
            ask()

        yield with_answer
        server.shutdown()


def test_a_good_answer_is_no_failure(asked: Callable[[bytes], None]) -> None:
    """Also one that the authority signed itself, as it does after it was replaced."""
    asked(answer())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "HTTP 503"),
        (answer(serial=7), "another certificate"),
        (answer(revoked=datetime.now(UTC)), "revoked since"),
        (answer(age=BUDGET + timedelta(minutes=1)), "the answer is of"),
        (answer(signer=IMPOSTOR), "wasn't issued by the authority"),
        (b"nonsense", "can't be read"),
    ],
)
def test_every_other_answer_is_one(asked: Callable[[bytes], None], content: bytes, reason: str) -> None:
    """With its reason."""
    with pytest.raises((RuntimeError, Refusal), match=reason):
        asked(content)


def put(path: Path, certificate: x509.Certificate) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(certificate.public_bytes(Encoding.PEM))


def test_a_certificate_is_asked_about_with_the_generation_that_issued_it(tmp_path: Path) -> None:
    """Also when its successor is certified already; nobody vouches for what a revoked one issued."""
    workspace = Workspace("lab", tmp_path, "lab")
    issued = ceremony.at(workspace).issued
    with pytest.raises(Failure, match="no certificate is here"):
        clients._stamping(workspace)

    successor = authority_certificate("CA G2", OTHER.public_key(), "CA G2", OTHER, 0)
    put(workspace.timestamping_directory / "timestamp1.crt", SUBJECT)
    put(issued / "trust-services-1.crt", ISSUER)
    for name in ("trust-services-2.crt", "trust-services.crt"):
        put(issued / name, successor)
    assert clients._stamping(workspace) == [(SUBJECT, ISSUER)]

    (issued / "trust-services-1.crt").unlink()
    assert clients._stamping(workspace) == []
