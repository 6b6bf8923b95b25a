"""A container proves what it says to who knows the root; whatever is changed in it, it proves nothing."""

from __future__ import annotations

import io
import zipfile
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp as library
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.key_usage import key_usage
from tests.unit.operate.messages.conftest import (
    CLIENT,
    Authorities,
    Files,
    certificate,
    entry,
    exchange,
    new_key,
    request,
    response,
)

from federation_rig.trust_services import certified, rsa_key
from operate.messages import container, verification
from operate.messages.container import Container
from operate.messages.trust import Anchors
from operate.messages.verification import Verdict
from trust_services.timestamps.answer import Stamper
from xroad_simulator.security import containers
from xroad_simulator.security.message_log import Entry

POLICY = x509.ObjectIdentifier("1.3.6.1.4.1.99999.1.1")


def anchors(authorities: Authorities, *others: x509.Certificate) -> Anchors:
    """What is believed."""
    return Anchors((authorities.root,), others)


def entries_of(content: bytes) -> dict[str, bytes]:
    """The files in a container."""
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return {name: file.read(name) for name in file.namelist()}


def judged(
    authorities: Authorities, record: Entry, change: Callable[[dict[str, bytes]], object] | None = None
) -> Verdict:
    """The verdict on a record's container, after a change of its files."""
    entries = entries_of(containers.container(record))
    if change is not None:
        change(entries)
    return verification.verify(Container("x.asice", entries), anchors(authorities))


def failed(verdict: Verdict) -> dict[str, str]:
    """The checks that failed, and why."""
    return {check.name: check.text for check in verdict.checks if check.passed is False}


def test_a_request_and_its_response(authorities: Authorities) -> None:
    """Who, to whom, what, when: as the log has it."""
    asked, answered = exchange(authorities, b"Kossi")
    first, second = judged(authorities, asked), judged(authorities, answered)

    assert first.valid, first.checks
    assert second.valid, second.checks
    told = first.document()
    assert (told["kind"], told["client"]) == ("request", "TEST/GOV/DIGITAL/PORTAL")
    assert told["service"] == "TEST/GOV/CIVIL/REGISTRY/birth-records"
    assert (told["message_id"], told["user"]) == ("message-1", "BJ123")
    assert told["what"] == "POST /r1/TEST/GOV/CIVIL/REGISTRY/birth-records/123"
    assert "serialNumber=DIGITAL" in told["signer"] or "2.5.4.5=DIGITAL" in told["signer"]
    assert abs(datetime.fromisoformat(told["stamped_at"]) - datetime.now(UTC)) < timedelta(minutes=1)
    assert (second.document()["kind"], second.document()["what"]) == ("response", "200 OK")
    assert {check["result"] for check in told["checks"]} == {"ok"}


def test_a_message_without_a_body_is_signed_itself(authorities: Authorities) -> None:
    record = exchange(authorities)[0]

    assert record.signature.proof is None
    assert judged(authorities, record).valid


def test_a_message_with_a_time_stamp_of_its_own(authorities: Authorities) -> None:
    """Inside the signature, over the signature's value."""
    asked = request()
    signed = entry(1, asked, authorities.sign([asked.head()], authorities.members["DIGITAL"]))
    (record,) = authorities.stamped([signed])
    entries = entries_of(containers.container(record))

    assert "META-INF/timestamp.tst" not in entries
    verdict = judged(authorities, record)
    assert verdict.valid, verdict.checks
    other = authorities.stamped(
        [entry(2, asked, authorities.sign([asked.head()], authorities.members["DIGITAL"]))]
    )
    stamp = other[0].signature.xml.partition("<xades:EncapsulatedTimeStamp>")[2].partition("<")[0].encode()
    own = record.signature.xml.partition("<xades:EncapsulatedTimeStamp>")[2].partition("<")[0].encode()

    def swapped(files: dict[str, bytes]) -> None:
        files[container.SIGNATURE] = files[container.SIGNATURE].replace(own, stamp)

    assert "isn't of the signature's value" in failed(judged(authorities, record, swapped))["time stamp"]


