"""Writing files so that an interruption leaves the old content or the new, never a part."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from operate.failure import Failure

_ORPHANS_GRACE_SECONDS = 60.0


def write_atomically(path: Path, content: str | bytes, mode: int = 0o644) -> None:
    """Replace `path` by a file with this content and mode, on the disk before the name changes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk_full(path.parent) from error
        raise


def disk_full(directory: Path) -> Failure:
    """The failure to report when a file system has no room left."""
    return Failure(
        f"the disk that holds {directory} is full",
        details="nothing was half-written: the old file, if any, is untouched",
        next_step=f"df -h {directory}   # make room, then run the same command again",
    )


def require_room(directory: Path, mebibytes: int) -> None:
    """Failure unless the file system that holds `directory`, or will, has so much room left."""
    place = directory
    while not place.exists():
        place = place.parent
    left = shutil.disk_usage(place).free // 2**20
    if left < mebibytes:
        raise Failure(
            f"the disk that holds {directory} is full: {left} MiB are left, {mebibytes} are needed",
            details="nothing was touched",
            next_step=f"df -h {place}   # make room, then run the same command again",
        )


def private_directory(path: Path) -> Path:
    """Make `path` a directory that only its owner can enter, and return it."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.chmod(0o700)
    return path


@contextlib.contextmanager
def exclusive(path: Path, purpose: str) -> Iterator[int]:
    """Hold the lock file `path`; yields its descriptor for children that work under the same lock.

    A child that outlives a killed run keeps the lock: it is waited for, up to a minute. Another
    living run makes this one fail at once.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _acquire(descriptor, path)
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} {purpose}\n".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path) -> None:
    deadline = time.monotonic() + _ORPHANS_GRACE_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
            process, _, purpose = holder.partition(" ")
            living = process.isdigit() and Path("/proc", process).exists()
            if living or time.monotonic() > deadline:
                what = f"'{purpose}', process {process}" if living else "what a killed run left"
                raise Failure(
                    f"another run is at work here ({what})",
                    details=f"it holds {path}",
                    next_step=f"fuser --verbose {path}   # wait for it, or stop it, then try again",
                ) from None
            time.sleep(0.5)
        else:
            return
