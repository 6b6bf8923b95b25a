"""The tool chain's cache: entries named by the hash of what they are made from.

An entry is built beside its place and renamed into it when it is whole, so a run that is killed leaves
at most a folder that the next run sweeps away. A lock an entry kind keeps two runs from building twice.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from operate.failure import Failure
from operate.files import disk_full
from operate.locations import ROOT, cache_home

SOURCES = ROOT / "scripts" / "toolchain"
"""What the tool chain is made from: modules, node files, package and image descriptions."""

_UNFINISHED = ".unfinished-"


def place(*parts: str) -> Path:
    """A path in the cache; the folder above it exists afterwards."""
    path = cache_home().joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def digest(*parts: str | bytes) -> str:
    """A name for exactly these parts in this order: 16 hexadecimal digits."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        # The length keeps ("ab", "c") and ("a", "bc") apart.
        total.update(f"{len(data)}:".encode())
        total.update(data)
    return total.hexdigest()[:16]


def entry(path: Path) -> str:
    """What a file of a cache entry is called wherever the cache lies. The name tells its content."""
    return str(path.relative_to(cache_home()))


def tree_digest(*roots: Path) -> str:
    """A name for the files below `roots`: paths, contents and whether they can be executed."""
    parts: list[str | bytes] = []
    for root in roots:
        for path in sorted([root] if root.is_file() else root.rglob("*")):
            if "__pycache__" in path.parts:
                continue
            name = path.name if path == root else str(path.relative_to(root))
            if path.is_symlink():
                parts += [name, "link", str(path.readlink())]
            elif path.is_file():
                parts += [name, "program" if os.access(path, os.X_OK) else "file", path.read_bytes()]
    return digest(*parts)


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Be the only run that works on `name`; waits for another one to finish. Freed when a run dies."""
    descriptor = os.open(place("locks", f"{name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def building(final: Path) -> Iterator[Path]:
    """An empty folder that becomes `final` if the block succeeds and vanishes if it doesn't.

    Hold the lock of this kind of entry: what an earlier, killed run left of `final` is removed first.
    """
    for left_over in final.parent.glob(f"{_UNFINISHED}{final.name}*"):
        shutil.rmtree(left_over)
    folder = final.parent / f"{_UNFINISHED}{final.name}"
    try:
        folder.mkdir(parents=True)
        yield folder
        folder.rename(final)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk_full(final.parent) from error
        raise


def require_room(gibibytes: float, purpose: str) -> None:
    """Refuse to begin what the cache's disk has no room for."""
    folder = cache_home()
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free / 2**30
    if free < gibibytes:
        raise Failure(
            f"{purpose} needs {gibibytes:g} GiB and the disk that holds {folder} has {free:.1f} GiB left",
            details="nothing was begun",
            next_step=f"df -h {folder}   # make room, or name another place in XDG_CACHE_HOME",
        )


def point(link: Path, target: Path) -> None:
    """Have the symbolic link `link` name `target`, a path relative to it, in one step."""
    relative = os.path.relpath(target, link.parent)
    if link.is_symlink() and str(link.readlink()) == relative:
        return
    temporary = link.parent / f"{_UNFINISHED}{link.name}"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(relative)
    temporary.replace(link)