def test_rsa_keys(rsa_authorities: Authorities) -> None:
    verdict = judged(rsa_authorities, exchange(rsa_authorities, b"x")[0])
    assert verdict.valid, verdict.checks


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bodies=st.lists(st.binary(max_size=40), min_size=1, max_size=9))
def test_every_message_of_a_batch(authorities: Authorities, bodies: list[bytes]) -> None:
    """Batches of any size; each message proves its own place in it."""
    records = []
    for number, body in enumerate(bodies, 1):
        asked = request(body)
        parts = [asked.head(), body] if body else [asked.head()]
        records.append(entry(number, asked, authorities.sign(parts, authorities.members["DIGITAL"])))
    for record in authorities.stamped(records):
        verdict = judged(authorities, record)
        assert verdict.valid, verdict.checks


def _set(name: str, content: bytes) -> Callable[[dict[str, bytes]], object]:
    return lambda entries: entries.__setitem__(name, content)


def _replace(name: str, old: bytes, new: bytes, count: int = -1) -> Callable[[dict[str, bytes]], object]:
    def change(entries: dict[str, bytes]) -> None:
        assert old in entries[name]
        entries[name] = entries[name].replace(old, new, count)

    return change


def _without(*missing: str) -> Callable[[dict[str, bytes]], object]:
    """Files removed, and from the manifest too."""

    def change(entries: dict[str, bytes]) -> None:
        for name in missing:
            del entries[name]
            lines = entries["META-INF/manifest.xml"].splitlines(keepends=True)
            entries["META-INF/manifest.xml"] = b"".join(
                line for line in lines if f'full-path="{name}"'.encode() not in line
            )

    return change


SIGNATURE = "META-INF/signatures.xml"


@pytest.mark.parametrize(
    ("change", "check", "told"),
    [
        (_set("attachment1", b"Other"), "content", "attachment1 isn't what was signed"),
        (_set("attachment1", b""), "content", "attachment1 isn't what was signed"),
        (_replace("message.xml", b"/123", b"/124"), "content", "message.xml isn't what was signed"),
        (_replace("message.xml", b"BJ123", b"BJ124"), "content", "message.xml isn't what was signed"),
        (_replace("message.xml", b"DIGITAL", b"HEALTH"), "signer", "is of GOV/DIGITAL, but the request says"),
        (_without("attachment1"), "content", "/attachment1, which isn't there"),
        (_set("attachment2", b"x"), "structure", "doesn't list what is there: attachment2"),
        (_without("sig-hashchain.xml"), "structure", "no sig-hashchain.xml"),
        (
            _without("sig-hashchain.xml", "sig-hashchainresult.xml"),
            "content",
            "sig-hashchainresult.xml', which isn't there",
        ),
        (_replace("sig-hashchain.xml", b"STEP0", b"STEP1"), "content", "has no step 'STEP0'"),
        (_replace("sig-hashchain.xml", b"sha512", b"sha1"), "content", "is digested with"),
        (
            _replace("sig-hashchain.xml", b"DataRef", b"HashValue"),
            "content",
            "isn't in sig-hashchain.xml",
        ),
        (_replace("sig-hashchainresult.xml", b"STEP0", b"STEP9"), "content", "sig-hashchainresult.xml isn't"),
        (_replace(SIGNATURE, b"SigningTime>2", b"SigningTime>1"), "signature", "signed properties isn't"),
        (_without("ts-hashchain.xml"), "structure", "no ts-hashchain.xml"),
        (
            _without("ts-hashchain.xml", "ts-hashchainresult.xml"),
            "structure",
            "there is META-INF/timestamp.tst, but no ts-hashchainresult.xml",
        ),
        (_replace("META-INF/ASiCManifest.xml", b"<ds:DigestValue>", b"<ds:DigestValue>AAAA"), "structure", ""),
        (_replace("ts-hashchainresult.xml", b"\n", b" \n"), "time stamp", "isn't of ts-hashchainresult.xml"),
        (_replace(SIGNATURE, b"</ds:Signature>", b"</ds:Signature> "), "place in the batch", "isn't what was"),
        (_set("META-INF/timestamp.tst", b"\x30\x00"), "time stamp", ""),
        (_set("message.xml", b"<soap/>"), "message", "SOAP"),
        (_set("message.xml", b"\xff\xfe"), "message", "isn't text"),
        (_replace("message.xml", b"\r\n", b"\n"), "message", "lines"),
        (_replace("message.xml", b"X-Road-Id:", b"X-Road-Id2:"), "message", "no header x-road-id"),
        (
            _replace("message.xml", b"X-Road-Id:", b"X-Road-Client:TEST/GOV/CIVIL/REGISTRY\r\nX-Road-Id:"),
            "message",
            "two headers x-road-client",
        ),
        (_set(SIGNATURE, b"nothing"), "structure", "isn't XML"),
        (_set(SIGNATURE, b"<a/>"), "structure", "doesn't hold one signature"),
        (
            _replace(SIGNATURE, b"<asic:XAdESSignatures", b"<!DOCTYPE x><asic:XAdESSignatures"),
            "structure",
            "document type",
        ),
        (_replace(SIGNATURE, b"<ds:SignedInfo>", b"<!-- --><ds:SignedInfo>"), "structure", "comments"),
        (
            _replace(SIGNATURE, b'Id="signature-value"', b'Id="signed-properties"'),
            "structure",
            "an identifier twice",
        ),
        (_replace(SIGNATURE, b"rsa-sha512", b"rsa-sha1"), "signature", ""),
    ],
)
def test_what_was_changed_is_found(
    rsa_authorities: Authorities, change: Callable[[dict[str, bytes]], object], check: str, told: str
) -> None:
    """And the reason says what it is."""
    record = exchange(rsa_authorities, b"Kossi")[0]
    verdict = judged(rsa_authorities, record, change)

    assert not verdict.valid
    assert told in failed(verdict)[check]


