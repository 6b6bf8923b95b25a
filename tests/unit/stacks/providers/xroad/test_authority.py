"""What is passed on to a certification authority."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from stacks.providers.serving import ProviderError
from stacks.providers.xroad.authority import Subject

SUBJECT = Subject({"CN": "Civil Registry", "serialNumber": "CIVILREG", "businessCategory": "GOV", "C": "BJ"})


def request(**changes: str) -> bytes:
    names = {
        NameOID.COMMON_NAME: "Civil Registry",
        NameOID.SERIAL_NUMBER: "CIVILREG",
        NameOID.BUSINESS_CATEGORY: "GOV",
        NameOID.COUNTRY_NAME: "BJ",
    }
    names |= {getattr(NameOID, name): value for name, value in changes.items()}
    subject = x509.Name([x509.NameAttribute(name, value) for name, value in names.items()])
    key = ec.generate_private_key(ec.SECP256R1())
    built = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return built.public_bytes(serialization.Encoding.PEM)


def test_the_declared_subject_is_accepted_in_any_order() -> None:
    """The order of a subject's parts is the server's affair."""
    SUBJECT.require(request(), "ss1")


def test_another_member_is_refused() -> None:
    """A server can't order a certificate in the name of a member that the estate doesn't declare."""
    with pytest.raises(ProviderError, match=r"ss1: .*JUSTICE.*expected .*serialNumber=CIVILREG"):
        SUBJECT.require(request(SERIAL_NUMBER="JUSTICE"), "ss1")


def test_a_further_part_is_refused() -> None:
    """More than declared is as wrong as less."""
    with pytest.raises(ProviderError):
        SUBJECT.require(request(ORGANIZATIONAL_UNIT_NAME="anything"), "ss1")
