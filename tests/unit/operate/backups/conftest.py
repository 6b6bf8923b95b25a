"""Backups as servers make them, by GnuPG and with X-Road's labels."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from operate.backups.servers import Server

IDENTITY = "TEST/GOV/CIVILREG/SS-CIVIL"


class Maker:
    """The key ring of a server."""

    def __init__(self, home: str, identity: str) -> None:
        self._home = home
        self.identity = identity
        self._gpg("--passphrase", "", "--quick-generate-key", identity, "future-default", "default", "never")
        self.key = self._gpg("--armor", "--export-secret-keys").decode()

    def backup(self, label: str = f"security_XROAD_7.1_{IDENTITY}", *, sealed: str = "encrypted") -> bytes:
        """A backup with this label: encrypted, signed only, or neither."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar:
            marked = tarfile.TarInfo(label)
            marked.type = b"V"
            tar.addfile(marked)
            entry = tarfile.TarInfo("var/lib/xroad/dbdump.dat")
            entry.size = 9
            tar.addfile(entry, io.BytesIO(b"databases"))
        if sealed == "neither":
            return self._gpg("--encrypt", "-r", self.identity, content=packed.getvalue())
        encryption = ("--encrypt", "-r", self.identity) if sealed == "encrypted" else ()
        return self._gpg("--sign", *encryption, content=packed.getvalue())

    def close(self) -> None:
        subprocess.run(["gpgconf", "--homedir", self._home, "--kill", "all"], check=True)

    def _gpg(self, *arguments: str, content: bytes = b"") -> bytes:
        command = [
            "gpg",
            "--homedir",
            self._home,
            "--batch",
            "--no-tty",
            "--quiet",
            "--output",
            "-",
            *arguments,
        ]
        return subprocess.run(command, input=content, capture_output=True, check=True).stdout


@contextmanager
def made() -> Iterator[Maker]:
    """A server with a key that no other has."""
    with tempfile.TemporaryDirectory(prefix="gpg-") as home:
        maker = Maker(home, IDENTITY)
        yield maker
        maker.close()


@pytest.fixture(scope="session")
def maker() -> Iterator[Maker]:
    """The security server of the civil registry."""
    with made() as one:
        yield one


@pytest.fixture(scope="session")
def stranger() -> Iterator[Maker]:
    """A server of the same name and another key."""
    with made() as one:
        yield one


@pytest.fixture
def server() -> Server:
    """What the estate says of it."""
    return Server("ss-civil", "security", IDENTITY, "7.8.0", "ubuntu-24.04")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where backups lie."""
    return tmp_path / "backups"