def test_a_second_signature_beside_the_first(authorities: Authorities) -> None:
    """The signed properties of another, or a whole signature of another: wrapped or side by side."""
    asked = request()
    mine = authorities.sign([asked.head()], authorities.members["CIVIL"])
    record = exchange(authorities)[0]
    start, end = mine.xml.index("<ds:Signature "), mine.xml.index("</asic:XAdESSignatures>")
    other = mine.xml[start:end].encode()
    for place in (b"</asic:XAdESSignatures>", b"</ds:Object>", b"</xades:UnsignedSignatureProperties>"):
        changed = _replace(SIGNATURE, place, other + place)
        assert "structure" in failed(judged(authorities, record, changed))


def test_another_certificate_of_the_same_key(authorities: Authorities) -> None:
    """The signed properties name the one that signed."""
    certificate_, key = authorities.members["DIGITAL"]
    other, _ = authorities.member("CIVIL", key=key)
    record = exchange(authorities)[0]
    old, new = (b64encode(item.public_bytes(Encoding.DER)) for item in (certificate_, other))
    changed = _replace(SIGNATURE, b"<ds:X509Certificate>" + old, b"<ds:X509Certificate>" + new)
    assert "another certificate" in failed(judged(authorities, record, changed))["signature"]


def signed_by(authorities: Authorities, signer: tuple[x509.Certificate, object], **more: object) -> Entry:
    """A request that somebody signed, stamped with another message."""
    asked = request()
    made = authorities.sign([asked.head()], signer, **more)  # type: ignore[arg-type]
    return authorities.stamped([entry(1, asked, made), exchange(authorities)[1]])[0]


def test_who_isnt_the_client(authorities: Authorities) -> None:
    """Another member; a certificate for TLS; one whose subject isn't of the Basic profile."""
    assert (
        "is of GOV/CIVIL"
        in failed(judged(authorities, signed_by(authorities, authorities.members["CIVIL"])))["signer"]
    )
    other_class = authorities.member("DIGITAL", member_class="COM")
    assert "is of COM/DIGITAL" in failed(judged(authorities, signed_by(authorities, other_class)))["signer"]
    for_tls = authorities.member("DIGITAL", key_usage("digital_signature"))
    assert (
        "isn't a certificate for signatures"
        in failed(judged(authorities, signed_by(authorities, for_tls)))["signer"]
    )
    key = new_key()
    named = certificate(
        {NameOID.COMMON_NAME: "DIGITAL"},
        key,
        (authorities.issuer.subject, authorities.issuer_key),
        key_usage("content_commitment"),
    )
    assert "0 businessCategory" in failed(judged(authorities, signed_by(authorities, (named, key))))["signer"]


