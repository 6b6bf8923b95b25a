"""A bad publication or CRL is refused as a whole."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asn1crypto import ocsp as asn1_ocsp
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.unit.trust_services.status.conftest import certificate as certificate_of

from trust_services.certificate_state import CertificateState
from trust_services.refusal import Refusal
from trust_services.status import publication, revocation_list, verification
from trust_services.status.answers import read
from trust_services.status.signing import Signer


def now() -> datetime:
    return datetime.now(UTC)


def fresh_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def test_a_good_publication_is_taken(pki: Any, good: CertificateState, revoked: CertificateState) -> None:
    held = pki.authority.answers(pki.publication(good, revoked, age=100), None, now())

    assert set(held.by_request) == {
        pki.request(state.serial, algorithm)
        for state in (good, revoked)
        for algorithm in (hashes.SHA1(), hashes.SHA256())  # noqa: S303
    }
    assert held.fresh_until == pytest.approx(now().timestamp() + 3500, abs=5)


def test_an_empty_publication_is_good(pki: Any) -> None:
    held = pki.authority.answers(pki.publication(), None, now())

    assert held.by_request == {}
    assert held.oldest_update is None
    assert held.fresh_until == float("inf")


def test_a_long_answer_may_be_given_as_long_as_the_budget_only(pki: Any, good: CertificateState) -> None:
    held = pki.authority.answers(pki.publication(good, lifetime=86_400), None, now())

    assert held.fresh_until == pytest.approx(now().timestamp() + 3600, abs=5)


def test_an_answer_may_not_be_given_after_its_responders_expiry(
    pki: Any, good: CertificateState, with_responder: Callable[..., Any]
) -> None:
    key = fresh_key()
    expired = with_responder(pki, pki.responder_for(key, days=0), key)

    held = pki.authority.answers(expired.publication(good), None, now())

    assert held.fresh_until <= now().timestamp()


def resigned(der: bytes, key: ec.EllipticCurvePrivateKey, **changes: Any) -> bytes:
    """An answer of which fields of the SingleResponse are changed and which `key` then signs."""
    response = asn1_ocsp.OCSPResponse.load(der)
    basic = response["response_bytes"]["response"].parsed
    data = basic["tbs_response_data"]
    for name, value in changes.items():
        data["responses"][0][name] = value
    basic["signature"] = key.sign(data.dump(force=True), ec.ECDSA(hashes.SHA256()))
    response["response_bytes"]["response"] = basic
    dumped: bytes = response.dump(force=True)
    return dumped


def one(pki: Any, state: CertificateState) -> bytes:
    return publication.decode(pki.certificate, pki.publication(state))[0]


def test_a_changed_answer_is_refused_and_with_it_all_others(
    pki: Any, good: CertificateState, revoked: CertificateState
) -> None:
    answers = publication.decode(pki.certificate, pki.publication(good, revoked))
    answers[3] = answers[3].replace(b"\x02\x02\x10\x02", b"\x02\x02\x10\x03", 1)

    with pytest.raises(Refusal, match="certificate 1003 has a wrong signature"):
        pki.authority.answers(publication.encode(pki.certificate, answers), None, now())


def test_a_responder_of_another_key_is_refused(pki: Any, good: CertificateState) -> None:
    """The answer carries the responder's certificate, but somebody else signed it."""
    forged = resigned(one(pki, good), fresh_key())
    honest = resigned(one(pki, good), pki.responder_key)

    assert pki.authority.answers(publication.encode(pki.certificate, [honest]), None, now())
    with pytest.raises(Refusal, match="wrong signature"):
        pki.authority.answers(publication.encode(pki.certificate, [forged]), None, now())


def test_an_answer_that_ends_before_it_begins_is_refused(pki: Any, good: CertificateState) -> None:
    backwards = resigned(
        one(pki, good), pki.responder_key, next_update=now().replace(microsecond=0) - timedelta(days=1)
    )

    with pytest.raises(Refusal, match="isn't after its thisUpdate"):
        pki.authority.answers(publication.encode(pki.certificate, [backwards]), None, now())


def test_a_responder_that_the_authority_didnt_certify_is_refused(
    pki: Any, other: Any, good: CertificateState, with_responder: Callable[..., Any]
) -> None:
    key = fresh_key()
    for certificate in (other.responder_for(key), pki.responder_for(key, issuer_key=other.key)):
        with pytest.raises(Refusal, match="wasn't issued by the authority"):
            pki.authority.answers(with_responder(pki, certificate, key).publication(good), None, now())


