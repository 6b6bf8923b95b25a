"""Keys of authorities in files: who may read them, and what an interruption leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from trust_services import key_file
from trust_services.ceremony.requests import kind_of
from trust_services.refusal import Refusal

MAKE = "from pathlib import Path; from trust_services import key_file; key_file.make(Path({path!r}), 'ec-p256')"
KILLED = "import os, signal, pathlib; pathlib.Path.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL); "


@pytest.mark.parametrize("kind", ["ec-p256", "ec-p384", "rsa-3072"])
def test_key_is_made_once_for_its_owner_alone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "keys" / "ca.key"
    before = os.umask(0)
    try:
        made = key_file.make(path, kind)
    finally:
        os.umask(before)
    assert kind_of(made.public_key()) == kind
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["ca.key"]
    text = path.read_bytes()
    assert key_file.make(path, kind).public_key() == made.public_key()
    assert path.read_bytes() == text


def test_no_file_is_no_key(tmp_path: Path) -> None:
    assert key_file.read(tmp_path / "ca.key") is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_key_that_others_may_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "ca.key"
    key_file.make(path, "ec-p256")
    path.chmod(mode)
    with pytest.raises(Refusal, match=rf"ca\.key: mode {mode:04o}, user 0") as refused:
        key_file.read(path)
    assert "chmod 0600" in refused.value.next_step
    with pytest.raises(Refusal, match="others than the authority may know the key"):
        key_file.make(path, "ec-p256")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_key_of_another_user_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ca.key"
    key_file.make(path, "ec-p256")
    os.chown(path, 4711, -1)
    with pytest.raises(Refusal, match="mode 0600, user 4711"):
        key_file.read(path)


def test_link_is_refused(tmp_path: Path) -> None:
    key_file.make(tmp_path / "elsewhere.key", "ec-p256")
    (tmp_path / "ca.key").symlink_to("elsewhere.key")
    with pytest.raises(Refusal, match=r"ca\.key: "):
        key_file.read(tmp_path / "ca.key")


@pytest.mark.parametrize("text", [b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_damaged_key_is_refused_and_kept(tmp_path: Path, text: bytes) -> None:
    """Another key in its place would be another authority."""
    path = tmp_path / "ca.key"
    path.write_bytes(text)
    path.chmod(0o600)
    with pytest.raises(Refusal, match="isn't a private key in PEM"):
        key_file.make(path, "ec-p256")
    assert path.read_bytes() == text


def test_killed_before_the_key_is_in_place(tmp_path: Path) -> None:
    """What is left isn't taken for the key, keeps nobody from making it, and lends it no permissions."""
    path = tmp_path / "ca.key"
    done = subprocess.run([sys.executable, "-c", KILLED + MAKE.format(path=str(path))], check=False)
    assert done.returncode == -signal.SIGKILL
    left = tmp_path / ".ca.key.new"
    assert left.stat().st_mode & 0o777 == 0o600
    assert key_file.read(path) is None
    abandoned = left.read_bytes()
    left.chmod(0o644)
    made = key_file.make(path, "ec-p256")
    assert path.read_bytes() != abandoned
    assert path.stat().st_mode & 0o777 == 0o600
    found = key_file.read(path)
    assert found is not None
    assert found.public_key() == made.public_key()
    assert not left.exists()


def test_those_who_come_at_one_time_get_one_key(tmp_path: Path) -> None:
    path = tmp_path / "ca.key"
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: key_file.make(path, "ec-p256"), range(8)))
    found = key_file.read(path)
    assert found is not None
    assert all(key.public_key() == found.public_key() for key in made)


def test_openssl_reads_it(tmp_path: Path) -> None:
    """So do Go's programs, which take PKCS #8 (RFC 5958)."""
    path = tmp_path / "ca.key"
    key_file.make(path, "ec-p256")
    assert path.read_text(encoding="ascii").startswith("-----BEGIN PRIVATE KEY-----")
    done = subprocess.run(
        ["openssl", "pkey", "-in", path, "-noout", "-check"], capture_output=True, check=False
    )
    assert done.returncode == 0
