"""Which orders are taken, and which are refused in which words."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AttributeOID, ExtendedKeyUsageOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.key_usage import BITS
from tests.unit.trust_services.issuing.ordering import (
    NAME,
    SERVER,
    SERVICE,
    SITE,
    Subject,
    content,
    ec_key,
    fresh_key,
    key_for,
    order,
    pem,
    request,
    rsa_key,
    subject,
    usage,
)

from trust_services.issuing.orders import MAX_REQUEST_BYTES, Order, Profile
from trust_services.issuing.rules import ASKABLE_USAGES, accept, key_digest
from trust_services.issuing.weak_keys import ROCA_PRIMES, weakness
from trust_services.refusal import Refusal

PROFILES = ["authentication", "signing"]
SERVICE_PROFILES = ["status-responder", "time-stamping"]


def refused(sent: Order) -> str:
    """Why the order is refused."""
    with pytest.raises(Refusal) as caught:
        accept(sent, SITE)
    assert caught.value.next_step
    return caught.value.message


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("key", [rsa_key, ec_key])
def test_a_right_order_is_taken(profile: str, key: Callable[[], rsa.RSAPrivateKey]) -> None:
    """Its key, its subject in the request's order, and its request in DER are known afterwards."""
    accepted = accept(order(profile, key=key()), SITE)

    assert [(part.oid, part.value) for part in accepted.subject] == subject(profile)
    assert accepted.key_digest == key_digest(key().public_key())
    assert x509.load_der_x509_csr(accepted.request).is_signature_valid


@given(st.permutations(range(5)), st.permutations(range(4)))
@settings(max_examples=20, deadline=None)
def test_the_requests_order_of_attributes_is_kept(five: list[int], four: list[int]) -> None:
    """Whatever it is."""
    for profile, places in (("signing", five), ("authentication", four)):
        names = [subject(profile)[place] for place in places]
        accepted = accept(order(profile, request(names, ec_key())), SITE)
        assert [(part.oid, part.value) for part in accepted.subject] == names


@pytest.mark.parametrize("profile", PROFILES)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_subject_with_more_or_less_is_refused(profile: str, data: st.DataObject) -> None:
    """Every attribute is there once, with the order's value, and no other is."""
    right = subject(profile)
    index = data.draw(st.integers(0, len(right) - 1))
    kind, value = right[index]
    printable = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", min_size=2, max_size=2)
    changed = data.draw(printable.filter(lambda text: text != value))
    wrong: Subject = data.draw(
        st.sampled_from(
            [
                right[:index] + right[index + 1 :],
                [*right, (kind, value)],
                [*right[:index], (kind, changed), *right[index + 1 :]],
                [*right, (NameOID.ORGANIZATIONAL_UNIT_NAME, changed)],
                [*right, (NameOID.EMAIL_ADDRESS, "a@example.bj")],
            ]
        )
    )

    assert "subject" in refused(order(profile, request(wrong, ec_key())))


@pytest.mark.parametrize(
    ("profile", "kind", "value", "words"),
    [
        ("authentication", NameOID.COMMON_NAME, "ss2.health.example.bj", "CN='ss2.health.example.bj'"),
        ("authentication", NameOID.COMMON_NAME, SERVER.upper(), "CN="),
        ("authentication", NameOID.SERIAL_NUMBER, "JUSTICE", "serialNumber='JUSTICE', the order says 'HEALTH'"),
        ("signing", NameOID.BUSINESS_CATEGORY, "COM", "businessCategory='COM'"),
        ("signing", NameOID.COUNTRY_NAME, "TG", "C='TG'"),
        ("signing", NameOID.ORGANIZATION_NAME, NAME + " ", "O="),
    ],
)
def test_another_members_name_is_refused(
    profile: str, kind: x509.ObjectIdentifier, value: str, words: str
) -> None:
    """The refusal quotes both names."""
    names = [(oid, value if oid == kind else own) for oid, own in subject(profile)]

    assert words in refused(order(profile, request(names, ec_key())))


