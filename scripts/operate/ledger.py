"""The ledger of runs: JSON lines in which each entry carries the digest of the one before.

Changing, removing or reordering an entry breaks every link after it. Cutting entries off the end
can't be seen from the file alone: keep the last digest elsewhere (`smartgouv ledger show` prints it).
"""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from operate.failure import Failure
from operate.files import disk_full
from operate.locations import ROOT

GENESIS = "0" * 64
"""The digest that the first entry carries, where no entry was before."""


@dataclass(frozen=True)
class Break:
    """A place where the chain doesn't hold."""

    line: int
    reason: str


@dataclass(frozen=True)
class Verification:
    """What reading the whole chain showed."""

    digests: tuple[str, ...]
    """The digest of each entry, oldest first."""
    breaks: tuple[Break, ...]
    torn: bool
    """The last line is a part of an entry: a run was killed while writing. The next entry repairs it."""

    @property
    def entries(self) -> int:
        """How many whole entries there are."""
        return len(self.digests)

    @property
    def head(self) -> str:
        """The digest that the next entry will carry."""
        return self.digests[-1] if self.digests else GENESIS


class Ledger:
    """The ledger in one file. Safe to use from several processes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, entry: dict[str, Any]) -> str:
        """Add an entry with the time and the link; return its digest. On the disk when this returns."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            with os.fdopen(os.dup(descriptor), "rb") as file:
                content = file.read()
            whole = content[: content.rfind(b"\n") + 1]
            torn = content[len(whole) :]
            if torn:
                _keep_torn(self.path, torn)
                os.ftruncate(descriptor, len(whole))
            last = whole.rstrip(b"\n").rpartition(b"\n")[2]
            record = {
                "when": datetime.now(UTC).isoformat(timespec="milliseconds"),
                **entry,
                **({"repaired_bytes": len(torn)} if torn else {}),
                "previous": _digest(last) if last else GENESIS,
            }
            line = _line(record)
            os.lseek(descriptor, len(whole), os.SEEK_SET)
            try:
                _write_all(descriptor, line + b"\n")
                os.fsync(descriptor)
            except OSError as error:
                os.ftruncate(descriptor, len(whole))
                raise disk_full(self.path.parent) from error
            return _digest(line)
        finally:
            os.close(descriptor)

    def entries(self) -> Iterator[dict[str, Any]]:
        """Every whole entry, oldest first. Links aren't checked here: see `verify`."""
        for line in self._whole_lines()[0]:
            try:
                yield json.loads(line)
            except ValueError:
                raise Failure(
                    f"the ledger {self.path} holds a line that isn't JSON",
                    next_step="scripts/smartgouv ledger verify SITE",
                ) from None

    def verify(self) -> Verification:
        """Check every link of the chain."""
        lines, torn = self._whole_lines()
        breaks = []
        digests = []
        previous = GENESIS
        for number, line in enumerate(lines, start=1):
            if reason := _broken(line, previous):
                breaks.append(Break(number, reason))
            previous = _digest(line)
            digests.append(previous)
        return Verification(tuple(digests), tuple(breaks), torn)

    def _whole_lines(self) -> tuple[list[bytes], bool]:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return [], False
        lines = content.split(b"\n")
        return lines[:-1], bool(lines[-1])


def origin() -> dict[str, Any]:
    """Who runs this, where, and from which commit; part of every entry."""
    commit = _git("rev-parse", "HEAD")
    return {
        "who": os.environ.get("SUDO_USER") or getpass.getuser(),
        "machine": socket.gethostname(),
        "commit": commit or "none",
        "dirty": bool(_git("status", "--porcelain")) if commit else True,
    }


def _git(*arguments: str) -> str:
    """Output of git in the project; empty where there is no repository or no git."""
    try:
        result = subprocess.run(
            ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""


def _broken(line: bytes, previous: str) -> str:
    """Why an entry doesn't follow the one with the digest `previous`; empty if it does."""
    try:
        record = json.loads(line)
    except ValueError:
        return "not JSON"
    if not isinstance(record, dict) or record.get("previous") != previous:
        return "doesn't follow the entry before it: one of them was changed, moved or removed"
    return "" if line == _line(record) else "not in the form that this project writes"


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _digest(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _keep_torn(path: Path, torn: bytes) -> None:
    """Keep the cut-off bytes beside the ledger: evidence isn't thrown away."""
    with path.with_suffix(".torn").open("ab") as file:
        file.write(torn + b"\n")
        os.fsync(file.fileno())