def test_a_response_is_the_providers(authorities: Authorities) -> None:
    """The client can't make one."""
    answered = response(request())
    made = authorities.sign([answered.head(), answered.body], authorities.members["DIGITAL"])
    record = authorities.stamped([entry(1, answered, made), exchange(authorities)[0]])[0]
    assert "the response says that it is of GOV/CIVIL" in failed(judged(authorities, record))["signer"]


def test_another_root(authorities: Authorities) -> None:
    """Everything is in order but for whom it is believed."""
    record = exchange(authorities)[0]
    stranger = Authorities()
    verdict = verification.verify(Container("x", entries_of(containers.container(record))), anchors(stranger))

    assert set(failed(verdict)) == {"time-stamping authority", "certificate chain"}
    assert "isn't below the root" in failed(verdict)["certificate chain"]
    status = verdict.checks[-1]
    assert (status.name, status.passed) == ("certificate status", None)


def test_a_chain_that_isnt_carried_can_be_given(authorities: Authorities) -> None:
    """A server that approves the issuing CA alone needn't send its certificate."""
    record = signed_by(authorities, authorities.members["DIGITAL"], carried=())
    held = Container("x", entries_of(containers.container(record)))

    assert "certificate chain" in failed(verification.verify(held, anchors(authorities)))
    assert verification.verify(held, anchors(authorities, authorities.issuer)).valid


def test_who_isnt_an_authority(authorities: Authorities) -> None:
    """A member can't issue certificates; an issuing CA can't have others below it."""
    member, member_key = authorities.members["CIVIL"]
    key, below_key = new_key(), new_key()
    subject = {NameOID.BUSINESS_CATEGORY: "GOV", NameOID.SERIAL_NUMBER: "DIGITAL"}
    forged = certificate(subject, key, (member.subject, member_key), key_usage("content_commitment"))
    record = signed_by(authorities, (forged, key), statuses=(), carried=(member, authorities.issuer))
    assert "isn't an authority" in failed(judged(authorities, record))["certificate chain"]

    below = certificate(
        {NameOID.COMMON_NAME: "Below"},
        below_key,
        (authorities.issuer.subject, authorities.issuer_key),
        x509.BasicConstraints(ca=True, path_length=None),
        key_usage("key_cert_sign"),
    )
    made = certificate(subject, key, (below.subject, below_key), key_usage("content_commitment"))
    record = signed_by(authorities, (made, key), statuses=(), carried=(below, authorities.issuer))
    assert "may not have 1 authorities below" in failed(judged(authorities, record))["certificate chain"]


def test_a_certificate_that_had_ended(authorities: Authorities) -> None:
    """It counts when the stamp was made, not when it is checked."""
    key = new_key()
    subject = {NameOID.BUSINESS_CATEGORY: "GOV", NameOID.SERIAL_NUMBER: "DIGITAL"}
    ended = certificate(
        subject,
        key,
        (authorities.issuer.subject, authorities.issuer_key),
        key_usage("content_commitment"),
        age=timedelta(days=3),
    )
    record = signed_by(authorities, (ended, key))
    assert "wasn't valid at" in failed(judged(authorities, record))["certificate chain"]


