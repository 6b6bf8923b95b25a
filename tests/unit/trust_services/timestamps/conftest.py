"""An authority of its own for the tests: keys, certificates, a clock that does as told."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from trust_services.timestamps.clock import NANOSECONDS, ClockWatch, Limits
from trust_services.timestamps.settings import Identity

PASSPHRASE = b"correct horse"

AnyKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def named(name: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.COUNTRY_NAME, "BJ"), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    )


class CertificateAuthority:
    """Issues what a test asks for, good or bad."""

    def __init__(self, name: str = "Trust services", issuer: CertificateAuthority | None = None) -> None:
        self.name = named(name)
        self.key = ec.generate_private_key(ec.SECP256R1())
        signer = issuer or self
        self.certificate = (
            self._builder(signer.name, self.name, self.key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(signer.key, hashes.SHA256())
        )

    def issue(
        self,
        key: AnyKey,
        usages: list[x509.ObjectIdentifier] | None = None,
        *,
        critical: bool = True,
        key_usage: x509.KeyUsage | None = None,
        begins: timedelta = timedelta(days=-1),
        ends: timedelta = timedelta(days=30),
    ) -> x509.Certificate:
        builder = self._builder(self.name, named("Time stamps 1"), key, begins, ends)
        wanted = [ExtendedKeyUsageOID.TIME_STAMPING] if usages is None else usages
        if wanted:
            builder = builder.add_extension(x509.ExtendedKeyUsage(wanted), critical=critical)
        if key_usage:
            builder = builder.add_extension(key_usage, critical=True)
        return builder.sign(self.key, hashes.SHA256())

    @staticmethod
    def pem(*certificates: x509.Certificate) -> bytes:
        return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)

    @staticmethod
    def encrypted(key: AnyKey) -> bytes:
        return key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(PASSPHRASE),
        )

    @staticmethod
    def _builder(
        issuer: x509.Name,
        subject: x509.Name,
        key: AnyKey,
        begins: timedelta = timedelta(days=-1),
        ends: timedelta = timedelta(days=30),
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .issuer_name(issuer)
            .subject_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins)
            .not_valid_after(now + ends)
        )


@dataclass
class Host:
    """A host whose clocks a test moves, with a chronyc that prints what a test says."""

    folder: Path
    wall: int = 1_800_000_000 * NANOSECONDS
    monotonic: int = 5_000 * NANOSECONDS
    held_up: int = 0
    """Nanoseconds that pass between any two readings of a clock."""
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        self.program = self.folder / "chronyc"
        self.limits = Limits(command=(str(self.program),), deadline=20.0)
        self.tracks()

    def tracks(
        self,
        *,
        reference: str = "C0000201",
        source: str = "192.0.2.1",
        measured: float = -20.0,
        offset: float = 0.0001,
        delay: float = 0.002,
        dispersion: float = 0.0004,
        leap: str = "Normal",
    ) -> None:
        """Let chronyc print what version 4.6 would; `measured` counts in seconds from the clock's time."""
        self.says(
            f"{reference},{source},3,{self.wall / NANOSECONDS + measured:.9f},{offset:.9f},-0.000012000,"
            f"0.000030000,-12.345,0.001,0.050,{delay:.9f},{dispersion:.9f},64.2,{leap}"
        )

    def says(self, line: str) -> None:
        self.runs(f"cat <<'END'\n{line}\nEND\n")

    def runs(self, script: str) -> None:
        # Not written to in place: it may be running.
        written = self.program.with_suffix(".new")
        written.write_text(f"#!/bin/sh\n{script}")
        written.chmod(0o755)
        written.replace(self.program)

    def pass_time(self, seconds: float) -> None:
        self.wall += round(seconds * NANOSECONDS)
        self.monotonic += round(seconds * NANOSECONDS)

    def set_clock(self, by: float) -> None:
        self.wall += round(by * NANOSECONDS)

    def read_wall(self) -> int:
        self.pass_time(self.held_up / NANOSECONDS)
        return self.wall

    def read_monotonic(self) -> int:
        self.pass_time(self.held_up / NANOSECONDS)
        return self.monotonic


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture
def watch(host: Host) -> ClockWatch:
    """A watch of that host's clock."""
    return ClockWatch(host.limits, host.read_wall, host.read_monotonic)


@pytest.fixture(scope="session")
def authority() -> CertificateAuthority:
    return CertificateAuthority()


@pytest.fixture(scope="session")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 3072)


@pytest.fixture(scope="session")
def identity(authority: CertificateAuthority, key: rsa.RSAPrivateKey) -> Identity:
    return Identity(key, authority.issue(key), (authority.certificate,))


@pytest.fixture
def config(identity: Identity, authority: CertificateAuthority, host: Host, tmp_path: Path) -> Path:
    """A configuration file that is right, with what it names."""
    (tmp_path / "certificate.pem").write_bytes(authority.pem(identity.certificate))
    (tmp_path / "chain.pem").write_bytes(authority.pem(*identity.chain))
    (tmp_path / "key.pem").write_bytes(authority.encrypted(identity.key))
    (tmp_path / "passphrase").write_bytes(PASSPHRASE + b"\n")
    file = tmp_path / "timestamps.json"
    file.write_text(
        json.dumps(
            {
                "address": "127.0.0.1",
                "port": 8899,
                "policy": "1.3.6.1.4.1.99999.1.1",
                "certificate": "certificate.pem",
                "chain": "chain.pem",
                "key": "key.pem",
                "passphrase": "passphrase",
                "clock": {"command": [str(host.program)], "interval_seconds": 2.0},
            }
        )
    )
    return file
