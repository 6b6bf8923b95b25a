"""Certificates of a raised lab are rotated and revoked, and responders killed, while clients ask."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from tests.integration.raised_lab import Lab

from operate import clients
from operate.watching import watching
from operate.workspace import Workspace, open_workspace

pytestmark = pytest.mark.lab

RESTARTED = {"TLS to registry", "TLS to trust_services", "TLS to admin_api"}
"""Services that take a certificate by a restart only: their clients ask again. X-Road's simulator is one."""

ISSUING = "trust-services issuing {} --config /etc/smartgouv/trust-services/issuing.json"


def lost(document: dict[str, Any]) -> dict[str, int]:
    """Failed requests by kind; kinds that lost none are left out."""
    kinds = document["clients"]["by_kind"].items()
    assert all(counts["requests"] for _, counts in kinds)
    return {name: counts["failed"] for name, counts in kinds if counts["failed"]}


@pytest.fixture(scope="module")
def workspace(lab: Lab) -> Workspace:
    return open_workspace("lab", lab.name)


@pytest.fixture(autouse=True)
def whole(lab: Lab) -> Iterator[None]:
    """Whatever a test did, the lab is what it should be afterwards."""
    yield
    for unit in ("trust-services-issuing", "trust-services-publisher"):
        assert lab.on("ca1", f"systemctl is-active {unit}").strip() == "active"


@pytest.mark.parametrize("what", ["responder", "time-stamping"])
def test_a_rotation_that_no_client_notices(lab: Lab, what: str) -> None:
    """Status and stamps go on while their keys or certificates change."""
    document = lab.document("smartgouv", "rotate", "lab", what)

    assert lost(document) == {}


def test_certificates_of_all_hosts(lab: Lab) -> None:
    """At a hundred handshakes a second; only services that must restart turn a client away, and come back."""
    before = lab.on("balancer1", "openssl x509 -in /etc/smartgouv/tls/host.crt -noout -serial")
    document = lab.document("smartgouv", "rotate", "lab", "hosts")

    assert lab.on("balancer1", "openssl x509 -in /etc/smartgouv/tls/host.crt -noout -serial") != before
    assert set(lost(document)) <= RESTARTED


def test_a_responder_that_is_killed_under_load(lab: Lab, workspace: Workspace) -> None:
    """The other one answers meanwhile, and the killed one comes back by itself."""
    with watching(clients.status(workspace, workspace.load())) as tally:
        time.sleep(3)
        lab.on("status1", "systemctl kill --signal=KILL trust-services-status-responder")
        time.sleep(10)

    assert tally.total > 300
    assert tally.lost == 0, tally.reasons
    assert lab.on("status1", "systemctl is-active trust-services-status-responder").strip() == "active"


def test_a_revocation_reaches_both_responders_within_a_minute(lab: Lab, workspace: Workspace) -> None:
    """A time-stamping authority's certificate that a renewal has superseded."""
    old = x509.load_pem_x509_certificate((workspace.timestamping_directory / "timestamp1.crt").read_bytes())
    lab.document("smartgouv", "rotate", "lab", "time-stamping")
    lab.on("ca1", f"{ISSUING.format('revoke')} {old.serial_number:040x} --reason superseded")
    began = time.monotonic()
    issuer = x509.load_pem_x509_certificate(
        (workspace.ceremony_directory / "issued" / "trust-services.crt").read_bytes()
    )
    for responder in ("status1", "status2"):
        while _status(lab, responder, issuer, old) is not ocsp.OCSPCertStatus.REVOKED:
            assert time.monotonic() - began < 60
            time.sleep(0.5)
    print(f"revocation told by both responders after {time.monotonic() - began:.1f} s")


def _status(
    lab: Lab, responder: str, issuer: x509.Certificate, subject: x509.Certificate
) -> ocsp.OCSPCertStatus:
    """What a responder says of a certificate, by its own word on its own host."""
    pem = "".join(one.public_bytes(Encoding.PEM).decode() for one in (issuer, subject))
    script = (
        "d=$(mktemp -d); cd $d; csplit --quiet --prefix=c - '/BEGIN/' '{*}';"
        " openssl ocsp -issuer c01 -cert c02 -url http://127.0.0.1:8888/ -noverify -no_nonce"
        " -respout answer.der >&2;"
        " base64 --wrap=0 answer.der; rm -rf $d"
    )
    answer = ocsp.load_der_ocsp_response(base64.b64decode(lab.on(responder, script, given=pem)))
    return answer.certificate_status
