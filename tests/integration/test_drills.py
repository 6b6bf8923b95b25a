"""Certificates and authorities of a raised lab are rotated and revoked, services fail, and clients ask."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from tests.integration.raised_lab import ISSUED, Lab

from operate import clients
from operate.watching import watching
from operate.workspace import Workspace, open_workspace

pytestmark = pytest.mark.lab

COMMON_NAME = (
    "openssl x509 -in /etc/smartgouv/tls/host.crt -noout -issuer -nameopt multiline"
    " | sed -n 's/.*commonName *= //p'"
)
ISSUER = "https://ca1.lab.smartgouv.test:9444"
ASKED = f"curl -sS --cacert /etc/smartgouv/tls/root.crt {ISSUER}"
MADE = "time stamps are made"
HEALTH = f"{ASKED}/health || true"
ALERTS = "curl -sS --cacert /etc/smartgouv/tls/root.crt https://monitor1.lab.smartgouv.test:9090/api/v1/alerts"
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


def test_a_rotation_of_status_that_no_client_notices(lab: Lab) -> None:
    """Answers go on while the key that signs them changes."""
    assert lost(lab.document("smartgouv", "rotate", "lab", "responder")) == {}


def test_a_rotation_of_stamps_that_no_client_notices(lab: Lab, workspace: Workspace) -> None:
    """Stamps go on; of the superseded certificate both responders know within a minute of its revocation."""
    old = x509.load_pem_x509_certificate((workspace.timestamping_directory / "timestamp1.crt").read_bytes())
    assert lost(lab.document("smartgouv", "rotate", "lab", "time-stamping")) == {}

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


def test_certificates_of_all_hosts(lab: Lab) -> None:
    """At a hundred handshakes a second, none of which fails."""
    before = lab.on("balancer1", "openssl x509 -in /etc/smartgouv/tls/host.crt -noout -serial")
    document = lab.document("smartgouv", "rotate", "lab", "hosts")

    assert lab.on("balancer1", "openssl x509 -in /etc/smartgouv/tls/host.crt -noout -serial") != before
    assert lost(document) == {}


def test_certificates_of_the_federation(lab: Lab) -> None:
    """Each server's own, one after the other; messages pass meanwhile."""
    before = lab.on("ca1", ISSUED)
    document = lab.document("smartgouv", "rotate", "lab", "federation")

    assert lost(document) == {}
    # One for authentication and one for signing for each of nine servers.
    assert int(lab.on("ca1", ISSUED)) - int(before) >= 18


@pytest.mark.drill
def test_the_tls_authority_is_replaced_in_good_order(lab: Lab) -> None:
    """The successor has another name; every host's certificate is its own afterwards."""
    document = lab.document("smartgouv", "rotate", "lab", "infrastructure-tls")

    assert lost(document) == {}
    for host in ("balancer1", "ss-health", "citizen1"):
        assert lab.on(host, COMMON_NAME).strip() == "SMARTGOUV Lab Infrastructure TLS CA G2"


@pytest.mark.drill
def test_the_authority_of_x_road_certificates_is_replaced_in_good_order(lab: Lab) -> None:
    """Status, stamps and messages of both generations are good throughout."""
    document = lab.document("smartgouv", "rotate", "lab", "trust-services")

    assert lost(document) == {}
    assert "CA G2" in lab.on("ca1", "openssl x509 -in /etc/smartgouv/ca/trust-services/ca.crt -noout -subject")


@pytest.mark.drill
def test_a_compromised_authority_of_x_road_certificates_is_revoked(lab: Lab) -> None:
    """By the custodians; its successor issues everything anew, and every record of the root replays."""
    present = "openssl x509 -in /etc/smartgouv/ca/trust-services/ca.crt -noout"
    revoked = lab.on("ca1", f"{present} -serial").strip().removeprefix("serial=").lstrip("0")
    document = lab.document("smartgouv", "revoke-ca", "lab", "trust-services", "--yes")

    # Status and stamps of the revoked authority are no longer good, as they must not be. Citizens don't notice.
    assert "citizens' requests to all sectors" not in lost(document)
    assert "CA G3" in lab.on("ca1", f"{present} -subject")
    served = (
        "curl -sS --fail http://status.lab.smartgouv.test/crl/root.crl | openssl crl -inform der -noout -text"
    )
    deadline = time.monotonic() + 60
    while revoked not in lab.on("citizen1", served):
        assert time.monotonic() < deadline, "the root's new list doesn't reach the responders"
        time.sleep(1)
    assert lab.run("smartgouv", "ceremony", "verify", "lab").returncode == 0
    assert lab.run("smartgouv", "verify", "lab").returncode == 0


