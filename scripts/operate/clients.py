"""Clients' requests to a site's services, as the machine that administers it can make them.

Each verifies what it is shown with the site's root alone. What fails raises.
"""

from __future__ import annotations

import http.client
import itertools
import subprocess
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from estate import Estate
from estate.host import Role
from estate.network import LISTENERS, Endpoint, Shown
from operate.acceptance import requests
from operate.failure import Failure
from operate.watching import Question, handshake, trusting
from operate.workspace import Workspace

HANDSHAKES = 100.0
"""TLS connections a second, over all endpoints."""
STATUS = 50.0
STAMPS = 5.0
_TIMEOUT_SECONDS = 10.0


def tls(workspace: Workspace, estate: Estate) -> list[Question]:
    """A kind for each TLS endpoint that operators may reach and whose certificate is its host's."""
    context = trusting(workspace.root_certificate)
    endpoints: dict[Endpoint, list[Callable[[], None]]] = {}
    for flow in estate.flows:
        if not flow.source.administration:
            continue
        for host, endpoint, listener in estate.destinations(flow):
            if listener.tls is not None and listener.tls.shows is Shown.HOST and listener.tls.starttls is None:
                name = estate.portal.host_name if endpoint is Endpoint.HTTPS else estate.fqdn(host)
                asks = endpoints.setdefault(endpoint, [])
                asks.append(handshake(str(host.address), listener.tls.port, name, context))
    share = HANDSHAKES / max(len(endpoints), 1)
    return [Question(f"TLS to {endpoint}", share, _in_turn(asks)) for endpoint, asks in endpoints.items()]


def status(workspace: Workspace, estate: Estate) -> list[Question]:
    """OCSP through each load balancer, about the time-stamping authorities' certificates."""
    issuer = _issuer(workspace)
    subjects = [_certificate(path) for path in sorted(workspace.timestamping_directory.glob("*.crt"))]
    if not subjects:
        raise Failure(
            "no certificate is here to ask about",
            next_step=f"{workspace.apply_command} --stage trust-services",
        )
    asks = [
        _ask_status(str(balancer.address), estate.status_name, issuer, subject)
        for balancer in estate.hosts_with(Role.LOAD_BALANCER)
        for subject in subjects
    ]
    return [Question("OCSP", STATUS, _in_turn(asks))]


def signers(workspace: Workspace, estate: Estate) -> dict[str, int]:
    """The serial number of the certificate that each responder's answers are signed with."""
    subject = _certificate(next(iter(sorted(workspace.timestamping_directory.glob("*.crt")))))
    builder = ocsp.OCSPRequestBuilder().add_certificate(subject, _issuer(workspace), hashes.SHA1())  # noqa: S303
    request, port = builder.build().public_bytes(Encoding.DER), LISTENERS[Endpoint.CERTIFICATE_STATUS].port
    found = {}
    for responder in estate.hosts_with(Role.STATUS_RESPONDER):
        address = str(responder.address)
        answer = ocsp.load_der_ocsp_response(_post(address, port, address, "application/ocsp-request", request))
        found[responder.name] = answer.certificates[0].serial_number
    return found


def stamps(workspace: Workspace, estate: Estate) -> list[Question]:
    """A kind for each time-stamping authority; OpenSSL verifies the stamps."""
    port = LISTENERS[Endpoint.TIME_STAMPS].port
    return [
        Question(f"stamps of {host.name}", STAMPS, _ask_stamp(workspace, str(host.address), port))
        for host in estate.hosts_with(Role.TIME_STAMPING)
    ]


def citizens(workspace: Workspace, estate: Estate) -> list[Question]:
    """A citizen's requests, one to each sector system: portal, security servers, service and back."""

    def ask() -> None:
        if failed := [check for check in requests.check(workspace, estate) if not check.passed]:
            raise RuntimeError("; ".join(f"{check.name}: {check.detail}" for check in failed))

    return [Question("citizens' requests to all sectors", 0.5, ask, at_once=1)]


def _in_turn(asks: list[Callable[[], None]]) -> Callable[[], None]:
    turns = itertools.cycle(asks)

    def ask() -> None:
        turn = next(turns)
        turn()

    return ask


def _ask_status(
    address: str, name: str, issuer: x509.Certificate, subject: x509.Certificate
) -> Callable[[], None]:
    builder = ocsp.OCSPRequestBuilder().add_certificate(subject, issuer, hashes.SHA1())  # noqa: S303 - X-Road's
    request = builder.build().public_bytes(Encoding.DER)

    def ask() -> None:
        answer = ocsp.load_der_ocsp_response(
            _post(address, LISTENERS[Endpoint.HTTP].port, name, "application/ocsp-request", request)
        )
        _verify(answer, issuer, datetime.now(UTC))

    return ask


def _verify(answer: ocsp.OCSPResponse, issuer: x509.Certificate, now: datetime) -> None:
    """ValueError unless the answer says `good`, is in time, and is signed by the issuer's delegate."""
    if answer.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        raise ValueError(f"the responder answers {answer.response_status.name}")
    if answer.certificate_status is not ocsp.OCSPCertStatus.GOOD:
        raise ValueError(f"the certificate is {answer.certificate_status.name}")
    if answer.next_update_utc is None or not answer.this_update_utc <= now < answer.next_update_utc:
        raise ValueError(f"the answer is of {answer.this_update_utc}")
    delegate = answer.certificates[0]
    delegate.verify_directly_issued_by(issuer)
    if not delegate.not_valid_before_utc <= now < delegate.not_valid_after_utc:
        raise ValueError(f"the signer's certificate ended at {delegate.not_valid_after_utc}")
    key, algorithm = delegate.public_key(), answer.signature_hash_algorithm
    assert algorithm is not None  # noqa: S101 - RSA and ECDSA hash first
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(answer.signature, answer.tbs_response_bytes, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(answer.signature, answer.tbs_response_bytes, ec.ECDSA(algorithm))
        else:
            raise ValueError("the signer's key is of an unknown kind")  # noqa: TRY004 - of an answer, not a caller
    except InvalidSignature:
        raise ValueError("the answer's signature is wrong") from None


def _ask_stamp(workspace: Workspace, address: str, port: int) -> Callable[[], None]:
    chain = workspace.ceremony_directory / "issued" / "trust-services.crt"

    def ask() -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "data").write_text(datetime.now(UTC).isoformat(), encoding="ascii")
            query = ("-query", "-data", "data", "-sha512", "-cert", "-out", "query")
            _openssl(folder, *query)
            request = (folder / "query").read_bytes()
            answer = _post(address, port, address, "application/timestamp-query", request)
            (folder / "answer").write_bytes(answer)
            trusted = ("-CAfile", str(workspace.root_certificate), "-untrusted", str(chain))
            _openssl(folder, "-verify", "-queryfile", "query", "-in", "answer", *trusted)

    return ask


def _openssl(folder: Path, *words: str) -> None:
    done = subprocess.run(
        ["openssl", "ts", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"openssl ts {words[0]}: {(done.stderr or done.stdout).strip()[-200:]}")


def _post(address: str, port: int, name: str, kind: str, body: bytes) -> bytes:
    connection = http.client.HTTPConnection(address, port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("POST", "/", body, {"Content-Type": kind, "Host": name})
        response = connection.getresponse()
        content = response.read()
        if response.status != http.client.OK:
            raise RuntimeError(f"HTTP {response.status}: {content[:120].decode(errors='replace')}")
        return content
    finally:
        connection.close()


def _issuer(workspace: Workspace) -> x509.Certificate:
    return _certificate(workspace.ceremony_directory / "issued" / "trust-services.crt")


def _certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())
