"""What an answer says, as another library reads it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest
from asn1crypto import cms, core, tsp
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.x509 import ObjectIdentifier
from hypothesis import given
from hypothesis import strategies as st

from trust_services.timestamps.answer import Stamper, accuracy, new_serial_number, rejection
from trust_services.timestamps.clock import Moment
from trust_services.timestamps.request import read_request
from trust_services.timestamps.settings import Identity
from trust_services.timestamps.syntax import Failure

POLICY = ObjectIdentifier("1.3.6.1.4.1.99999.1.1")
HASH = hashlib.sha512(b"a message").digest()
NOON = datetime(2027, 1, 15, 12, 0, 0, tzinfo=UTC)


def answer_to(
    identity: Identity, moment: Moment | None = None, algorithm: str = "sha512", **more: Any
) -> tsp.TimeStampResp:
    request = tsp.TimeStampReq(
        {
            "version": 1,
            "message_imprint": {
                "hash_algorithm": {"algorithm": algorithm},
                "hashed_message": HASH[: hashlib.new(algorithm).digest_size],
            },
            **more,
        }
    )
    stamper = Stamper(identity.key, identity.certificate, identity.chain, POLICY)
    answer = stamper.stamp(read_request(request.dump(), POLICY), moment or Moment(NOON, 0.001))
    read = tsp.TimeStampResp.load(answer, strict=True)
    assert read["status"]["status"].native == "granted"
    return read


def signed_data(answer: tsp.TimeStampResp) -> cms.SignedData:
    assert answer["time_stamp_token"]["content_type"].native == "signed_data"
    return answer["time_stamp_token"]["content"]


def info_of(answer: tsp.TimeStampResp) -> tsp.TSTInfo:
    return signed_data(answer)["encap_content_info"]["content"].parsed


def attributes_of(answer: tsp.TimeStampResp) -> dict[str, Any]:
    (signer,) = signed_data(answer)["signer_infos"]
    assert len({each["type"].native for each in signer["signed_attrs"]}) == len(signer["signed_attrs"])
    return {each["type"].native: each["values"][0] for each in signer["signed_attrs"]}


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_the_content_repeats_what_was_asked(identity: Identity, algorithm: str) -> None:
    info = info_of(answer_to(identity, algorithm=algorithm, nonce=2**63 + 9))
    assert info["version"].native == "v1"
    assert info["policy"].native == POLICY.dotted_string
    assert info["message_imprint"]["hash_algorithm"]["algorithm"].native == algorithm
    assert info["message_imprint"]["hashed_message"].native == HASH[: hashlib.new(algorithm).digest_size]
    assert info["nonce"].native == 2**63 + 9
    assert info["ordering"].native is False


def test_without_a_nonce_there_is_none_in_the_answer(identity: Identity) -> None:
    assert info_of(answer_to(identity))["nonce"].native is None


def test_the_message_imprint_is_the_one_that_came_to_the_byte(identity: Identity) -> None:
    with_null = bytes.fromhex("3051300d060960864801650304020305000440") + HASH
    request = b"\x30\x56\x02\x01\x01" + with_null
    stamper = Stamper(identity.key, identity.certificate, identity.chain, POLICY)
    assert with_null in stamper.stamp(read_request(request, POLICY), Moment(NOON, 0.001))


def test_the_signature_is_the_authoritys(identity: Identity) -> None:
    answer = answer_to(identity)
    data = signed_data(answer)
    assert data["version"].native == "v3"
    assert data["encap_content_info"]["content_type"].native == "tst_info"
    (signer,) = data["signer_infos"]
    assert signer["version"].native == "v1"
    assert signer["signature_algorithm"].signature_algo == "rsassa_pkcs1v15"
    identity.certificate.public_key().verify(  # type: ignore[call-arg, union-attr]
        signer["signature"].native,
        signer["signed_attrs"].untag().dump(),
        PKCS1v15(),
        hashes.SHA512(),
    )


def test_the_attributes_bind_content_and_certificate(identity: Identity) -> None:
    answer = answer_to(identity)
    attributes = attributes_of(answer)
    assert set(attributes) == {"content_type", "message_digest", "signing_certificate_v2"}
    assert attributes["content_type"].native == "tst_info"
    content = bytes(signed_data(answer)["encap_content_info"]["content"])
    assert attributes["message_digest"].native == hashlib.sha512(content).digest()
    (named,) = attributes["signing_certificate_v2"]["certs"]
    assert named["hash_algorithm"]["algorithm"].native == "sha256"
    assert named["cert_hash"].native == identity.certificate.fingerprint(hashes.SHA256())
    assert named["issuer_serial"]["serial_number"].native == identity.certificate.serial_number
    (issuer,) = named["issuer_serial"]["issuer"]
    assert issuer.contents in identity.certificate.public_bytes(serialization.Encoding.DER)


def test_the_attributes_stand_in_the_order_of_der(identity: Identity) -> None:
    (signer,) = signed_data(answer_to(identity))["signer_infos"]
    encoded = [each.dump() for each in signer["signed_attrs"]]
    assert encoded == sorted(encoded)


def test_certificates_are_sent_only_to_those_who_ask(identity: Identity) -> None:
    assert len(signed_data(answer_to(identity))["certificates"]) == 0
    sent = signed_data(answer_to(identity, cert_req=True))["certificates"]
    assert {x509.load_der_x509_certificate(each.dump()) for each in sent} == {
        identity.certificate,
        *identity.chain,
    }


@pytest.mark.parametrize(
    ("microsecond", "written"),
    [
        (0, b"\x18\x0f20270115120000Z"),
        (1, b"\x18\x1620270115120000.000001Z"),
        (120_000, b"\x18\x1220270115120000.12Z"),
        (999_999, b"\x18\x1620270115120000.999999Z"),
    ],
)
def test_the_time_has_no_trailing_zeros(identity: Identity, microsecond: int, written: bytes) -> None:
    moment = Moment(NOON.replace(microsecond=microsecond), 0.001)
    info = info_of(answer_to(identity, moment))
    assert info["gen_time"].dump() == written


@given(st.floats(min_value=0, max_value=100))
def test_the_accuracy_is_never_better_than_the_clock(error: float) -> None:
    said = accuracy(error)
    parts = (said.seconds, said.milliseconds, said.microseconds)
    assert any(parts)
    assert all(part is None or 1 <= part <= 999 for part in parts[1:])
    total = sum(Fraction(part or 0, unit) for part, unit in zip(parts, (1, 1000, 1_000_000), strict=True))
    assert Fraction(error) <= total + Fraction(1, 10**12)
    assert total - Fraction(error) <= Fraction(1, 1_000_000)


def test_the_accuracy_is_in_the_answer(identity: Identity) -> None:
    said = info_of(answer_to(identity, Moment(NOON, 2.0305)))["accuracy"].native
    assert said == {"seconds": 2, "millis": 30, "micros": 500}


def test_serial_numbers_are_positive_short_enough_and_differ() -> None:
    drawn = {new_serial_number() for _ in range(10_000)}
    assert len(drawn) == 10_000
    assert all(0 < each < 2**159 for each in drawn)
    # Spread over the whole range, not a counter's or a clock's.
    assert max(drawn) > 2**158


@pytest.mark.parametrize("failure", list(Failure))
def test_a_refusal_says_why(failure: Failure) -> None:
    # asn1crypto knows no answer without a token.
    (status,) = core.SequenceOf.load(rejection(failure, "réglez l'horloge"), strict=True, spec=core.Any)
    read = tsp.PKIStatusInfo.load(status.dump(), strict=True)
    assert read["status"].native == "rejection"
    assert read["status_string"].native == ["réglez l'horloge"]
    bits = read["fail_info"].cast(core.BitString).native
    assert [place for place, bit in enumerate(bits) if bit] == [failure]
    # The last bit is the one that is set: shorter isn't possible, longer isn't DER.
    assert len(bits) == failure + 1
