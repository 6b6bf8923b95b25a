"""What the simulator accepts as a certificate's status and as a time stamp, and what it refuses."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asn1crypto import tsp
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp as library
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from federation_rig.trust_services import TrustServices, certified, rsa_key
from trust_services.timestamps.answer import Stamper, rejection
from trust_services.timestamps.syntax import Failure
from xroad_simulator import ocsp, time_stamps
from xroad_simulator.ocsp import OcspError, Status
from xroad_simulator.time_stamps import TimeStampError

FRESHNESS = timedelta(hours=1)
DIGEST = hashlib.sha512(b"messages").digest()


def authority(name: str) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(
        subject, subject, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1)
    )
    constraints = x509.BasicConstraints(ca=True, path_length=0)
    return builder.add_extension(constraints, critical=True).sign(key, hashes.SHA256()), key


@pytest.fixture(scope="module")
def trust() -> TrustServices:
    return TrustServices(*authority("Trust services"))


@pytest.fixture(scope="module")
def member(trust: TrustServices) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    purposes = [ExtendedKeyUsageOID.CLIENT_AUTH]
    return certified("ss1", key, trust.issuer, trust.issuer_key, purposes, critical=False)


def judged(trust: TrustServices, member: x509.Certificate, answer: bytes | None = None, **at: Any) -> Status:
    """The status, if it is good now."""
    given = trust.status(ocsp.request(member, trust.issuer)) if answer is None else answer
    statement = ocsp.read(given, member, trust.issuer, at.get("registered", ()))
    statement.require_good(FRESHNESS, at.get("moment", datetime.now(UTC)))
    return statement.status


def signed(
    trust: TrustServices,
    member: x509.Certificate,
    signer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey],
    *,
    carried: bool = True,
    by_name: bool = False,
    **more: Any,
) -> bytes:
    """An answer of somebody's, with whatever is to be tried."""
    now = datetime.now(UTC)
    facts = {
        "cert_status": library.OCSPCertStatus.GOOD,
        "revocation_time": None,
        "revocation_reason": None,
        "next_update": now + timedelta(hours=1),
        "algorithm": hashes.SHA1(),  # noqa: S303 - X-Road names certificates so
        **more,
    }
    encoding = library.OCSPResponderEncoding
    builder = (
        library.OCSPResponseBuilder()
        .add_response(member, trust.issuer, this_update=now, **facts)
        .responder_id(encoding.NAME if by_name else encoding.HASH, signer[0])
    )
    if carried:
        builder = builder.certificates([signer[0]])
    return builder.sign(signer[1], hashes.SHA256()).public_bytes(Encoding.DER)


def test_the_question_is_x_roads(trust: TrustServices, member: x509.Certificate) -> None:
    """SHA-1, one certificate, no nonce."""
    asked = library.load_der_ocsp_request(ocsp.request(member, trust.issuer))

    assert asked.hash_algorithm.name == "sha1"
    assert asked.serial_number == member.serial_number
    assert list(asked.extensions) == []


def test_our_own_answer_is_good(trust: TrustServices, member: x509.Certificate) -> None:
    """The status program's, signed by its delegated responder, without a registered certificate."""
    assert judged(trust, member) is Status.GOOD


def test_a_registered_responder_and_the_ca_itself_may_sign(
    trust: TrustServices, member: x509.Certificate
) -> None:
    """By name or by key; neither has to be carried."""
    strange = authority("Registered responder")

    for by_name in (True, False):
        answer = signed(trust, member, strange, carried=False, by_name=by_name)
        assert judged(trust, member, answer, registered=(strange[0],)) is Status.GOOD
        own = signed(trust, member, (trust.issuer, trust.issuer_key), carried=False, by_name=by_name)
        assert judged(trust, member, own) is Status.GOOD


