"""What counts as a failure of a responder, while a bench asks it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from operate import ocsp_load
from operate.bench_issuing import authority_certificate
from operate.failure import Failure
from operate.ocsp_load import Publication
from trust_services.certificate_state import CertificateState
from trust_services.status import publication
from trust_services.status.signing import Signer

KEY = ec.generate_private_key(ec.SECP256R1())
ISSUER = authority_certificate("CA", KEY.public_key(), "CA", KEY, 0)
SIGNER = Signer(ISSUER, ISSUER, KEY)
NOW = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)


def answer(serial: int = 7, age: timedelta = timedelta(0), revoked: datetime | None = None) -> bytes:
    """An answer of so long ago."""
    state = CertificateState(serial, revoked, x509.ReasonFlags.superseded if revoked else None)
    return SIGNER.sign([state], NOW - age, NOW - age + HOUR)[0].der


def test_a_good_answer_is_none() -> None:
    """About the certificate that was asked about, and fresh."""
    assert ocsp_load._wrong(200, answer(), 7) == ""


@pytest.mark.parametrize(
    ("status", "content", "reason"),
    [
        (503, answer(), "status 503"),
        (200, answer(8), "another certificate"),
        (200, answer(revoked=NOW - HOUR), "REVOKED"),
        (200, answer(age=2 * HOUR), "too old"),
        (
            200,
            ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER).public_bytes(
                Encoding.DER
            ),
            "TRY_LATER",
        ),
    ],
)
def test_everything_else_is_one(status: int, content: bytes, reason: str) -> None:
    """With its reason."""
    assert reason in ocsp_load._wrong(status, content, 7)


def test_a_publication_is_read_when_it_changed(tmp_path: Path) -> None:
    """Good answers alone are asked for, with SHA-1."""
    (tmp_path / "ca.pem").write_bytes(ISSUER.public_bytes(Encoding.PEM))
    published = Publication(tmp_path / "ca.pem", tmp_path / "answers")
    assert not published.changed()

    states = [CertificateState(7), CertificateState(8, NOW - HOUR, x509.ReasonFlags.superseded)]
    answers = SIGNER.sign(states, NOW, NOW + HOUR)
    published.answers.write_bytes(publication.encode(ISSUER, [one.der for one in answers]))
    assert [published.changed(), published.changed()] == [True, False]
    ((serial, asked),) = published.read().items()
    request = ocsp.load_der_ocsp_request(asked)
    assert (serial, request.serial_number) == (7, 7)
    assert isinstance(request.hash_algorithm, hashes.SHA1)


def test_a_bad_publication_is_told(tmp_path: Path) -> None:
    """It isn't taken for one that isn't complete yet."""
    (tmp_path / "ca.pem").write_bytes(ISSUER.public_bytes(Encoding.PEM))
    (tmp_path / "answers").write_bytes(b"no publication")
    with pytest.raises(Failure, match="answers is refused"):
        Publication(tmp_path / "ca.pem", tmp_path / "answers").read()