def answer_of(
    authorities: Authorities, signer: tuple[x509.Certificate, object] | None = None, **changes: object
) -> bytes:
    """An OCSP response about the portal's certificate with whatever is to be tried."""
    now = datetime.now(UTC)
    certificate_, key = signer or (authorities.issuer, authorities.issuer_key)
    facts = {
        "cert": authorities.members["DIGITAL"][0],
        "issuer": authorities.issuer,
        "algorithm": hashes.SHA1(),  # noqa: S303 - X-Road names certificates so
        "cert_status": library.OCSPCertStatus.GOOD,
        "this_update": now,
        "next_update": now + timedelta(hours=1),
        "revocation_time": None,
        "revocation_reason": None,
        **changes,
    }
    builder = (
        library.OCSPResponseBuilder()
        .add_response(**facts)  # type: ignore[arg-type]
        .responder_id(library.OCSPResponderEncoding.HASH, certificate_)
        .certificates([certificate_])
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"cert_status": library.OCSPCertStatus.REVOKED, "revocation_time": datetime.now(UTC)},
            "is revoked",
        ),
        ({"cert_status": library.OCSPCertStatus.UNKNOWN}, "is unknown"),
        (
            {
                "this_update": datetime.now(UTC) - timedelta(hours=6),
                "next_update": datetime.now(UTC) + timedelta(hours=1),
            },
            "too old",
        ),
        (
            {
                "this_update": datetime.now(UTC) - timedelta(hours=2),
                "next_update": datetime.now(UTC) - timedelta(hours=1),
            },
            "too old",
        ),
        (
            {
                "this_update": datetime.now(UTC) + timedelta(hours=1),
                "next_update": datetime.now(UTC) + timedelta(hours=2),
            },
            "after the time stamp",
        ),
    ],
)
def test_a_status_that_isnt_good(authorities: Authorities, changes: dict[str, object], told: str) -> None:
    """At the time of the stamp."""
    portal = authorities.members["DIGITAL"]
    record = signed_by(authorities, portal, statuses=[answer_of(authorities, **changes)])
    assert told in failed(judged(authorities, record))["certificate status"]
    good = signed_by(authorities, portal, statuses=[answer_of(authorities)])
    assert judged(authorities, good).valid


def test_a_status_of_nobody(authorities: Authorities) -> None:
    """None; of another certificate; of a responder that the CA didn't certify for that."""
    portal = authorities.members["DIGITAL"]
    record = signed_by(authorities, portal, statuses=[])
    assert "there is no OCSP response" in failed(judged(authorities, record))["certificate status"]
    other = authorities.status_of(authorities.members["CIVIL"][0])
    record = signed_by(authorities, portal, statuses=[other, b"nothing"])
    assert "certificate status" in failed(judged(authorities, record))
    key = new_key()
    for_clients = certified(
        "R", key, authorities.issuer, authorities.issuer_key, [ExtendedKeyUsageOID.CLIENT_AUTH]
    )
    stranger = Authorities()
    for signer in ((for_clients, key), (stranger.issuer, stranger.issuer_key)):
        record = signed_by(authorities, portal, statuses=[answer_of(authorities, signer)])
        assert "isn't signed by the authority" in failed(judged(authorities, record))["certificate status"]


def test_an_authority_that_was_asked_about_must_be_good(authorities: Authorities) -> None:
    """The status of a CA below the root, where the signature carries one."""
    root = (authorities.root, authorities.root_key)
    now = datetime.now(UTC)
    about = {"cert": authorities.issuer, "issuer": authorities.root}
    portal = authorities.members["DIGITAL"]
    own = authorities.status_of(portal[0])
    good = signed_by(authorities, portal, statuses=[own, answer_of(authorities, root, **about)])
    assert judged(authorities, good).valid
    revoked = answer_of(
        authorities,
        root,
        cert_status=library.OCSPCertStatus.REVOKED,
        revocation_time=now,
        **about,
    )
    bad = signed_by(authorities, portal, statuses=[own, revoked])
    assert "is revoked" in failed(judged(authorities, bad))["certificate status"]


def test_who_isnt_an_authority_for_time_stamps(authorities: Authorities) -> None:
    """Not for that; or for that, below another root."""
    stranger = Authorities()
    record = exchange(authorities)[0]
    strange = stranger.stamped([record, exchange(authorities)[1]])[0]
    assert set(failed(judged(authorities, strange))) == {"time-stamping authority"}

    own = Authorities(authorities.name, authorities.root_key, authorities.issuer_key)
    own.root, own.issuer = authorities.root, authorities.issuer
    key = rsa_key("stamps")
    for purposes, critical in (
        ([ExtendedKeyUsageOID.OCSP_SIGNING], True),
        ([ExtendedKeyUsageOID.TIME_STAMPING], False),
        ([ExtendedKeyUsageOID.TIME_STAMPING, ExtendedKeyUsageOID.CLIENT_AUTH], True),
    ):
        made = certified("Stamps", key, own.issuer, own.issuer_key, purposes, critical=critical)
        own.trust.stamper = Stamper(key, made, (), POLICY)
        wrong = own.stamped([record, exchange(authorities)[1]])[0]
        assert "isn't an authority for time stamps" in failed(judged(authorities, wrong))["time stamp"]


