"""What certificates are, and that the linter would hold back what they mustn't be."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import chain, combinations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, ExtensionOID
from hypothesis import given, settings
from hypothesis import strategies as st
from pkilint import loader
from pkilint.document import PDUNode
from pkilint.validation import ValidatorContainer
from tests.key_usage import BITS
from tests.unit.trust_services.issuing.ordering import (
    ADDRESSES,
    ORGANIZATION,
    SERVER,
    SERVICE,
    SITE,
    authority,
    ec_key,
    key_for,
    order,
    request,
    rsa_key,
    subject,
    usage,
)

from trust_services.issuing import linting, profiles
from trust_services.issuing.orders import Profile
from trust_services.issuing.rules import ASKABLE_USAGES, accept
from trust_services.refusal import Refusal
from trust_services.signing import SigningKey
from xroad_simulator.certificates import is_authentication, is_signing, issuer_among, signing_member

NOW = datetime.now(UTC)
PLAIN = linting.plain_linter()
AUTHENTICATES = {"digital_signature", "key_encipherment", "data_encipherment", "key_agreement"}


def issued(
    profile: str, key: SigningKey, *asked: x509.ExtensionType, days: int = 365, serial: int = 7
) -> x509.Certificate:
    """A certificate as the authority makes it."""
    sent = order(profile, request(subject(profile), key, *asked))
    made = profiles.certificate(accept(sent, SITE), serial, authority().terms(days), NOW)
    return made.sign(authority().key, hashes.SHA256())


def strong_key() -> SigningKey:
    """One that may stamp."""
    return key_for("time-stamping")


def usages(certificate: x509.Certificate) -> set[str]:
    """The bits of its key usage."""
    found = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert found.critical
    names = BITS if found.value.key_agreement else BITS[:-2]
    return {name for name in names if getattr(found.value, name)}


@pytest.mark.parametrize(
    ("profile", "key", "expected"),
    [
        ("authentication", rsa_key, {"digital_signature", "key_encipherment", "data_encipherment"}),
        ("authentication", ec_key, {"digital_signature", "key_agreement"}),
        ("signing", rsa_key, {"content_commitment"}),
        ("signing", ec_key, {"content_commitment"}),
        ("status-responder", rsa_key, {"digital_signature"}),
        ("status-responder", ec_key, {"digital_signature"}),
        ("time-stamping", strong_key, {"content_commitment"}),
    ],
)
def test_key_usage_by_profile_and_kind_of_key(
    profile: str, key: Callable[[], SigningKey], expected: set[str]
) -> None:
    """And pkilint has nothing against it."""
    certificate = issued(profile, key())

    assert usages(certificate) == expected
    assert linting.findings(certificate.public_bytes(Encoding.DER)) == []


def test_an_authentication_certificate() -> None:
    """Everything that it says."""
    certificate = issued("authentication", rsa_key())
    extensions = certificate.extensions

    assert {extension.oid for extension in extensions if extension.critical} == {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
    }
    assert extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.CLIENT_AUTH,
        ExtendedKeyUsageOID.SERVER_AUTH,
    ]
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.DNSName(SERVER)]
    (point,) = extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    assert point.full_name == [x509.UniformResourceIdentifier(ADDRESSES.crl)]
    places = {
        item.access_method: item.access_location.value
        for item in extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    }
    assert places == {
        AuthorityInformationAccessOID.OCSP: ADDRESSES.ocsp,
        AuthorityInformationAccessOID.CA_ISSUERS: ADDRESSES.ca_issuers,
    }
    own = authority().certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    key_identifier = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert key_identifier.key_identifier == own.digest
    assert certificate.serial_number == 7
    certificate.verify_directly_issued_by(authority().certificate)


def test_a_status_responders_certificate() -> None:
    """RFC 6960, section 4.2.2.2: it answers and does nothing else, and nobody asks about it."""
    certificate = issued("status-responder", ec_key())
    extensions = certificate.extensions
    purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage)

    assert (purposes.critical, list(purposes.value)) == (True, [ExtendedKeyUsageOID.OCSP_SIGNING])
    assert extensions.get_extension_for_class(x509.OCSPNoCheck).critical is False
    kinds = {extension.oid for extension in extensions}
    assert not kinds & {ExtensionOID.AUTHORITY_INFORMATION_ACCESS, ExtensionOID.CRL_DISTRIBUTION_POINTS}
    assert not kinds & {ExtensionOID.SUBJECT_ALTERNATIVE_NAME}
    assert certificate.subject.rfc4514_string() == f"CN={SERVICE},O={ORGANIZATION},C={SITE.country}"


def test_a_time_stamping_certificate() -> None:
    """RFC 3161, section 2.3; whoever verifies a stamp years later can ask about it."""
    extensions = issued("time-stamping", strong_key()).extensions
    purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage)

    assert (purposes.critical, list(purposes.value)) == (True, [ExtendedKeyUsageOID.TIME_STAMPING])
    kinds = {extension.oid for extension in extensions}
    assert {ExtensionOID.AUTHORITY_INFORMATION_ACCESS, ExtensionOID.CRL_DISTRIBUTION_POINTS} <= kinds
    assert not kinds & {ExtensionOID.OCSP_NO_CHECK, ExtensionOID.SUBJECT_ALTERNATIVE_NAME}


@pytest.mark.parametrize("profile", ["status-responder", "time-stamping"])
def test_a_services_certificate_keeps_its_requests_order_of_attributes(profile: str) -> None:
    """As a member's does."""
    names = subject(profile)[::-1]
    sent = order(profile, request(names, key_for(profile)))

    assert [(part.oid, part.value) for part in accept(sent, SITE).subject] == names


