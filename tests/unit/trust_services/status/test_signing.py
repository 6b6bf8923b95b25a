"""Answers are what clients expect, and are signed again in time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asn1crypto import ocsp as asn1_ocsp
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509 import ocsp

from trust_services.certificate_state import CertificateState
from trust_services.refusal import Refusal
from trust_services.status.answers import Answer, read
from trust_services.status.signing import Signer

NOW = datetime(2026, 11, 26, 10, 0, 0, 999_000, tzinfo=UTC)
HOUR = timedelta(hours=1)


def by_serial(answers: list[Answer]) -> dict[int, list[Answer]]:
    found: dict[int, list[Answer]] = {}
    for answer in answers:
        found.setdefault(answer.serial, []).append(answer)
    return found


def test_one_answer_for_each_certificate_and_hash(
    pki: Any, good: CertificateState, revoked: CertificateState
) -> None:
    answers = pki.signer.sign([good, revoked], NOW, NOW + HOUR)

    assert [answer.request for answer in answers] == [
        pki.request(good.serial),
        pki.request(good.serial, hashes.SHA256()),
        pki.request(revoked.serial),
        pki.request(revoked.serial, hashes.SHA256()),
    ]


def test_an_answer_says_what_the_register_says(pki: Any, revoked: CertificateState) -> None:
    answer = pki.signer.sign([revoked], NOW, NOW + HOUR)[0]
    response = ocsp.load_der_ocsp_response(answer.der)

    assert response.response_status is ocsp.OCSPResponseStatus.SUCCESSFUL
    assert response.certificate_status is ocsp.OCSPCertStatus.REVOKED
    assert response.revocation_time_utc == revoked.revoked_at
    assert response.revocation_reason is x509.ReasonFlags.key_compromise
    assert response.this_update_utc == NOW.replace(microsecond=0)
    assert response.next_update_utc == NOW.replace(microsecond=0) + HOUR
    assert response.certificates == [pki.responder]
    assert (
        response.responder_key_hash
        == x509.SubjectKeyIdentifier.from_public_key(pki.responder.public_key()).digest
    )
    assert response.responder_name is None
    assert list(response.extensions) == []


def test_a_second_reader_sees_exactly_one_single_response(pki: Any, good: CertificateState) -> None:
    answer = pki.signer.sign([good], NOW, NOW + HOUR)[0]
    basic = asn1_ocsp.OCSPResponse.load(answer.der, strict=True)["response_bytes"]["response"].parsed

    singles = basic["tbs_response_data"]["responses"]
    assert len(singles) == 1
    assert singles[0]["cert_status"].name == "good"
    # X-Road compares the CertID by its bytes, and its library writes NULL parameters.
    assert singles[0]["cert_id"]["hash_algorithm"].dump().hex() == "300906052b0e03021a0500"


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (ec.generate_private_key(ec.SECP256R1()), hashes.SHA256),
        (ec.generate_private_key(ec.SECP384R1()), hashes.SHA384),
        (rsa.generate_private_key(65537, 2048), hashes.SHA256),
    ],
    ids=["p256", "p384", "rsa"],
)
def test_the_signature_verifies_with_the_hash_that_goes_with_the_key(
    new_pki: Callable[..., Any], good: CertificateState, key: Any, algorithm: type[hashes.HashAlgorithm]
) -> None:
    made = new_pki("Keys", responder_key=key)
    response = ocsp.load_der_ocsp_response(made.signer.sign([good], NOW, NOW + HOUR)[0].der)

    assert isinstance(response.signature_hash_algorithm, algorithm)
    public = made.responder.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        public.verify(response.signature, response.tbs_response_bytes, padding.PKCS1v15(), algorithm())
    else:
        public.verify(response.signature, response.tbs_response_bytes, ec.ECDSA(algorithm()))


def test_an_authority_with_an_rsa_key_is_named_right(
    new_pki: Callable[..., Any], good: CertificateState
) -> None:
    made = new_pki("RSA", key=rsa.generate_private_key(65537, 2048))

    requests = [answer.request for answer in made.signer.sign([good], NOW, NOW + HOUR)]

    assert requests == [made.request(good.serial), made.request(good.serial, hashes.SHA256())]


def test_reading_gives_back_what_signing_knew(
    pki: Any, good: CertificateState, revoked: CertificateState
) -> None:
    for answer in pki.signer.sign([good, revoked], NOW, NOW + HOUR):
        assert read(answer.der)[0] == answer


def test_unspecified_is_left_out(pki: Any) -> None:
    state = CertificateState(7, NOW, x509.ReasonFlags.unspecified)

    answer = pki.signer.sign([state], NOW, NOW + HOUR)[0]

    assert answer.reason is None
    assert ocsp.load_der_ocsp_response(answer.der).revocation_reason is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"reason": x509.ReasonFlags.superseded}, "isn't revoked"),
        ({"revoked_at": NOW.replace(tzinfo=None)}, "without a time zone"),
        ({"revoked_at": NOW, "reason": x509.ReasonFlags.remove_from_crl}, "removeFromCRL"),
    ],
)
def test_states_that_cant_be_are_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(Refusal, match=words):
        CertificateState(1, **arguments)


def test_a_key_of_somebody_else_is_refused(pki: Any, other: Any) -> None:
    with pytest.raises(Refusal, match="isn't that of the responder"):
        Signer(pki.certificate, pki.responder, other.responder_key)


def test_an_answer_that_ends_before_it_begins_is_refused(pki: Any, good: CertificateState) -> None:
    with pytest.raises(Refusal, match="nextUpdate"):
        pki.signer.sign([good], NOW, NOW)


def test_nothing_is_due_while_answers_are_young(
    pki: Any, good: CertificateState, revoked: CertificateState
) -> None:
    answers = by_serial(pki.signer.sign([good, revoked], NOW, NOW + HOUR))

    assert pki.signer.due([good, revoked], answers, HOUR, NOW + timedelta(minutes=19, seconds=58)) == []


def test_answers_are_due_at_a_third_of_the_budget(pki: Any, good: CertificateState) -> None:
    answers = by_serial(pki.signer.sign([good], NOW, NOW + HOUR))

    assert pki.signer.due([good], answers, HOUR, NOW + timedelta(minutes=20)) == [good]


def test_the_most_urgent_come_first(pki: Any) -> None:
    old, older, changed, new = (CertificateState(number) for number in (1, 2, 3, 4))
    answers = by_serial(
        [
            *pki.signer.sign([old, changed], NOW - timedelta(minutes=21), NOW + HOUR),
            *pki.signer.sign([older], NOW - timedelta(minutes=22), NOW + HOUR),
        ]
    )
    now_revoked = CertificateState(3, NOW)

    due = pki.signer.due([old, new, older, now_revoked], answers, HOUR, NOW)

    assert due == [now_revoked, new, older, old]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (CertificateState(1), CertificateState(1, NOW)),
        (CertificateState(1, NOW, x509.ReasonFlags.certificate_hold), CertificateState(1)),
        (CertificateState(1, NOW, x509.ReasonFlags.superseded), CertificateState(1, NOW)),
        (CertificateState(1, NOW), CertificateState(1, NOW - HOUR)),
    ],
)
def test_each_change_is_due(pki: Any, before: CertificateState, after: CertificateState) -> None:
    answers = by_serial(pki.signer.sign([before], NOW, NOW + HOUR))

    assert pki.signer.due([after], answers, HOUR, NOW) == [after]
    assert pki.signer.due([before], answers, HOUR, NOW) == []


def test_answers_of_a_former_responder_are_due(
    pki: Any, good: CertificateState, with_responder: Callable[..., Any]
) -> None:
    answers = by_serial(pki.signer.sign([good], NOW, NOW + HOUR))
    renewed = with_responder(pki, pki.responder_for(pki.responder_key), pki.responder_key)

    assert renewed.signer.due([good], answers, HOUR, NOW) == [good]