def test_who_wasnt_told_to_answer_may_not(trust: TrustServices, member: x509.Certificate) -> None:
    """Somebody of another CA; a certificate of this CA for something else; a forged signature."""
    key = ec.generate_private_key(ec.SECP256R1())
    for_clients = certified("ss2", key, trust.issuer, trust.issuer_key, [ExtendedKeyUsageOID.CLIENT_AUTH])
    for signer in (authority("Strange"), (for_clients, key)):
        with pytest.raises(OcspError, match="not signed by anybody who may"):
            judged(trust, member, signed(trust, member, signer))
    forged = signed(trust, member, (trust.issuer, trust.issuer_key), carried=False)
    with pytest.raises(OcspError, match="signature is not valid"):
        judged(trust, member, forged[:-1] + bytes([forged[-1] ^ 1]))


def test_an_answer_about_another_certificate(trust: TrustServices, member: x509.Certificate) -> None:
    """By its number, or named by another hash than was asked with."""
    other = certified(
        "ss2", rsa_key("other"), trust.issuer, trust.issuer_key, [ExtendedKeyUsageOID.CLIENT_AUTH]
    )
    by_sha256 = signed(trust, member, (trust.issuer, trust.issuer_key), algorithm=hashes.SHA256())
    about_other = trust.status(ocsp.request(other, trust.issuer))

    for answer in (by_sha256, about_other):
        with pytest.raises(OcspError, match="does not apply to certificate"):
            judged(trust, member, answer)


@pytest.mark.parametrize(
    ("later", "told"),
    [
        (timedelta(minutes=61), "too old"),
        (timedelta(minutes=-2), "of the future"),
    ],
)
def test_an_answer_of_another_time(
    trust: TrustServices, member: x509.Certificate, later: timedelta, told: str
) -> None:
    """Older than the configuration's freshness, though its nextUpdate is ahead; or signed too early."""
    with pytest.raises(OcspError, match=told):
        judged(trust, member, moment=datetime.now(UTC) + later)


def test_an_answer_past_its_next_update(trust: TrustServices, member: x509.Certificate) -> None:
    """Fresh enough by thisUpdate, but a newer one should be there; without nextUpdate nobody minds."""
    own, soon = (trust.issuer, trust.issuer_key), datetime.now(UTC) + timedelta(minutes=10)
    later = soon + timedelta(minutes=10)
    with pytest.raises(OcspError, match="has expired"):
        judged(trust, member, signed(trust, member, own, next_update=soon), moment=later)
    assert judged(trust, member, signed(trust, member, own, next_update=None), moment=later) is Status.GOOD


@pytest.mark.parametrize(
    ("status", "reason", "told"),
    [
        (library.OCSPCertStatus.REVOKED, None, "REVOKED"),
        (library.OCSPCertStatus.REVOKED, x509.ReasonFlags.certificate_hold, "SUSPENDED"),
        (library.OCSPCertStatus.UNKNOWN, None, "UNKNOWN"),
    ],
)
def test_a_certificate_that_isnt_good(
    trust: TrustServices,
    member: x509.Certificate,
    status: library.OCSPCertStatus,
    reason: x509.ReasonFlags | None,
    told: str,
) -> None:
    """Revoked, on hold, unknown: none may be used."""
    revoked = datetime.now(UTC) if status is library.OCSPCertStatus.REVOKED else None
    own = (trust.issuer, trust.issuer_key)
    facts = {"cert_status": status, "revocation_time": revoked, "revocation_reason": reason}
    with pytest.raises(OcspError, match=f"status is {told}") as caught:
        judged(trust, member, signed(trust, member, own, **facts))
    assert caught.value.code == "cert_validation"


@pytest.mark.parametrize("answer", [b"", b"nothing", bytes.fromhex("30030a0106")])
def test_no_answer(trust: TrustServices, member: x509.Certificate, answer: bytes) -> None:
    """Damage, and a responder's refusal."""
    with pytest.raises(OcspError):
        judged(trust, member, answer)


