"""Configurations that are refused, with what the refusal must name."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.key_usage import BITS, key_usage

from trust_services.refusal import Refusal
from trust_services.timestamps.__main__ import main
from trust_services.timestamps.settings import Identity, read_identity, read_settings

STAMPING = ExtendedKeyUsageOID.TIME_STAMPING


def changed(config: Path, **values: Any) -> Path:
    content = json.loads(config.read_text()) | values
    config.write_text(json.dumps({name: value for name, value in content.items() if value is not ...}))
    return config


def refusal(call: Callable[..., Any], *arguments: Any) -> str:
    with pytest.raises(Refusal) as refused:
        call(*arguments)
    return refused.value.message


def test_a_right_configuration_is_read(config: Path, identity: Identity) -> None:
    settings = read_settings(config)
    assert settings.policy.dotted_string == "1.3.6.1.4.1.99999.1.1"
    assert settings.workers == 1
    assert settings.clock.limits.interval == 2.0
    assert settings.clock.limits.error == 1.0
    read = read_identity(config, settings)
    assert read.certificate == identity.certificate
    assert read.chain == identity.chain
    assert read.key.private_numbers() == identity.key.private_numbers()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"port": 0}, "port: Input should be greater than or equal to 1: 0"),
        ({"port": "8899"}, "port: Input should be a valid integer: '8899'"),
        ({"workers": 0}, "workers: "),
        ({"address": "everywhere"}, "address: "),
        ({"policy": "1.2.x"}, "policy: "),
        ({"policy": 1.2}, "policy: "),
        ({"polices": "1.2.3"}, "polices: Extra inputs are not permitted: '1.2.3'"),
        ({"key": ...}, "key: Field required"),
        ({"clock": {"command": []}}, "clock.command: "),
        ({"clock": {"command": "chronyc -c tracking"}}, "clock.command: "),
        ({"clock": {"interval_seconds": 0}}, "clock.interval_seconds: "),
        ({"clock": {"maximum_error_seconds": -1}}, "clock.maximum_error_seconds: "),
        ({"clock": {"deadline": 1}}, "clock.deadline: "),
    ],
)
def test_a_wrong_value_is_named_with_its_file_and_key(config: Path, values: dict[str, Any], said: str) -> None:
    assert f"{config}: {said}" in refusal(read_settings, changed(config, **values))


def test_every_wrong_value_is_named(config: Path) -> None:
    assert len(refusal(read_settings, changed(config, port=0, workers=0)).splitlines()) == 2


@pytest.mark.parametrize("text", ["", "{", "[]", '{"port": 1} x'])
def test_what_is_not_a_json_object_is_refused(config: Path, text: str) -> None:
    config.write_text(text)
    assert str(config) in refusal(read_settings, config)


def test_a_configuration_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert refusal(read_settings, tmp_path / "none") == f"{tmp_path / 'none'}: No such file or directory"


def test_the_passphrase_is_looked_for_among_the_credentials(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    assert f"{credentials}/passphrase" in refusal(read_identity, config, read_settings(config))
    (config.parent / "passphrase").rename(credentials / "passphrase")
    assert read_identity(config, read_settings(config))


@pytest.mark.parametrize("name", ["certificate.pem", "chain.pem", "key.pem", "passphrase"])
@pytest.mark.parametrize("content", [None, b"", b"garbage"])
def test_a_file_that_is_missing_or_garbage_is_named(config: Path, name: str, content: bytes | None) -> None:
    file = config.parent / name
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    message = refusal(read_identity, config, read_settings(config))
    assert str(file) in message
    assert "correct horse" not in message


def test_a_key_that_is_not_encrypted_is_refused(config: Path, identity: Identity) -> None:
    plain = identity.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (config.parent / "key.pem").write_bytes(plain)
    assert "the key isn't encrypted" in refusal(read_identity, config, read_settings(config))


@pytest.mark.parametrize(
    "other", [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())], ids=["rsa", "ec"]
)
def test_a_weak_key_and_one_of_another_kind_are_refused(config: Path, authority: Any, other: Any) -> None:
    (config.parent / "key.pem").write_bytes(authority.encrypted(other))
    (config.parent / "certificate.pem").write_bytes(authority.pem(authority.issue(other)))
    assert "not an RSA key of 3072 bits" in refusal(read_identity, config, read_settings(config))


def test_the_certificate_of_another_key_is_refused(config: Path, authority: Any) -> None:
    other = authority.issue(rsa.generate_private_key(65537, 3072))
    (config.parent / "certificate.pem").write_bytes(authority.pem(other))
    assert "the certificate isn't for the key" in refusal(read_identity, config, read_settings(config))


@pytest.mark.parametrize(
    ("usages", "critical"),
    [
        ([], True),
        ([STAMPING], False),
        ([STAMPING, ExtendedKeyUsageOID.OCSP_SIGNING], True),
        ([ExtendedKeyUsageOID.OCSP_SIGNING], True),
        ([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE], True),
    ],
)
def test_a_certificate_that_is_not_for_time_stamps_alone_is_refused(
    config: Path, authority: Any, key: Any, usages: list[x509.ObjectIdentifier], critical: bool
) -> None:
    certificate = authority.issue(key, usages, critical=critical)
    (config.parent / "certificate.pem").write_bytes(authority.pem(certificate))
    assert "isn't critical and timeStamping alone" in refusal(read_identity, config, read_settings(config))


@pytest.mark.parametrize(
    "uses",
    [("key_encipherment",), ("digital_signature", "key_cert_sign"), ("content_commitment", "key_agreement")],
)
def test_a_certificate_for_more_than_signing_is_refused(
    config: Path, authority: Any, key: Any, uses: tuple[str, ...]
) -> None:
    certificate = authority.issue(key, key_usage=key_usage(*uses))
    (config.parent / "certificate.pem").write_bytes(authority.pem(certificate))
    assert "key usage isn't for signing alone" in refusal(read_identity, config, read_settings(config))


@pytest.mark.parametrize("uses", [("digital_signature",), ("content_commitment",), BITS[:2]])
def test_a_certificate_for_signing_is_taken(
    config: Path, authority: Any, key: Any, uses: tuple[str, ...]
) -> None:
    certificate = authority.issue(key, key_usage=key_usage(*uses))
    (config.parent / "certificate.pem").write_bytes(authority.pem(certificate))
    assert read_identity(config, read_settings(config)).certificate == certificate


def test_a_certificate_out_of_its_time_is_refused(config: Path, identity: Identity) -> None:
    settings = read_settings(config)
    ends = identity.certificate.not_valid_after_utc
    assert "the certificate ended" in refusal(read_identity, config, settings, ends)
    assert read_identity(config, settings, ends - timedelta(seconds=1))
    early = identity.certificate.not_valid_before_utc - timedelta(seconds=1)
    assert "the certificate begins" in refusal(read_identity, config, settings, early)


def test_a_chain_that_does_not_lead_up_is_refused(config: Path, authority: Any) -> None:
    stranger = type(authority)()
    (config.parent / "chain.pem").write_bytes(authority.pem(stranger.certificate))
    assert "didn't issue" in refusal(read_identity, config, read_settings(config))
    (config.parent / "chain.pem").write_bytes(authority.pem(authority.certificate, stranger.certificate))
    assert "didn't issue" in refusal(read_identity, config, read_settings(config))


def test_the_command_says_what_is_wrong_and_what_next(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config", str(config)]) == 0
    assert main(["check", "--config", str(changed(config, port=0))]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert f"{config}: port: " in said.err
    assert f"next: mend {config}" in said.err


def test_now_is_what_counts_if_nothing_else_is_said(config: Path, authority: Any, key: Any) -> None:
    certificate = authority.issue(key, ends=timedelta(seconds=-1))
    assert certificate.not_valid_after_utc < datetime.now(UTC)
    (config.parent / "certificate.pem").write_bytes(authority.pem(certificate))
    assert "the certificate ended" in refusal(read_identity, config, read_settings(config))
