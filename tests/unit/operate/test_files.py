"""Files are whole or untouched; a lock keeps a second run away."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from operate.failure import Failure
from operate.files import exclusive, require_room, write_atomically


def test_replaces_the_whole_file_with_its_mode(tmp_path: Path) -> None:
    """The old content is gone, and nothing else is left."""
    path = tmp_path / "state" / "overlay.yml"
    write_atomically(path, "old", mode=0o600)
    write_atomically(path, "new", mode=0o600)

    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what to do, and nothing is half-written."""
    path = tmp_path / "overlay.yml"
    path.write_text("old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Failure) as caught:
        write_atomically(path, "new")

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    assert "full" in caught.value.message
    assert f"df -h {tmp_path}" in caught.value.next_step


def test_a_second_run_is_refused_with_what_holds_the_lock(tmp_path: Path) -> None:
    """The first one goes on undisturbed."""
    lock = tmp_path / "lock"
    with exclusive(lock, "scripts/lab up"), pytest.raises(Failure) as caught, exclusive(lock, "other"):
        pass

    assert f"'scripts/lab up', process {os.getpid()}" in caught.value.message


def test_the_lock_of_a_killed_run_is_free(tmp_path: Path) -> None:
    """The kernel frees it; no stale file is in the way."""
    lock = tmp_path / "lock"
    program = (
        "import os, signal, sys; from pathlib import Path; from operate.files import exclusive\n"
        f"with exclusive(Path({str(lock)!r}), 'killed'): os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run([sys.executable, "-c", program], env=environment, check=False)

    assert killed.returncode == -9
    with exclusive(lock, "next"):
        assert lock.read_text().endswith("next\n")


def test_a_disk_with_too_little_room_is_refused(tmp_path: Path) -> None:
    """Before anything is touched, and for a directory that doesn't exist yet, too."""
    require_room(tmp_path / "not/yet", 1)

    with pytest.raises(Failure, match=r"is full: \d+ MiB are left") as caught:
        require_room(tmp_path / "not/yet", 2**40)

    assert f"df -h {tmp_path}" in caught.value.next_step