def test_attributes_that_are_joined_are_refused() -> None:
    """X-Road reads the first of a part only, and others all."""
    joined = x509.Name(
        [
            x509.RelativeDistinguishedName(
                [x509.NameAttribute(kind, value) for kind, value in subject("signing")]
            )
        ]
    )
    made = x509.CertificateSigningRequestBuilder(joined).sign(ec_key(), hashes.SHA256())

    assert "joined" in refused(order("signing", made))


@given(st.sets(st.sampled_from(BITS)), st.sampled_from(list(Profile)))
@settings(max_examples=150, deadline=None)
def test_only_a_profiles_own_usages_may_be_asked_for(bits: set[str], profile: Profile) -> None:
    """And a request that asks for fewer is taken."""
    if not bits & {"key_agreement"}:
        bits -= {"encipher_only", "decipher_only"}
    sent = order(profile, request(subject(profile), key_for(profile), usage(bits)))
    if bits <= ASKABLE_USAGES[profile]:
        accept(sent, SITE)
    else:
        assert "key usage" in refused(sent)


def test_what_x_roads_own_signing_requests_ask_for_is_taken() -> None:
    """X-Road 7.6 and newer ask for keyCertSign beside nonRepudiation."""
    asked = usage({"content_commitment", "key_cert_sign"})

    accept(order("signing", request(subject("signing"), rsa_key(), asked)), SITE)


@pytest.mark.parametrize(
    ("profile", "extension", "words"),
    [
        ("signing", x509.BasicConstraints(ca=True, path_length=None), "certification authority"),
        ("authentication", x509.BasicConstraints(ca=True, path_length=0), "certification authority"),
        ("signing", x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), "1.3.6.1.5.5.7.3.2"),
        ("authentication", x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), "1.3.6.1.5.5.7.3.9"),
        ("signing", x509.SubjectAlternativeName([x509.DNSName(SERVER)]), "alternative names"),
        (
            "authentication",
            x509.SubjectAlternativeName([x509.DNSName("other.example.bj")]),
            "alternative names",
        ),
        (
            "authentication",
            x509.SubjectAlternativeName([x509.DNSName(SERVER), x509.DNSName("other.example.bj")]),
            "alternative names",
        ),
        ("status-responder", x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), "1.3.6.1.5.5.7.3.8"),
        ("status-responder", x509.SubjectAlternativeName([x509.DNSName(SERVICE)]), "status-responder"),
        ("status-responder", x509.OCSPNoCheck(), "1.3.6.1.5.5.7.48.1.5"),
        ("time-stamping", x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), "1.3.6.1.5.5.7.3.9"),
        ("time-stamping", x509.BasicConstraints(ca=True, path_length=0), "certification authority"),
        ("signing", x509.NameConstraints([x509.DNSName("bj")], None), "2.5.29.30"),
        ("signing", x509.CertificatePolicies([x509.PolicyInformation(NameOID.COMMON_NAME, None)]), "2.5.29.32"),
    ],
)
def test_an_extension_that_isnt_the_profiles_is_refused(
    profile: str, extension: x509.ExtensionType, words: str
) -> None:
    """By its name or number."""
    assert words in refused(order(profile, request(subject(profile), key_for(profile), extension)))


def test_extensions_that_the_profile_gives_may_be_asked_for() -> None:
    """A server's name, both purposes, and not to be an authority."""
    made = request(
        subject("authentication"),
        rsa_key(),
        x509.BasicConstraints(ca=False, path_length=None),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]),
        x509.SubjectAlternativeName([x509.DNSName(SERVER)]),
    )

    accept(order("authentication", made), SITE)


