"""What is told of certificates and revocation lists in files, and what isn't opened."""

from __future__ import annotations

import base64
import importlib.util
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

SCRIPT = Path(__file__).resolve().parents[4] / "roles/node_exporter/files/certificate_scan.py"
BEGINS = datetime(2026, 1, 1, tzinfo=UTC)
ENDS = datetime(2036, 1, 1, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())
PRIVATE = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def loaded() -> ModuleType:
    """The program that is copied to hosts."""
    spec = importlib.util.spec_from_file_location("certificate_scan", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


scan = loaded()


def named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def certificate(name: str = "Root", serial: int = 0x1234, ends: datetime = ENDS) -> x509.Certificate:
    """A certificate of a name, by itself."""
    builder = x509.CertificateBuilder(
        named(name), named(name), KEY.public_key(), serial, not_valid_before=BEGINS, not_valid_after=ends
    )
    return builder.sign(KEY, hashes.SHA256())


def pem(name: str = "Root", serial: int = 0x1234, ends: datetime = ENDS) -> bytes:
    return certificate(name, serial, ends).public_bytes(Encoding.PEM)


def revocation_list(encoding: Encoding) -> bytes:
    builder = x509.CertificateRevocationListBuilder(named("Root"), last_update=BEGINS, next_update=ENDS)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(encoding)


def told(*patterns: Path | str) -> dict[str, str]:
    """The figures' values by name and labels."""
    text: str = scan.exposition([str(pattern) for pattern in patterns], 1_800_000_000.0)
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return dict(line.rsplit(" ", 1) for line in lines)


def written(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_a_certificate_and_its_chain_are_told(tmp_path: Path) -> None:
    """Each of a file's certificates has figures of its own."""
    path = written(tmp_path, "host.crt", pem("Host", 0xAB, datetime(2026, 2, 1, tzinfo=UTC)) + pem())
    host = f'{{path="{path}",subject="CN=Host",issuer="CN=Host",serial="AB"}}'
    root = f'{{path="{path}",subject="CN=Root",issuer="CN=Root",serial="1234"}}'

    assert told(path) == {
        f"certificate_not_before_seconds{host}": "1767225600",
        f"certificate_not_before_seconds{root}": "1767225600",
        f"certificate_not_after_seconds{host}": "1769904000",
        f"certificate_not_after_seconds{root}": "2082758400",
        "certificate_scan_success_timestamp_seconds": "1800000000",
    }


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_a_revocation_list_is_told_in_either_form(tmp_path: Path, encoding: Encoding) -> None:
    """A list is known by what it is, not by its file's name."""
    path = written(tmp_path, "anything", revocation_list(encoding))

    found = told(path)

    assert found[f'revocation_list_last_update_seconds{{path="{path}",issuer="CN=Root"}}'] == "1767225600"
    assert found[f'revocation_list_next_update_seconds{{path="{path}",issuer="CN=Root"}}'] == "2082758400"
    assert not any(name.startswith("certificate_not") for name in found)


def test_a_certificate_in_der_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, "ca.der", certificate().public_bytes(Encoding.DER))

    assert any(name.startswith("certificate_not_after_seconds") for name in told(path))


def test_certificates_inside_a_kubeconfig_are_told_and_its_key_is_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kubeadm writes client certificate, key and authority into one file."""
    lines = {
        "certificate-authority-data": pem(),
        "client-certificate-data": pem("kubernetes-admin", 7),
        "client-key-data": PRIVATE,
    }
    text = "".join(f"    {name}: {base64.b64encode(value).decode()}\n" for name, value in lines.items())
    path = written(tmp_path, "admin.conf", text.encode())
    seen = opened(monkeypatch)

    found = told(path)

    assert sum(name.startswith("certificate_not_after_seconds") for name in found) == 2
    assert not any(b"PRIVATE" in piece for piece in seen)


def test_a_key_beside_a_certificate_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kubelet's current file holds both."""
    path = written(tmp_path, "kubelet-client-current.pem", pem("node", 9) + PRIVATE)
    seen = opened(monkeypatch)

    found = told(path)

    assert sum(name.startswith("certificate_not_after_seconds") for name in found) == 1
    assert len(seen) == 1
    assert not any(b"PRIVATE" in piece for piece in seen)


def opened(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What OpenSSL is given from here on."""
    seen: list[bytes] = []
    run = subprocess.run
    scan.describe.cache_clear()

    def watched(command: list[str], *, input: bytes, **rest: object) -> object:  # noqa: A002 - subprocess's word
        seen.append(input)
        return run(command, input=input, **rest)  # type: ignore[call-overload]

    monkeypatch.setattr(scan.subprocess, "run", watched)
    return seen


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "neither certificate nor list"),
        (PRIVATE, "neither certificate nor list"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "malformed"),
        (pem()[:200], "malformed"),
        (b"\x30\x03\x02\x01\x01", "malformed"),
        (b"client-certificate-data: A\n", "malformed"),
        (pem() + b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "malformed"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_and_nothing_else_is_told_of_it(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    bad = written(tmp_path, "bad.crt", content)
    good = written(tmp_path, "good.crt", pem())

    found = told(bad, good)

    assert found[f'certificate_file_unreadable{{path="{bad}",reason="{reason}"}}'] == "1"
    assert [name for name in found if str(bad) in name] == [
        f'certificate_file_unreadable{{path="{bad}",reason="{reason}"}}'
    ]
    assert any(name.startswith("certificate_not_after_seconds") and str(good) in name for name in found)


def test_a_path_must_exist_and_a_pattern_need_not(tmp_path: Path) -> None:
    """A node is measured before kubeadm has made its files."""
    found = told(tmp_path / "host.crt", tmp_path / "**/*.crt")

    assert found == {
        f'certificate_file_unreadable{{path="{tmp_path}/host.crt",reason="missing"}}': "1",
        "certificate_scan_success_timestamp_seconds": "1800000000",
    }


def test_a_link_to_nowhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").symlink_to(tmp_path / "gone")

    assert f'certificate_file_unreadable{{path="{tmp_path}/ca.crt",reason="missing"}}' in told(
        tmp_path / "*.crt"
    )


def test_patterns_reach_into_folders_and_a_file_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "etcd").mkdir()
    written(tmp_path / "etcd", "ca.crt", pem() + pem())
    written(tmp_path, "ca.crt", pem())

    found = told(tmp_path / "**/*.crt", tmp_path / "*.crt")

    assert sum(name.startswith("certificate_not_after_seconds") for name in found) == 2


def test_names_are_quoted_as_prometheus_reads_them(tmp_path: Path) -> None:
    """OpenSSL escapes a quote with a backslash; both need one more."""
    path = written(tmp_path, "odd.crt", pem('Mi"nistère'))

    (name,) = (name for name in told(path) if name.startswith("certificate_not_after_seconds"))

    assert 'subject="CN=Mi\\\\\\"nistère"' in name


def test_the_file_is_replaced_as_a_whole_and_readable(tmp_path: Path) -> None:
    """As the timer runs it: no half-written file is ever read."""
    source = written(tmp_path, "host.crt", pem())
    patterns = written(tmp_path, "patterns", f"{source}\n".encode())
    output = written(tmp_path, "certificates.prom", b"old")

    with output.open("rb") as before:
        subprocess.run([str(SCRIPT), str(patterns), str(output)], check=True)
        assert before.read() == b"old"
    text = output.read_text(encoding="utf-8")
    assert re.search(r"^certificate_not_after_seconds\{.*\} 2082758400$", text, re.MULTILINE)
    assert output.stat().st_mode & 0o777 == 0o644
    assert sorted(path.name for path in tmp_path.iterdir()) == ["certificates.prom", "host.crt", "patterns"]
