"""Keys of issuing authorities on their host, and what is asked of the root for them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.soft_token import tokens

from trust_services import authority, key_file
from trust_services.authority import InFile, InToken
from trust_services.ceremony import requests
from trust_services.refusal import Refusal

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[InToken]:
    with tokens(tmp_path / "softhsm") as library:
        (tmp_path / "pin").write_text("a-pin-of-the-test\n", encoding="utf-8")
        (tmp_path / "officer-pin").write_text("an-officer-pin-of-the-test\n", encoding="utf-8")
        yield InToken(
            authority="infrastructure-tls",
            country="BJ",
            organization="Site",
            common_name="Site TLS CA",
            key="ec-p256",
            label="infrastructure-tls-1",
            library=library,
            token="infrastructure-tls",
            pin_file=tmp_path / "pin",
            officer_pin_file=tmp_path / "officer-pin",
            certificate=tmp_path / "ca.crt",
            requests=tmp_path / "requests",
        )


@pytest.fixture
def in_file(tmp_path: Path) -> InFile:
    return InFile(
        authority="kubernetes",
        country="BJ",
        organization="Site",
        common_name="Site Kubernetes CA",
        key="ec-p256",
        key_file=tmp_path / "keys" / "kubernetes-1.key",
        certificate=tmp_path / "ca.crt",
        requests=tmp_path / "requests",
    )


def content(settings: InToken | InFile, name: str | None) -> requests.Content:
    assert name is not None
    return requests.Content.model_validate_json((settings.requests / name).read_bytes())


def certify(settings: InToken | InFile, name: str | None, days: int = 100) -> x509.Certificate:
    """Play the root, for the request called `name`."""
    csr = x509.load_pem_x509_csr((content(settings, name).csr or "").encode())
    root = ec.generate_private_key(ec.SECP384R1())
    made = (
        x509.CertificateBuilder()
        .subject_name(csr.subject)
        .issuer_name(csr.subject)
        .public_key(csr.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=days))
        .sign(root, hashes.SHA384())
    )
    settings.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return made


def test_key_and_request_are_made_once(settings: InToken) -> None:
    first = authority.ensure(settings, NOW)
    assert first.made == ("token", "key")
    assert first.certificate == "missing"
    asked = content(settings, first.request)
    assert asked.kind == "issue"
    csr = x509.load_pem_x509_csr((asked.csr or "").encode())
    assert csr.subject.rfc4514_string() == "CN=Site TLS CA,O=Site,C=BJ"
    raw = (settings.requests / (first.request or "")).read_bytes()
    signature = (settings.requests / f"{first.request}.sig").read_bytes()
    public = csr.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert requests.verify(public, signature, raw)
    second = authority.ensure(settings, NOW + timedelta(days=1))
    assert second.made == ()
    assert second.request == first.request


def test_nothing_is_asked_while_the_certificate_is_in_force(settings: InToken) -> None:
    certify(settings, authority.ensure(settings, NOW).request)
    state = authority.ensure(settings, NOW + timedelta(days=74))
    assert (state.certificate, state.request) == ("in force", None)


def test_renewal_is_asked_for_in_time(settings: InToken) -> None:
    made = certify(settings, authority.ensure(settings, NOW).request)
    state = authority.ensure(settings, NOW + timedelta(days=76))
    assert state.certificate == "expiring"
    asked = content(settings, state.request)
    assert (asked.kind, asked.certificate) == ("renew", made.fingerprint(hashes.SHA256()).hex())
    assert authority.ensure(settings, NOW + timedelta(days=77)).request == state.request


def test_new_key_is_agreed_to_by_the_present_one(settings: InToken) -> None:
    """The request for the new key is signed with the key of the certificate in force."""
    made = certify(settings, authority.ensure(settings, NOW).request)
    rekeyed = settings.model_copy(update={"label": "infrastructure-tls-again"})
    state = authority.ensure(rekeyed, NOW)
    assert (state.made, state.certificate) == (("key",), "another key's")
    assert content(settings, state.request).kind == "renew"
    raw = (settings.requests / (state.request or "")).read_bytes()
    signature = (settings.requests / f"{state.request}.sig").read_bytes()
    public = made.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert requests.verify(public, signature, raw)


def successor(settings: InToken) -> InToken:
    """The next generation."""
    return settings.model_copy(update={"label": "infrastructure-tls-2", "common_name": "Site TLS CA G2"})


def test_next_generation_has_another_name_and_is_agreed_to(settings: InToken) -> None:
    """In good order the present authority signs for its successor."""
    made = certify(settings, authority.ensure(settings, NOW).request)
    request = authority.ensure(successor(settings), NOW).request
    asked = content(settings, request)
    assert (asked.kind, asked.certificate) == ("renew", made.fingerprint(hashes.SHA256()).hex())
    csr = x509.load_pem_x509_csr((asked.csr or "").encode())
    assert "Site TLS CA G2" in csr.subject.rfc4514_string()
    public, signed = made.public_key(), settings.requests / (request or "")
    assert isinstance(public, ec.EllipticCurvePublicKey)
    signature = signed.with_name(f"{request}.sig").read_bytes()
    assert requests.verify(public, signature, signed.read_bytes())


def test_successor_of_a_revoked_authority_asks_anew(settings: InToken, tmp_path: Path) -> None:
    """Whoever has the compromised key has no say in it."""
    listing = settings.model_copy(update={"revocation_list": tmp_path / "root.crl"})
    made = certify(listing, authority.ensure(listing, NOW).request)
    assert content(listing, authority.ensure(successor(listing), NOW).request).kind == "renew"

    revoked = x509.RevokedCertificateBuilder().serial_number(made.serial_number).revocation_date(NOW).build()
    names = x509.CertificateRevocationListBuilder().issuer_name(made.issuer).last_update(NOW)
    listed = names.next_update(NOW + timedelta(days=9)).add_revoked_certificate(revoked)
    signed = listed.sign(ec.generate_private_key(ec.SECP384R1()), hashes.SHA384())
    (tmp_path / "root.crl").write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    asked = content(listing, authority.ensure(successor(listing), NOW).request)
    assert (asked.kind, asked.certificate) == ("issue", None)


def test_a_broken_revocation_list_is_told_by_its_name(settings: InToken, tmp_path: Path) -> None:
    listing = settings.model_copy(update={"revocation_list": tmp_path / "root.crl"})
    certify(listing, authority.ensure(listing, NOW).request)
    (tmp_path / "root.crl").write_text("not a list", encoding="ascii")

    with pytest.raises(Refusal, match=r"root\.crl"):
        authority.ensure(successor(listing), NOW)


def test_dry_run_makes_nothing(settings: InToken) -> None:
    state = authority.ensure(settings, NOW, dry=True)
    assert state.made == ("token", "key")
    assert not settings.requests.exists()
    authority.ensure(settings, NOW)
    before = sorted(settings.requests.iterdir())
    assert authority.ensure(settings, NOW, dry=True).made == ()
    assert sorted(settings.requests.iterdir()) == before


def test_wrong_pin_and_missing_pin(settings: InToken) -> None:
    authority.ensure(settings, NOW)
    settings.pin_file.write_text("another-pin", encoding="utf-8")
    with pytest.raises(Refusal, match="refuses the PIN"):
        authority.ensure(settings, NOW)
    settings.pin_file.unlink()
    with pytest.raises(Refusal, match="No such file"):
        authority.ensure(settings, NOW)


def test_lost_key_of_the_present_certificate(settings: InToken) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(settings.subject()).sign(other, hashes.SHA256())
    made = requests.Content(
        kind="issue",
        authority="infrastructure-tls",
        created=NOW,
        csr=csr.public_bytes(serialization.Encoding.PEM).decode(),
    )
    certify(settings, requests.write(settings.requests, made, other).name)
    with pytest.raises(Refusal, match="doesn't hold the present certificate's key"):
        authority.ensure(settings, NOW)


def test_broken_certificate_file(settings: InToken) -> None:
    settings.certificate.write_text("-----BEGIN CERTIFICATE-----", encoding="utf-8")
    with pytest.raises(Refusal, match=r"ca\.crt"):
        authority.ensure(settings, NOW)


def test_key_in_a_file_is_asked_for_in_the_same_way(in_file: InFile) -> None:
    assert authority.ensure(in_file, NOW, dry=True).model_dump() == {
        "made": ("key",),
        "certificate": "missing",
        "request": None,
    }
    assert not in_file.key_file.parent.exists()
    first = authority.ensure(in_file, NOW)
    assert (first.made, first.certificate) == (("key",), "missing")
    raw = (in_file.requests / (first.request or "")).read_bytes()
    signature = (in_file.requests / f"{first.request}.sig").read_bytes()
    key = key_file.read(in_file.key_file)
    assert key is not None
    assert requests.verify(key.public_key(), signature, raw)
    made = certify(in_file, first.request)
    assert authority.ensure(in_file, NOW + timedelta(days=74)).certificate == "in force"
    renewal = authority.ensure(in_file, NOW + timedelta(days=76))
    asked = content(in_file, renewal.request)
    assert (renewal.made, asked.kind) == ((), "renew")
    assert asked.certificate == made.fingerprint(hashes.SHA256()).hex()
    csr = x509.load_pem_x509_csr((asked.csr or "").encode())
    assert csr.public_key() == made.public_key()


def test_lost_key_file_of_the_present_certificate(in_file: InFile) -> None:
    certify(in_file, authority.ensure(in_file, NOW).request)
    in_file.key_file.unlink()
    with pytest.raises(Refusal, match="doesn't hold the present certificate's key"):
        authority.ensure(in_file, NOW)


def test_key_file_of_another_kind(in_file: InFile) -> None:
    authority.ensure(in_file, NOW)
    with pytest.raises(Refusal, match="its key is ec-p256, the estate wants rsa-3072"):
        authority.ensure(in_file.model_copy(update={"key": "rsa-3072"}), NOW)


def test_killed_between_key_and_request(in_file: InFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next run asks for the key that is there."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(requests, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            authority.ensure(in_file, NOW)
    key = key_file.read(in_file.key_file)
    state = authority.ensure(in_file, NOW)
    csr = x509.load_pem_x509_csr((content(in_file, state.request).csr or "").encode())
    assert key is not None
    assert (state.made, csr.public_key()) == ((), key.public_key())


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("{", "Invalid JSON"),
        ('{"key_file": "/k"}', ": certificate: Field required"),
        ('{"key_file": "/k", "library": "/l.so"}', ": library: Extra inputs are not permitted"),
    ],
)
def test_settings_that_cannot_be_understood(tmp_path: Path, told: str, said: str) -> None:
    path = tmp_path / "settings.json"
    path.write_text(told, encoding="utf-8")
    command = [sys.executable, "-m", "trust_services.authority", "--config", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"refused: {path}" in done.stderr
    assert said in done.stderr


def test_command_line(settings: InToken, tmp_path: Path) -> None:
    """Its output is for programs; what it refuses names file and key."""
    path = tmp_path / "settings.json"
    path.write_text(settings.model_dump_json(), encoding="utf-8")
    command = [sys.executable, "-m", "trust_services.authority", "--config", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["made"] == ["token", "key"]
    path.write_text(json.dumps({**json.loads(path.read_text()), "key": "rsa-512"}), encoding="utf-8")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"{path}: key: " in done.stderr