@pytest.mark.parametrize("key", [rsa_key, ec_key])
def test_what_a_security_server_makes_of_them(key: Callable[[], SigningKey]) -> None:
    """By the rules that X-Road applies, as the simulator has them."""
    authentication, signing = issued("authentication", key()), issued("signing", key())

    assert (is_authentication(authentication), is_signing(authentication)) == (True, False)
    assert (is_authentication(signing), is_signing(signing)) == (False, True)
    member = signing_member(signing, "BJ-TEST")
    assert (member.instance, member.member_class, member.member_code) == ("BJ-TEST", "GOV", "HEALTH")
    assert issuer_among(signing, [authority().certificate]) == authority().certificate


def test_a_signing_certificate_has_no_purposes_and_no_other_names() -> None:
    """X-Road would take clientAuth for an authentication certificate."""
    kinds = {extension.oid for extension in issued("signing", rsa_key()).extensions}

    assert not kinds & {ExtensionOID.EXTENDED_KEY_USAGE, ExtensionOID.SUBJECT_ALTERNATIVE_NAME}


@pytest.mark.parametrize("profile", list(Profile))
def test_whatever_is_asked_for_no_certificate_is_of_both_kinds(profile: Profile) -> None:
    """For every set of usages that may be asked for at all."""
    askable = sorted(ASKABLE_USAGES[profile])
    for bits in chain.from_iterable(combinations(askable, count) for count in range(1, len(askable) + 1)):
        found = usages(issued(profile, key_for(profile), usage(bits)))
        assert ("content_commitment" in found) != bool(found & AUTHENTICATES)
        assert not found & {"key_cert_sign", "crl_sign"}


@given(st.sets(st.sampled_from(BITS), min_size=1))
@settings(max_examples=60, deadline=None)
def test_the_linter_holds_back_every_mixed_usage(bits: set[str]) -> None:
    """And every usage that a key of its kind, or a member, can't have."""
    if "key_agreement" not in bits:
        bits -= {"encipher_only", "decipher_only"}
    if not bits:
        return
    der = _forged(ec_key(), bits).public_bytes(Encoding.DER)
    found = linting.findings(der)

    both = "content_commitment" in bits and bool(bits & AUTHENTICATES)
    assert any("xroad.usage_both" in item for item in found) == both
    assert found == linting.findings(der, linter=PLAIN)
    impossible = bits & {"key_encipherment", "data_encipherment", "key_cert_sign"}
    assert not impossible or found