def test_the_place_of_another_message(authorities: Authorities) -> None:
    """The stamp is good, but of a batch in which this message isn't."""
    one, two = exchange(authorities)
    swapped = replace(one, stamp_chain=two.stamp_chain)
    assert "place in the batch" in failed(judged(authorities, swapped))
    other = exchange(authorities)[0]
    moved = replace(one, stamp_chain=other.stamp_chain, stamp_result=other.stamp_result, token=other.token)
    assert "place in the batch" in failed(judged(authorities, moved))


def test_the_bodies_of_messages_may_be_anything(authorities: Authorities) -> None:
    """One that looks like a container, or is large."""
    inner = containers.container(exchange(authorities)[0])
    for body in (inner, b"\0" * 3_000_000):
        assert judged(authorities, exchange(authorities, body)[0]).valid


@pytest.fixture(scope="session")
def document(authorities: Authorities) -> bytes:
    """A container with everything in it."""
    return containers.container(exchange(authorities, b"Kossi and Afi")[0])


def _content(verdict: Verdict, entries: dict[str, bytes]) -> tuple[object, ...]:
    """What a reader takes from a container: all that must never change."""
    told = verdict.document()
    return (
        entries["message.xml"],
        entries.get("attachment1"),
        *(told[name] for name in ("kind", "client", "service", "signer", "stamped_at", "claimed_signing_time")),
    )


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_changed_byte_in_any_entry(authorities: Authorities, document: bytes, data: st.DataObject) -> None:
    """A container that is still valid says the same."""
    entries = entries_of(document)
    before = _content(verification.verify(Container("x", entries), anchors(authorities)), entries)
    name = data.draw(st.sampled_from(sorted(entries)))
    place = data.draw(st.integers(0, len(entries[name]) - 1))
    byte = data.draw(st.integers(1, 255))
    content = bytearray(entries[name])
    content[place] ^= byte
    changed = {**entries, name: bytes(content)}
    verdict = verification.verify(Container("x", changed), anchors(authorities))

    assert not verdict.valid or _content(verdict, changed) == before
    if name in ("message.xml", "attachment1", "ts-hashchainresult.xml", "sig-hashchainresult.xml", SIGNATURE):
        assert not verdict.valid


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_changed_byte_anywhere_in_the_file(
    files: Files, authorities: Authorities, document: bytes, data: st.DataObject
) -> None:
    """It is refused, or proves nothing, or says the same: nothing else, and no other error."""
    entries = entries_of(document)
    before = _content(verification.verify(Container("x", entries), anchors(authorities)), entries)
    place = data.draw(st.integers(0, len(document) - 1))
    changed = bytearray(document)
    changed[place] ^= data.draw(st.integers(1, 255))
    try:
        (held,) = container.read(files.write(bytes(changed))).containers
    except container.Unreadable:
        return
    verdict = verification.verify(held, anchors(authorities))
    assert not verdict.valid or _content(verdict, held.entries) == before


def test_the_client_is_told_whole(authorities: Authorities) -> None:
    """A member without a subsystem, and codes with signs that addresses encode."""
    asked = request(client=replace(CLIENT, subsystem_code=None), message_id="a/b:c")
    record = authorities.stamped(
        [
            entry(1, asked, authorities.sign([asked.head()], authorities.members["DIGITAL"])),
            exchange(authorities)[0],
        ]
    )[0]
    verdict = judged(authorities, record)
    assert verdict.valid, verdict.checks
    assert verdict.document()["client"] == "TEST/GOV/DIGITAL"
