"""Clients' requests to a site's services, as the machine that administers it can make them.

Each verifies what it is shown with the site's root alone. What fails raises.
"""

from __future__ import annotations

import http.client
import itertools
import subprocess
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.x509 import ocsp

from estate import Estate
from estate.host import Role
from estate.network import LISTENERS, Endpoint, Shown
from estate.trust import TRUST_SERVICES
from operate import ceremony
from operate.acceptance import requests
from operate.failure import Failure
from operate.watching import Question, handshake, trusting
from operate.workspace import Workspace
from trust_services.status.certificate_id import issuer_hashes, shortest_request
from trust_services.status.verification import Authority

HANDSHAKES = 100.0
"""TLS connections a second, over all endpoints."""
STATUS = 50.0
STAMPS = 5.0
OCSP_REQUEST = "application/ocsp-request"
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
    """OCSP through each load balancer, about the time-stamping authorities' certificates.

    None about a certificate whose authority is revoked.
    """
    budget, port = timedelta(minutes=estate.trust.status.freshness), LISTENERS[Endpoint.HTTP].port
    asks = [
        _ask_status(Authority(issuer, budget), subject, str(balancer.address), port, estate.status_name)
        for balancer in estate.hosts_with(Role.LOAD_BALANCER)
        for subject, issuer in _stamping(workspace)
    ]
    return [Question("OCSP", STATUS, _in_turn(asks))] if asks else []


def signers(workspace: Workspace, estate: Estate) -> dict[str, int]:
    """The serial number of the certificate that each responder's answers are signed with."""
    subject, issuer = _stamping(workspace)[-1]
    request, port = _request(issuer, subject), LISTENERS[Endpoint.CERTIFICATE_STATUS].port
    found = {}
    for responder in estate.hosts_with(Role.STATUS_RESPONDER):
        address = str(responder.address)
        answer = ocsp.load_der_ocsp_response(_post(address, port, address, OCSP_REQUEST, request))
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
    authority: Authority, subject: x509.Certificate, address: str, port: int, name: str
) -> Callable[[], None]:
    request = _request(authority.certificate, subject)

    def ask() -> None:
        now = datetime.now(UTC)
        held = authority.verified(_post(address, port, name, OCSP_REQUEST, request), now)
        if held.answer.request != request:
            raise RuntimeError("the answer is about another certificate")
        if held.answer.revoked_at is not None:
            raise RuntimeError(f"the certificate is revoked since {held.answer.revoked_at}")
        if held.fresh_until <= now.timestamp():
            raise RuntimeError(f"the answer is of {held.answer.this_update}")

    return ask


def _request(issuer: x509.Certificate, subject: x509.Certificate) -> bytes:
    """As an X-Road server asks: the certificate's name hashed with SHA-1."""
    return shortest_request(*issuer_hashes(issuer)["sha1"], subject.serial_number, SHA1())  # noqa: S303


def _ask_stamp(workspace: Workspace, address: str, port: int) -> Callable[[], None]:
    def ask() -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            # While an authority is replaced, stamps of both generations are good.
            issuers = "".join(path.read_text(encoding="ascii") for path in _generations(workspace))
            (folder / "issuers").write_text(issuers, encoding="ascii")
            (folder / "data").write_text(datetime.now(UTC).isoformat(), encoding="ascii")
            query = ("-query", "-data", "data", "-sha512", "-cert", "-out", "query")
            _openssl(folder, *query)
            request = (folder / "query").read_bytes()
            answer = _post(address, port, address, "application/timestamp-query", request)
            (folder / "answer").write_bytes(answer)
            trusted = ("-CAfile", str(workspace.root_certificate), "-untrusted", "issuers")
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


def _stamping(workspace: Workspace) -> list[tuple[x509.Certificate, x509.Certificate]]:
    """Certificates of the time-stamping authorities as they are now, and of the generation that issued each.

    Failure if none is here yet. Those whose authority was revoked are left out.
    """
    subjects = [_certificate(path) for path in sorted(workspace.timestamping_directory.glob("*.crt"))]
    if not subjects:
        raise Failure(
            "no certificate is here to ask about",
            next_step=f"{workspace.apply_command} --stage trust-services",
        )
    issuers = [_certificate(path) for path in _generations(workspace)]
    return [(one, issuer) for one in subjects for issuer in issuers if one.issuer == issuer.subject]


def _generations(workspace: Workspace) -> list[Path]:
    """Certificates of the trust services CA's generations, but for revoked ones."""
    return sorted(ceremony.at(workspace).issued.glob(f"{TRUST_SERVICES}-*.crt"))


def _certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())