def test_a_certificate_for_something_else_is_refused(
    pki: Any, good: CertificateState, with_responder: Callable[..., Any]
) -> None:
    """Each holder of a certificate of the authority could sign answers otherwise."""
    key = fresh_key()
    holder = with_responder(pki, pki.responder_for(key, ExtendedKeyUsageOID.CLIENT_AUTH), key)

    with pytest.raises(Refusal, match="isn't for signing OCSP answers"):
        pki.authority.answers(holder.publication(good), None, now())


def test_a_certificate_without_a_purpose_is_refused(
    pki: Any, good: CertificateState, with_responder: Callable[..., Any]
) -> None:
    key = fresh_key()
    purposeless = certificate_of("responder", key, pki.certificate, pki.key)

    with pytest.raises(Refusal, match="extended key usage"):
        pki.authority.answers(with_responder(pki, purposeless, key).publication(good), None, now())


def test_the_authority_may_sign_answers_itself(
    pki: Any, other: Any, good: CertificateState, with_responder: Callable[..., Any]
) -> None:
    """RFC 6960 section 4.2.2.2; another authority may not."""
    itself = with_responder(pki, pki.certificate, pki.key)
    another = with_responder(pki, other.certificate, other.key)

    assert len(pki.authority.answers(itself.publication(good), None, now()).by_request) == 2
    with pytest.raises(Refusal, match="wasn't issued by the authority"):
        pki.authority.answers(another.publication(good), None, now())


def test_an_answer_about_another_authoritys_certificate_is_refused(
    pki: Any, other: Any, good: CertificateState
) -> None:
    about_other = other.publication(good, signer=Signer(other.certificate, pki.responder, pki.responder_key))
    content = publication.encode(pki.certificate, publication.decode(other.certificate, about_other))

    with pytest.raises(Refusal, match="another authority's certificate"):
        pki.authority.answers(content, None, now())


def test_an_answer_from_before_its_responders_time_is_refused(pki: Any, good: CertificateState) -> None:
    with pytest.raises(Refusal, match="before its responder's certificate was valid"):
        pki.authority.answers(pki.publication(good, age=2 * 86_400), None, now())


def test_an_answer_from_the_future_is_refused(pki: Any, good: CertificateState) -> None:
    with pytest.raises(Refusal, match="in the future"):
        pki.authority.answers(pki.publication(good, age=-120), None, now())
    assert pki.authority.answers(pki.publication(good, age=-30), None, now())


def _built(pki: Any, **changes: Any) -> bytes:
    """An answer by the library's builder, with something else than `signing` does."""
    names = pki.issuer_hashes(hashes.SHA1())  # noqa: S303
    encoding = changes.get("encoding", ocsp.OCSPResponderEncoding.HASH)
    builder = (
        ocsp.OCSPResponseBuilder()
        .add_response_by_hash(
            *names,
            1,
            hashes.SHA1(),  # noqa: S303
            changes.get("status", ocsp.OCSPCertStatus.GOOD),
            now(),
            changes.get("next_update", now() + timedelta(hours=1)),
            None,
            None,
        )
        .responder_id(encoding, pki.responder)
    )
    if carried := changes.get("carried", [pki.responder]):
        builder = builder.certificates(carried)
    algorithm = changes.get("algorithm", hashes.SHA256())
    response: bytes = builder.sign(pki.responder_key, algorithm).public_bytes(Encoding.DER)
    return response


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"next_update": None}, "no nextUpdate"),
        ({"status": ocsp.OCSPCertStatus.UNKNOWN}, "says 'unknown'"),
        ({"carried": []}, "carries 0 certificates"),
        ({"carried": "twice"}, "carries 2 certificates"),
        ({"encoding": ocsp.OCSPResponderEncoding.NAME}, "by the hash of its key"),
        ({"algorithm": hashes.SHA224()}, "a hash that isn't used"),
    ],
)
def test_each_rule_of_the_profile_is_checked(pki: Any, changes: dict[str, Any], words: str) -> None:
    if changes.get("carried") == "twice":
        changes = {"carried": [pki.responder, pki.responder]}
    content = publication.encode(pki.certificate, [_built(pki, **changes)])

    with pytest.raises(Refusal, match=words):
        pki.authority.answers(content, None, now())