def test_a_responder_that_is_killed_under_load(lab: Lab, workspace: Workspace) -> None:
    """The other one answers meanwhile, and the killed one comes back by itself."""
    with watching(clients.status(workspace, workspace.load())) as tally:
        time.sleep(3)
        lab.on("status1", "systemctl kill --signal=KILL trust-services-status-responder")
        time.sleep(10)

    assert tally.total > 300
    assert tally.lost == 0, tally.reasons
    assert lab.on("status1", "systemctl is-active trust-services-status-responder").strip() == "active"


def test_a_token_that_does_not_open(lab: Lab) -> None:
    """Nothing is issued with a wrong PIN; status goes on, and with the right one all is well again."""
    pin = "/etc/smartgouv/ca/trust-services/pin"
    lab.on("ca1", f"cp -a {pin} /run/pin; echo wrong > {pin}; systemctl restart trust-services-issuing")
    try:
        reached(lambda: "PIN" in lab.on("ca1", HEALTH), 60)
        assert "fresh" in lab.on("status1", "curl -sS --fail http://127.0.0.1:8888/health")
    finally:
        lab.on("ca1", f"cp -a /run/pin {pin}; rm /run/pin")
    # By itself: the PIN is read again at each attempt.
    reached(lambda: '"ok"' in lab.on("ca1", HEALTH), 60)


@pytest.fixture(scope="module")
def without_the_record(lab: Lab) -> Iterator[Callable[[], None]]:
    """The database of the record is away, until the function is called."""

    def bring_back() -> None:
        lab.on("database1", "systemctl start postgresql@17-main")

    lab.on("database1", "systemctl stop postgresql@17-main")
    yield bring_back
    bring_back()


@pytest.mark.usefixtures("without_the_record")
def test_the_database_of_the_record_goes_away(lab: Lab) -> None:
    """Orders are refused with the reason; status goes on."""
    reached(lambda: "record can't be reached" in lab.on("ca1", HEALTH), 60)
    assert "fresh" in lab.on("status1", "curl -sS --fail http://127.0.0.1:8888/health")


@pytest.mark.usefixtures("without_the_record")
def test_a_clock_that_nobody_vouches_for(lab: Lab) -> None:
    """Its host makes no stamps; the other one does, and messages are stamped."""
    stamps = "curl -sS http://127.0.0.1:8899/health"
    lab.on("timestamp1", "systemctl stop chrony")
    try:
        reached(lambda: MADE not in lab.on("timestamp1", stamps), 60)
        assert MADE in lab.on("timestamp2", stamps)
        verified = lab.run("smartgouv", "verify", "lab")
        assert verified.returncode != 0
        assert [
            line
            for line in verified.stdout.splitlines()
            if "timestamp1" in line and not line.startswith("pass")
        ]
    finally:
        lab.on("timestamp1", "systemctl start chrony")
    reached(lambda: MADE in lab.on("timestamp1", stamps), 120)


@pytest.mark.drill
def test_an_alert_tells_of_the_database(lab: Lab, without_the_record: Callable[[], None]) -> None:
    """After three minutes, since it might have been a restart. All is well again without help."""
    reached(lambda: ("ProbeFailed", f"{ISSUER}/health") in firing(lab), 300)
    without_the_record()
    reached(lambda: '"ok"' in lab.on("ca1", HEALTH), 60)
    reached(lambda: not firing(lab), 180)


def firing(lab: Lab) -> set[tuple[str, str]]:
    """Alerts that are raised, each with the address that it is about."""
    found = json.loads(lab.on("monitor1", ALERTS))["data"]["alerts"]
    return {
        (alert["labels"]["alertname"], alert["labels"].get("instance", ""))
        for alert in found
        if alert["state"] == "firing"
    }


def reached(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(1)
