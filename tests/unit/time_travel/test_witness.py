"""The witness of the time travel notes whatever a client would refuse: else it would find nothing, ever."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.unit.trust_services.status.conftest import GOOD, REVOKED, Pki
from tests.unit.trust_services.status.conftest import certificate as certified

from time_travel.witness import Findings, Status, Witness, stamp_request
from trust_services.certificate_state import CertificateState
from trust_services.status import revocation_list
from trust_services.status.metrics import Result
from trust_services.status.responder import TRY_LATER, UNKNOWN, Response
from trust_services.timestamps.answer import Stamper, rejection
from trust_services.timestamps.clock import Moment
from trust_services.timestamps.request import read_request
from trust_services.timestamps.syntax import Failure

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def site() -> Pki:
    return Pki("Witnessed authority")


@pytest.fixture
def witness(site: Pki) -> Witness:
    return Witness(HOUR, site.root)


def signed(
    site: Pki, age: timedelta = timedelta(), lives: timedelta = HOUR, state: CertificateState = GOOD
) -> bytes:
    begins = NOW - age
    return site.signer.sign([state], begins, begins + lives)[0].der


def judged(witness: Witness, site: Pki, der: bytes, status: Status = "good", late: str = "") -> Findings:
    witness.answer("it", der, site.certificate, status, NOW, late=late)
    return witness.findings


def test_what_is_right_is_only_counted(witness: Witness, site: Pki) -> None:
    judged(witness, site, signed(site))
    judged(witness, site, signed(site, state=REVOKED), "revoked")
    judged(witness, site, UNKNOWN.body, "unknown")
    judged(witness, site, TRY_LATER.body, late="away")
    findings = witness.findings
    assert (findings.expired, findings.wrong) == ([], [])
    assert findings.asked == {"OCSP answers": 4}
    assert findings.late == {"away": 1}


@pytest.mark.parametrize(
    ("age", "lives"),
    [
        pytest.param(2 * HOUR, HOUR, id="past its nextUpdate"),
        pytest.param(HOUR, HOUR, id="at its nextUpdate"),
        pytest.param(HOUR, 5 * HOUR, id="older than the budget"),
    ],
)
@pytest.mark.parametrize("late", ["", "away"])
def test_old_answers_are_expired_in_any_circumstance(
    witness: Witness, site: Pki, age: timedelta, lives: timedelta, late: str
) -> None:
    assert judged(witness, site, signed(site, age, lives), late=late).expired


def test_answers_under_an_ended_certificate_are_expired(witness: Witness, site: Pki) -> None:
    """The signature's certificate, or the authority's above it."""
    witness.answer("it", signed(site, lives=5 * HOUR), site.certificate, "good", NOW + timedelta(days=31))
    assert any("in the chain" in told for told in witness.findings.expired)


@pytest.mark.parametrize(
    ("state", "status"), [(GOOD, "revoked"), (GOOD, "unknown"), (REVOKED, "good"), (REVOKED, "unknown")]
)
def test_another_status_is_wrong(witness: Witness, site: Pki, state: CertificateState, status: Status) -> None:
    assert judged(witness, site, signed(site, state=state), status).wrong


@pytest.mark.parametrize("status", ["good", "revoked"])
def test_no_answer_is_wrong(witness: Witness, site: Pki, status: Status) -> None:
    assert judged(witness, site, UNKNOWN.body, status, late="away").wrong


def test_try_later_is_wrong_in_no_circumstance_that_allows_it(witness: Witness, site: Pki) -> None:
    assert judged(witness, site, TRY_LATER.body).wrong


def test_answers_of_another_authority_or_signature_are_wrong(witness: Witness, site: Pki) -> None:
    assert judged(witness, site, signed(Pki("Another"))).wrong
    damaged = bytearray(signed(site))
    signature = ocsp.load_der_ocsp_response(bytes(damaged)).signature
    damaged[damaged.index(signature) + len(signature) - 1] ^= 1
    before = len(witness.findings.wrong)
    assert len(judged(witness, site, bytes(damaged)).wrong) == before + 1


def test_answers_from_the_future_are_wrong(witness: Witness, site: Pki) -> None:
    assert judged(witness, site, signed(site, -HOUR)).wrong


def listed(site: Pki, age: timedelta, *states: CertificateState, number: int = 1) -> Response:
    made = revocation_list.sign(
        site.certificate,
        site.key,
        states,
        number=number,
        this_update=NOW - age,
        next_update=NOW - age + 48 * HOUR,
    )
    return Response(Result.OTHER, 200, [], made.public_bytes(Encoding.DER))


def test_revocation_lists(witness: Witness, site: Pki) -> None:
    findings = witness.findings
    witness.revocation_list(
        "it", listed(site, HOUR, REVOKED, number=7), site.certificate, [REVOKED.serial], NOW
    )
    assert (findings.expired, findings.wrong) == ([], [])
    witness.revocation_list("it", listed(site, 48 * HOUR, number=7), site.certificate, [], NOW)
    assert len(findings.expired) == 1
    for response, revoked in (
        (listed(site, HOUR, number=7), [REVOKED.serial]),
        (listed(site, HOUR, number=6), []),
        (listed(Pki("Another"), HOUR, number=8), []),
        (Response(Result.REFUSED, 503, []), []),
    ):
        before = len(findings.wrong)
        witness.revocation_list("it", response, site.certificate, revoked, NOW)
        assert len(findings.wrong) == before + 1
    assert len(findings.expired) == 1


def test_certificates(witness: Witness, site: Pki) -> None:
    findings = witness.findings
    witness.in_force({"it": site.responder}, site.responder.not_valid_after_utc)
    der = site.certificate.public_bytes(Encoding.DER)
    witness.served_certificate("it", Response(Result.OTHER, 200, [], der), NOW)
    assert (findings.expired, findings.wrong) == ([], [])
    witness.in_force({"it": site.responder}, site.responder.not_valid_after_utc + timedelta(seconds=1))
    assert len(findings.expired) == 1
    witness.in_force({"it": site.responder}, site.responder.not_valid_before_utc - timedelta(seconds=1))
    witness.served_certificate("it", Response(Result.REFUSED, 503, []), NOW)
    witness.served_certificate(
        "it", Response(Result.OTHER, 200, [], Pki("Another").certificate.public_bytes(Encoding.DER)), NOW
    )
    assert len(findings.wrong) == 3


def test_time_stamps(witness: Witness, site: Pki, tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 3072)
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
    own = certified("stamps", key, site.certificate, site.key, usage)
    policy = x509.ObjectIdentifier("2.999.1")
    asked = read_request(stamp_request(), policy)
    reply = Stamper(key, own, (site.certificate,), policy).stamp(asked, Moment(NOW, 0.001))

    def judged_at(moment: datetime, data: bytes = reply) -> None:
        witness.stamp(data, moment, tmp_path / "none", tmp_path, by_openssl=False)

    judged_at(NOW)
    findings = witness.findings
    assert (findings.expired, findings.wrong) == ([], [])
    judged_at(NOW + HOUR)
    assert len(findings.wrong) == 1
    judged_at(NOW, rejection(Failure.TIME_NOT_AVAILABLE, "no"))
    assert len(findings.wrong) == 2
    judged_at(NOW + timedelta(days=31))
    assert findings.expired
