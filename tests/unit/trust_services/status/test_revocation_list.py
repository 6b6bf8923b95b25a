"""CRLs follow RFC 5280, and OpenSSL reads them."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from trust_services.certificate_state import CertificateState
from trust_services.refusal import Refusal
from trust_services.status import revocation_list

NOW = datetime(2026, 11, 26, 10, tzinfo=UTC)
DAY = timedelta(days=1)


def signed(pki: Any, *states: CertificateState, **changes: Any) -> x509.CertificateRevocationList:
    arguments = {"number": 7, "this_update": NOW, "next_update": NOW + DAY, **changes}
    return revocation_list.sign(pki.certificate, pki.key, states, **arguments)


def test_only_the_revoked_are_listed_by_serial(
    pki: Any, good: CertificateState, revoked: CertificateState
) -> None:
    silent = CertificateState(5, NOW, x509.ReasonFlags.unspecified)

    made = signed(pki, good, revoked, silent)

    assert [entry.serial_number for entry in made] == [5, revoked.serial]
    first, second = made
    assert list(first.extensions) == []
    assert second.revocation_date_utc == revoked.revoked_at
    reason = second.extensions.get_extension_for_class(x509.CRLReason).value.reason
    assert reason is x509.ReasonFlags.key_compromise


def test_what_a_list_says_of_itself(pki: Any) -> None:
    made = signed(pki)

    assert made.is_signature_valid(pki.certificate.public_key())
    assert made.issuer == pki.certificate.subject
    assert made.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 7
    identifier = made.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    assert identifier == x509.SubjectKeyIdentifier.from_public_key(pki.key.public_key()).digest
    assert (made.last_update_utc, made.next_update_utc) == (NOW, NOW + DAY)
    assert len(made) == 0


def test_openssl_accepts_it(pki: Any, revoked: CertificateState, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl isn't installed: apt-get install openssl")
    (tmp_path / "list").write_bytes(signed(pki, revoked).public_bytes(Encoding.DER))
    (tmp_path / "authority").write_bytes(pki.certificate.public_bytes(Encoding.PEM))

    done = subprocess.run(
        ["openssl", "crl", "-inform", "DER", "-in", "list", "-CAfile", "authority", "-noout", "-text"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert "verify OK" in done.stderr
    assert "Serial Number: 1002" in done.stdout
    assert "Key Compromise" in done.stdout


def test_another_key_is_refused(pki: Any, other: Any) -> None:
    with pytest.raises(Refusal, match="isn't that of"):
        revocation_list.sign(pki.certificate, other.key, [], number=1, this_update=NOW, next_update=NOW + DAY)


def test_a_list_that_ends_before_it_begins_is_refused(pki: Any) -> None:
    with pytest.raises(Refusal, match="nextUpdate"):
        signed(pki, next_update=NOW)


def test_an_authority_without_a_key_identifier_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    bare = x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW + DAY).sign(key, hashes.SHA256())

    with pytest.raises(Refusal, match="no subject key identifier"):
        revocation_list.sign(bare, key, [], number=1, this_update=NOW, next_update=NOW + DAY)