def test_attributes_beside_extensions_are_refused() -> None:
    """A challenge password is a secret that has no place in a record."""
    builder = x509.CertificateSigningRequestBuilder(
        x509.Name([x509.NameAttribute(kind, value) for kind, value in subject("signing")])
    ).add_attribute(AttributeOID.CHALLENGE_PASSWORD, b"secret")

    assert "1.2.840.113549.1.9.7" in refused(order("signing", builder.sign(ec_key(), hashes.SHA256())))


def test_a_signature_by_another_key_is_refused() -> None:
    """Whoever orders must have the key."""
    mine = request(subject("signing"), ec_key("one")).public_bytes(Encoding.DER)
    other = request(subject("signing"), ec_key("two")).public_bytes(Encoding.DER)
    point = ec_key("two").public_key().public_numbers()
    own = ec_key("one").public_key().public_numbers()
    swapped = mine.replace(own.x.to_bytes(32) + own.y.to_bytes(32), point.x.to_bytes(32) + point.y.to_bytes(32))
    assert len(other) > 0
    assert swapped != mine

    assert "isn't signed with the key" in refused(order("signing", pem(x509.load_der_x509_csr(swapped))))


def test_a_request_over_a_short_hash_is_refused() -> None:
    """SHA-224 stands for all that aren't listed; the library makes no weaker one."""
    made = request(subject("signing"), ec_key(), algorithm=hashes.SHA224())

    assert "hash" in refused(order("signing", made))


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (lambda: rsa_key("short", 1024), "1024 bits"),
        (lambda: rsa_key("odd", 2044), "2044 bits"),
        (lambda: rsa.generate_private_key(3, 2048), "exponent"),
        (lambda: ec.generate_private_key(ec.SECP521R1()), "secp521r1"),
        (lambda: ec.generate_private_key(ec.SECP256K1()), "secp256k1"),
        (lambda: ec.generate_private_key(ec.BrainpoolP256R1()), "brainpoolP256r1"),
    ],
)
def test_keys_that_x_road_or_nobody_should_use_are_refused(
    key: Callable[[], rsa.RSAPrivateKey], words: str
) -> None:
    """By what is wrong with them."""
    assert words in refused(order("signing", request(subject("signing"), key())))


def test_a_key_of_another_kind_is_refused() -> None:
    """X-Road knows RSA and ECDSA."""
    name = x509.Name([x509.NameAttribute(kind, value) for kind, value in subject("signing")])
    made = x509.CertificateSigningRequestBuilder(name).sign(ed25519.Ed25519PrivateKey.generate(), None)

    assert "neither" in refused(order("signing", made))


def test_the_authoritys_own_key_is_refused() -> None:
    """Nobody but the authority has it; if somebody else does, it isn't certified on top."""
    key = fresh_key()
    with pytest.raises(Refusal, match="own key"):
        accept(order("signing", key=key), SITE, [key_digest(key.public_key())])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not PEM",
        "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        "-----BEGIN CERTIFICATE REQUEST-----\n",
        pem(request(subject("signing"), ec_key())).replace("CERTIFICATE REQUEST", "CERTIFICATE"),
    ],
)
def test_what_is_no_request_is_refused(text: str) -> None:
    """In one sentence, whatever the library says."""
    assert "well-formed" in refused(order("signing", text or " "))


def test_a_request_beyond_16_kib_is_refused() -> None:
    """Before anything of it is read."""
    long = pem(request(subject("signing"), ec_key())) + "\n" * MAX_REQUEST_BYTES

    assert str(MAX_REQUEST_BYTES) in refused(order("signing", long))