def stamped(trust: TrustServices, reply: bytes | None = None, nonce: int = 7) -> time_stamps.TimeStamp:
    given = trust.stamp(time_stamps.query(DIGEST, nonce)) if reply is None else reply
    return time_stamps.read_reply(given, DIGEST, 7, [trust.stamp_certificate])


def test_our_own_time_stamp_is_verified(trust: TrustServices) -> None:
    """The time-stamping program's; and again later from what was kept."""
    made = stamped(trust)

    assert abs(made.time - datetime.now(UTC)) < timedelta(minutes=1)
    assert time_stamps.verify(made.token, DIGEST, [trust.stamp_certificate]) == made.time


def test_a_time_stamp_of_something_else(trust: TrustServices) -> None:
    """Another digest, or the answer to another question."""
    other = trust.stamp(time_stamps.query(hashlib.sha512(b"other").digest(), 7))
    with pytest.raises(TimeStampError, match="of something else"):
        stamped(trust, other)
    with pytest.raises(TimeStampError, match="nonce"):
        stamped(trust, nonce=8)


def _changed(reply: bytes, part: Callable[[Any], Any]) -> bytes:
    """The answer with one bit of a part of its signed data turned."""
    signed_data = tsp.TimeStampResp.load(reply)["time_stamp_token"]["content"]
    octets: bytes = part(signed_data).contents
    place = reply.index(octets) + len(octets) - 1
    return reply[:place] + bytes([reply[place] ^ 1]) + reply[place + 1 :]


def test_a_changed_time_stamp(trust: TrustServices) -> None:
    """Its content or its signature."""
    reply = trust.stamp(time_stamps.query(DIGEST, 7))
    with pytest.raises(TimeStampError):
        stamped(trust, _changed(reply, lambda data: data["encap_content_info"]["content"]))
    with pytest.raises(TimeStampError, match="signature is wrong"):
        stamped(trust, _changed(reply, lambda data: data["signer_infos"][0]["signature"]))


def test_who_isnt_approved_stamps_nothing(trust: TrustServices) -> None:
    """Only the registered certificate counts, whatever the answer carries."""
    other = TrustServices(trust.issuer, trust.issuer_key)
    reply = other.stamp(time_stamps.query(DIGEST, 7))

    with pytest.raises(TimeStampError, match="none of the approved"):
        stamped(trust, reply)
    both = [trust.stamp_certificate, other.stamp_certificate]
    assert time_stamps.read_reply(reply, DIGEST, 7, both).token


@pytest.mark.parametrize(
    ("purposes", "critical"),
    [
        ([ExtendedKeyUsageOID.TIME_STAMPING], False),
        ([ExtendedKeyUsageOID.TIME_STAMPING, ExtendedKeyUsageOID.CLIENT_AUTH], True),
        ([ExtendedKeyUsageOID.OCSP_SIGNING], True),
    ],
)
def test_an_approved_certificate_for_something_else(
    trust: TrustServices, purposes: list[x509.ObjectIdentifier], critical: bool
) -> None:
    """RFC 3161, section 2.3."""
    other = TrustServices(trust.issuer, trust.issuer_key)
    key = rsa_key("stamps")
    other.stamp_certificate = certified(
        "Stamps", key, trust.issuer, trust.issuer_key, purposes, critical=critical
    )
    other.stamper = Stamper(key, other.stamp_certificate, (), x509.ObjectIdentifier("1.3.6.1.4.1.99999.1.1"))
    with pytest.raises(TimeStampError, match="isn't for time stamps"):
        stamped(other)


@pytest.mark.parametrize(
    "reply", [b"", b"nothing", rejection(Failure.TIME_NOT_AVAILABLE, "the clock is unsure")]
)
def test_no_time_stamp(trust: TrustServices, reply: bytes) -> None:
    """Damage, and a refusal."""
    with pytest.raises(TimeStampError):
        stamped(trust, reply)