def test_several_or_no_single_responses_are_refused(pki: Any, good: CertificateState) -> None:
    der = publication.decode(pki.certificate, pki.publication(good))[0]
    for count in (0, 2):
        response = asn1_ocsp.OCSPResponse.load(der)
        basic = response["response_bytes"]["response"].parsed
        single = basic["tbs_response_data"]["responses"][0]
        basic["tbs_response_data"]["responses"] = [single] * count
        response["response_bytes"]["response"] = basic
        with pytest.raises(Refusal, match="can't be read"):
            read(response.dump(force=True))


def test_errors_and_garbage_are_no_answers() -> None:
    error = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER)
    with pytest.raises(Refusal, match="status of an error"):
        read(error.public_bytes(Encoding.DER))
    with pytest.raises(Refusal, match="can't be read"):
        read(b"\x30\x03\x0a\x01")


def test_two_answers_to_one_request_are_refused(pki: Any, good: CertificateState) -> None:
    answers = publication.decode(pki.certificate, pki.publication(good))

    with pytest.raises(Refusal, match="two answers"):
        pki.authority.answers(publication.encode(pki.certificate, [*answers, answers[0]]), None, now())


def test_nothing_goes_back_in_time(pki: Any, good: CertificateState) -> None:
    """An old publication can't make a revoked certificate good again."""
    old = pki.publication(good, age=60)
    in_force = pki.authority.answers(pki.publication(CertificateState(good.serial, now())), None, now())

    with pytest.raises(Refusal, match="older than the one in force"):
        pki.authority.answers(old, in_force, now())


def test_what_is_in_force_isnt_verified_again(
    pki: Any, good: CertificateState, revoked: CertificateState, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = pki.publication(good)
    in_force = pki.authority.answers(first, None, now())
    both = publication.encode(
        pki.certificate,
        publication.decode(pki.certificate, first)
        + publication.decode(pki.certificate, pki.publication(revoked)),
    )
    verified = []
    check = verification._check_signature
    monkeypatch.setattr(
        verification, "_check_signature", lambda *arguments: (verified.append(1), check(*arguments))
    )

    held = pki.authority.answers(both, in_force, now())

    assert len(held.by_request) == 4
    assert len(verified) == 2


def crl(pki: Any, number: int = 1, age: float = 0, key: Any = None) -> bytes:
    signed = now() - timedelta(seconds=age)
    made = revocation_list.sign(
        pki.certificate,
        key or pki.key,
        [],
        number=number,
        this_update=signed,
        next_update=signed + timedelta(days=1),
    )
    return made.public_bytes(Encoding.DER)


def test_a_good_crl_is_taken(pki: Any) -> None:
    held = pki.authority.revocation_list(crl(pki, number=5), None, now())

    assert held.number == 5
    assert pki.authority.revocation_list(crl(pki, number=5), held, now())


def test_bad_crls_are_refused(pki: Any, other: Any) -> None:
    in_force = pki.authority.revocation_list(crl(pki, number=5), None, now())
    damaged = bytearray(crl(pki, number=6))
    damaged[-1] ^= 1
    bare = (
        x509.CertificateRevocationListBuilder(pki.certificate.subject, now(), now() + timedelta(days=1))
        .sign(pki.key, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )
    for content, words in [
        (crl(pki)[:-1], "isn't a CRL"),
        (b"", "isn't a CRL"),
        (bytes(damaged), "didn't sign it"),
        (crl(other), "didn't sign it"),
        (bare, "isn't a CRL with a number"),
        (crl(pki, number=4), "below 5"),
        (crl(pki, number=6, age=-120), "in the future"),
    ]:
        with pytest.raises(Refusal, match=words):
            pki.authority.revocation_list(content, in_force, now())


def test_a_responder_with_another_kind_of_key_is_refused(pki: Any, good: CertificateState) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    certificate = pki.responder_for(key)
    names = pki.issuer_hashes(hashes.SHA256())
    response = (
        ocsp.OCSPResponseBuilder()
        .add_response_by_hash(
            *names,
            good.serial,
            hashes.SHA256(),
            ocsp.OCSPCertStatus.GOOD,
            now(),
            now() + timedelta(hours=1),
            None,
            None,
        )
        .responder_id(ocsp.OCSPResponderEncoding.HASH, certificate)
        .certificates([certificate])
        .sign(key, None)
    )
    content = publication.encode(pki.certificate, [response.public_bytes(Encoding.DER)])

    with pytest.raises(Refusal, match="isn't used here"):
        pki.authority.answers(content, None, now())