def test_the_linter_holds_back_key_agreement_of_rsa() -> None:
    """What X-Road's test CA writes and RFC 3279 doesn't have."""
    found = linting.findings(_forged(rsa_key(), AUTHENTICATES).public_bytes(Encoding.DER))

    assert any("key_usage_value_prohibited_for_rsa" in item for item in found)


def test_warnings_hold_back_unless_they_are_allowed() -> None:
    """A key usage that isn't critical is a warning."""
    der = _forged(ec_key(), {"digital_signature"}, critical=False).public_bytes(Encoding.DER)
    code = "pkix.key_usage_extension_not_critical"

    assert any(code in item for item in linting.findings(der))
    assert not linting.findings(der, {code: "this test's reason"})


@pytest.mark.parametrize("profile", list(Profile))
@pytest.mark.parametrize("key", [strong_key, ec_key])
@given(place=st.integers(0, 5000), octet=st.integers(0, 255))
@settings(max_examples=40, deadline=None)
def test_the_linter_finds_what_pkilints_own_finds(
    profile: Profile, key: Callable[[], SigningKey], place: int, octet: int
) -> None:
    """Every validator's every result, in certificates that were damaged anywhere."""
    if profile is Profile.TIME_STAMPING and key is ec_key:
        return
    der = bytearray(_sample(profile, key))
    der[place % len(der)] = octet
    try:
        root, again = (loader.load_certificate(bytes(der), "certificate").root for _ in range(2))
    except ValueError:
        return

    assert _results(linting._linter(), root) == _results(PLAIN, again)


@cache
def _sample(profile: Profile, key: Callable[[], SigningKey]) -> bytes:
    return issued(profile, key()).public_bytes(Encoding.DER)


def _results(linter: ValidatorContainer, root: PDUNode) -> list[tuple[str, str, str]]:
    found = linter.validate(root)
    return [(item.validator.name, item.node.path, str(item.finding_descriptions)) for item in found]


def test_what_is_no_certificate_is_held_back() -> None:
    """With a finding, not an error."""
    assert linting.findings(b"\x30\x03\x02\x01\x01")


def _forged(key: SigningKey, bits: set[str], *, critical: bool = True) -> x509.Certificate:
    """A certificate with a key usage that the profiles don't have."""
    good = issued("signing", key)
    builder = x509.CertificateBuilder(
        good.issuer,
        good.subject,
        key.public_key(),
        good.serial_number,
        good.not_valid_before_utc,
        good.not_valid_after_utc,
    )
    for extension in good.extensions:
        if extension.oid != ExtensionOID.KEY_USAGE:
            builder = builder.add_extension(extension.value, extension.critical)
    return builder.add_extension(usage(bits), critical).sign(authority().key, hashes.SHA256())


def test_a_certificate_lives_as_long_as_configured() -> None:
    """Both ends belong to its life; it starts a little before it is made."""
    certificate = issued("signing", ec_key(), days=30)
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc

    assert last - first + timedelta(seconds=1) == timedelta(days=30)
    assert timedelta(0) < NOW - first <= timedelta(minutes=6)


def test_a_certificate_never_outlives_its_issuer() -> None:
    """Whatever is configured."""
    certificate = issued("signing", ec_key(), days=36500)

    assert certificate.not_valid_after_utc == authority().certificate.not_valid_after_utc
    assert certificate.not_valid_before_utc >= authority().certificate.not_valid_before_utc


@pytest.mark.parametrize("days", [-2, 3651])
def test_nothing_is_issued_while_the_issuer_isnt_valid(days: int) -> None:
    """Before or after."""
    accepted = accept(order("signing"), SITE)
    with pytest.raises(Refusal, match="own certificate is valid"):
        profiles.certificate(accepted, 7, authority().terms(), NOW + timedelta(days=days))


def test_keys_of_every_size_that_is_taken_are_linted_well() -> None:
    """RSA up to 4096 bits."""
    for bits in (2048, 3072, 4096):
        key = rsa_key("sizes", bits)
        assert isinstance(key, rsa.RSAPrivateKey)
        for profile in Profile:
            if profile is Profile.TIME_STAMPING and bits < 3072:
                continue
            assert linting.findings(issued(profile, key).public_bytes(Encoding.DER)) == []