@given(st.integers(0, 400), st.binary(min_size=1, max_size=4))
@settings(max_examples=200, deadline=None)
def test_a_request_that_was_damaged_is_refused(place: int, bytes_: bytes) -> None:
    """Never taken, and never another error than a refusal."""
    der = bytearray(request(subject("signing"), ec_key()).public_bytes(Encoding.DER))
    place %= len(der)
    before = bytes(der)
    der[place : place + len(bytes_)] = bytes_
    if bytes(der[: len(before)]) == before:
        return
    text = base64.encodebytes(bytes(der)).decode()
    refused(order("signing", f"-----BEGIN CERTIFICATE REQUEST-----\n{text}-----END CERTIFICATE REQUEST-----\n"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("profile", "both"),
        ("profile", None),
        ("server", SERVER),
        ("service", SERVICE),
        ("member", None),
        ("profile", "status-responder"),
        ("idempotency_key", "short"),
        ("idempotency_key", "spaces in it"),
        ("csr", 7),
        ("more", "than asked for"),
        ("member", {"class": "GOV", "code": "HEALTH"}),
        ("member", {"class": "GOV", "code": "HE/ALTH", "name": NAME}),
        ("member", {"class": "GOV", "code": "", "name": NAME}),
        ("member", {"class": "G V", "code": "HEALTH", "name": NAME}),
        ("member", {"class": "GOV", "code": "HEALTH", "name": "x" * 65}),
        ("member", {"class": "GOV", "code": "HEALTH", "name": "line\nbreak"}),
        ("member", {"class": "GOV", "code": "HEALTH", "name": " spaces "}),
        ("member", {"class": "GOV", "code": "HEALTH", "name": "Sante\u0301"}),
    ],
)
def test_an_order_that_isnt_one_is_refused(key: str, value: object) -> None:
    """Before the rules look at its request."""
    with pytest.raises(ValidationError):
        Order.model_validate({**content("signing"), key: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("service", None),
        ("service", "stamps1"),
        ("member", {"class": "GOV", "code": "HEALTH", "name": NAME}),
        ("server", SERVER),
        ("profile", "signing"),
    ],
)
@pytest.mark.parametrize("profile", SERVICE_PROFILES)
def test_a_services_order_that_isnt_one_is_refused(profile: str, key: str, value: object) -> None:
    """It names a service, and nobody else."""
    with pytest.raises(ValidationError):
        Order.model_validate({**content(profile), key: value})


@pytest.mark.parametrize("profile", SERVICE_PROFILES)
@pytest.mark.parametrize("place", range(3))
def test_a_services_subject_must_be_the_sites(profile: str, place: int) -> None:
    """Country, organization and name; nothing less, nothing else."""
    right = subject(profile)
    wrong = [(kind, "FR" if at == place else value) for at, (kind, value) in enumerate(right)]

    assert "subject says" in refused(order(profile, request(wrong, key_for(profile))))
    less = [part for at, part in enumerate(right) if at != place]
    assert "lacks" in refused(order(profile, request(less, key_for(profile))))
    more = [*right, (NameOID.SERIAL_NUMBER, "1")]
    assert "serialNumber" in refused(order(profile, request(more, key_for(profile))))


@pytest.mark.parametrize("key", [ec_key(), rsa_key()])
def test_a_weak_key_doesnt_stamp(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> None:
    """What is good enough for members isn't for time stamps."""
    assert "3072" in refused(order("time-stamping", key=key))


@pytest.mark.parametrize(
    "server", [None, "SS1.example.bj", "ss1", "10.0.0.1", "ss_1.example.bj", "-a.bj", "a." + "b" * 63 + ".bj"]
)
def test_a_server_that_isnt_a_dns_name_is_refused(server: str | None) -> None:
    """An authentication certificate names one server."""
    with pytest.raises(ValidationError):
        Order.model_validate({**content("authentication"), "server": server})


def test_weak_moduli_are_found() -> None:
    """Of three kinds; and good ones aren't taken for weak."""
    good = rsa_key().private_numbers()
    near = _next_prime(good.p + 2)
    fingerprint = 65537**130

    assert weakness(good.public_numbers.n) == ""
    assert "small factor" in weakness(good.p * 739)
    assert "close" in weakness(good.p * near)
    assert all(fingerprint % prime for prime in ROCA_PRIMES)
    assert "ROCA" in weakness(fingerprint)


def _next_prime(number: int) -> int:
    while pow(2, number - 1, number) != 1:
        number += 2
    return number
