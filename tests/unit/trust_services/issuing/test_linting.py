"""That the linter, which remembers what it has read, finds what pkilint's own validators find."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st
from pkilint import loader
from pkilint.validation import ValidatorContainer
from tests.unit.trust_services.issuing.ordering import ADDRESSES, SERVER, authority, ec_key, rsa_key, usage

from trust_services.issuing import linting

PLAIN = linting.plain_linter()
NOW = datetime.now(UTC).replace(microsecond=0)
Extension = tuple[x509.ExtensionType, bool]

ADDRESS = x509.UniformResourceIdentifier(ADDRESSES.crl)
NO_ADDRESS = x509.UniformResourceIdentifier("no address at all")
KEY = x509.SubjectKeyIdentifier.from_public_key(ec_key().public_key())
ISSUER = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority().key.public_key())

NAMES = (
    (NameOID.COUNTRY_NAME, "BJ"),
    (NameOID.COUNTRY_NAME, "bj"),
    (NameOID.COMMON_NAME, SERVER),
    (NameOID.COMMON_NAME, "x" * 65),
    (NameOID.ORGANIZATION_NAME, "Ministère de la Santé"),
    (NameOID.SERIAL_NUMBER, "HEALTH"),
    (NameOID.BUSINESS_CATEGORY, "GOV"),
    (NameOID.DOMAIN_COMPONENT, "not_a_domain!"),
    (NameOID.EMAIL_ADDRESS, "nobody"),
    (x509.ObjectIdentifier("1.2.3.4"), "unknown"),
)

EXTENSIONS: tuple[Extension, ...] = (
    (x509.BasicConstraints(ca=False, path_length=None), True),
    (x509.BasicConstraints(ca=True, path_length=0), False),
    (usage({"content_commitment"}), True),
    (usage({"content_commitment", "digital_signature"}), False),
    (usage({"key_cert_sign"}), True),
    (KEY, False),
    (KEY, True),
    (x509.SubjectKeyIdentifier(b"another"), False),
    (ISSUER, False),
    (x509.AuthorityKeyIdentifier(None, [x509.DirectoryName(authority().certificate.subject)], 7), True),
    (x509.CRLDistributionPoints([x509.DistributionPoint([ADDRESS], None, None, None)]), False),
    (
        x509.CRLDistributionPoints(
            [x509.DistributionPoint([NO_ADDRESS], None, frozenset({x509.ReasonFlags.key_compromise}), None)]
        ),
        True,
    ),
    (x509.SubjectAlternativeName([x509.DNSName(SERVER)]), False),
    (
        x509.SubjectAlternativeName(
            [
                x509.DNSName("-bad-"),
                NO_ADDRESS,
                x509.RFC822Name("nobody"),
                x509.IPAddress(ipaddress.ip_address(1)),
            ]
        ),
        True,
    ),
    (
        x509.SubjectAlternativeName([x509.OtherName(x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9"), b"\x0c\x01a")]),
        False,
    ),
    (x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]), True),
    (
        x509.CertificatePolicies(
            [
                x509.PolicyInformation(
                    x509.ObjectIdentifier("1.2.3"), ["no address", x509.UserNotice(None, "told" * 60)]
                )
            ]
            * 2
        ),
        False,
    ),
    (x509.NameConstraints([x509.DNSName("")], [x509.DNSName("example.bj")]), False),
    (x509.PolicyConstraints(None, 0), False),
    (x509.OCSPNoCheck(), False),
    # Nothing that an extension of its kind can be, and octets that are something else elsewhere.
    (x509.UnrecognizedExtension(ExtensionOID.KEY_USAGE, b"\x30\x00"), True),
    (x509.UnrecognizedExtension(ExtensionOID.BASIC_CONSTRAINTS, b"\x04\x00"), True),
    (x509.UnrecognizedExtension(ExtensionOID.SUBJECT_INFORMATION_ACCESS, KEY.public_bytes()), False),
    (x509.UnrecognizedExtension(ExtensionOID.ISSUER_ALTERNATIVE_NAME, KEY.public_bytes()), True),
    (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), KEY.public_bytes()), True),
)


def _made(names: list[int], extensions: list[int], *, key: int = 0, days: int = 365) -> bytes:
    """A certificate with these of the names and extensions above, in DER."""
    keys = (ec_key(), rsa_key())
    subject = x509.Name([x509.NameAttribute(*NAMES[number], _validate=False) for number in names])
    builder = x509.CertificateBuilder(
        authority().certificate.subject,
        subject,
        keys[key].public_key(),
        x509.random_serial_number(),
        NOW,
        NOW + timedelta(days=days),
    )
    for number in extensions:
        value, critical = EXTENSIONS[number]
        builder = builder.add_extension(value, critical)
    return builder.sign(authority().key, hashes.SHA256()).public_bytes(Encoding.DER)


def _distinct(numbers: list[int]) -> list[int]:
    """The first of each kind of extension: the builder takes no more."""
    return list({EXTENSIONS[number][0].oid: number for number in reversed(numbers)}.values())


def _results(linter: ValidatorContainer, der: bytes) -> list[tuple[str, str, str]]:
    """Every validator's every result, in order."""
    found = linter.validate(loader.load_certificate(der, "certificate").root)
    return [(item.validator.name, item.node.path, str(item.finding_descriptions)) for item in found]


@given(
    names=st.lists(st.integers(0, len(NAMES) - 1), max_size=6),
    extensions=st.lists(st.integers(0, len(EXTENSIONS) - 1), max_size=12).map(_distinct),
    key=st.integers(0, 1),
    days=st.sampled_from([1, 365, 40_000]),
)
@settings(max_examples=150, deadline=None)
def test_good_and_bad_certificates_are_found_to_be_what_pkilint_finds(
    names: list[int], extensions: list[int], key: int, days: int
) -> None:
    """Read for the first time, and from memory in another certificate."""
    first, second = (_made(names, extensions, key=key, days=days) for _ in range(2))

    assert _results(linting._linter(), first) == _results(PLAIN, first)
    assert _results(linting._linter(), second) == _results(PLAIN, second)


@pytest.mark.parametrize("number", range(len(EXTENSIONS)))
def test_every_kind_of_extension_is_found_again_after_it_was_forgotten(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory holds so much and no more; what it holds was read with the validators of its kind."""
    monkeypatch.setattr(linting._ReadOnce, "_MOST", 2)
    fresh = linting._ByClass(linting.plain_linter())
    other = (number + 1) % len(EXTENSIONS)
    alone, both = _made([0, 2], [number]), _made([2, 4], _distinct([other, number]))

    for der in (alone, alone, both, alone):
        assert _results(fresh, der) == _results(PLAIN, der)


def test_a_certificate_in_memory_says_nothing_about_another() -> None:
    """A bad one in between changes neither what is found before it nor after it."""
    good, bad = _made([0, 2], [0, 2, 5, 8]), _made([0, 2], [0, 3, 5, 8])

    assert [linting.findings(der) == [] for der in (good, bad, good, bad)] == [True, False, True, False]
