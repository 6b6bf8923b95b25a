"""Backups of a server's state: signed archives that only the server which made them takes back.

What is in an archive, its label, and the order of a restoration follow X-Road's `_backup_xroad.sh` and
`_restore_xroad.sh`: the state as it is now is kept beside, then all of it is replaced in one transaction.
Steps at which tests may let a restoration fail or the process end: `restore.opened` (the archive is read and
checked), `restore.kept` (the present state is kept), `restore.database` (within the transaction),
`restore.files` (the state is replaced, the TLS files aren't yet).
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from xroad_simulator.clock import now
from xroad_simulator.errors import bad_request, internal_error, not_found, warnings_detected
from xroad_simulator.faults import Faults, StepFailedError
from xroad_simulator.key_ring import KeyRing, KeyRingError
from xroad_simulator.listeners import TlsFiles
from xroad_simulator.store import Store

BACKUP_VERSION = "XROAD_7.1"
"""X-Road raises it when earlier backups can't be restored any more."""

_NAME = re.compile(r"(?!\.)[\w.\-]+\.gpg")
_DUMP = "var/lib/xroad/dbdump.dat"
_TLS = "etc/xroad/ssl"
_LABEL = b"V"
"""Type of the first entry of an archive: a label (GNU tar), which tells whose backup it is."""
_OPENPGP = 0x80
"""The first bit of every OpenPGP file that isn't text."""


class UnsuitableError(Exception):
    """An archive isn't this server's, or isn't one."""


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup on disk."""

    name: str
    created_at: datetime


class Backups:
    """The backups of one server."""

    def __init__(
        self,
        store: Store,
        folder: Path,
        key_ring: KeyRing,
        tls: TlsFiles,
        faults: Faults,
        recipients: Sequence[str] | None,
    ) -> None:
        """`folder` is the server's state directory; `recipients` None for backups that aren't encrypted."""
        self._store = store
        self._folder = folder / "backup"
        self._before = folder / "conf_prerestore_backup.tar"
        self._key_ring = key_ring
        self._tls = tls
        self._faults = faults
        self._recipients = recipients
        for unfinished in self._folder.glob("*.partial"):
            unfinished.unlink()

    def all(self) -> list[Backup]:
        """Every backup, the newest first."""
        found = [path for path in self._folder.glob("*.gpg") if _NAME.fullmatch(path.name)]
        return sorted((_backup(path) for path in found), key=lambda backup: backup.created_at, reverse=True)

    def _path(self, name: str) -> Path:
        path = self._folder / name
        if not _NAME.fullmatch(name) or not path.is_file():
            raise not_found("backup_file_not_found", name)
        return path

    def create(self, label: str, key_name: str) -> Backup:
        """Back up the state as it is now; `key_name` is the server's OpenPGP key."""
        path = self._folder / f"conf_backup_{now():%Y%m%d-%H%M%S}.gpg"
        if path.exists():
            raise internal_error("backup_generation_failed", "there is a backup of this second already")
        try:
            sealed = self._key_ring.seal(self._archive(label), key_name, self._recipients)
        except KeyRingError as error:
            raise internal_error("backup_generation_failed", str(error)) from None
        self._write(path, sealed)
        return _backup(path)

    def _write(self, path: Path, content: bytes) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        _write_private(path.with_name(f"{path.name}.partial"), content).replace(path)

    def _archive(self, label: str) -> bytes:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar:
            marked = tarfile.TarInfo(label)
            marked.type = _LABEL
            tar.addfile(marked)
            contents = {
                _DUMP: self._store.dump(),
                f"{_TLS}/{self._tls.name}.crt": self._tls.certificate(),
                f"{_TLS}/{self._tls.name}.key": self._tls.key(),
            }
            for name, content in contents.items():
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(content), 0o640
                tar.addfile(entry, io.BytesIO(content))
        return packed.getvalue()

    def read(self, name: str) -> bytes:
        """A backup's file."""
        return self._path(name).read_bytes()

    def delete(self, name: str) -> None:
        """Remove a backup."""
        self._path(name).unlink()

    def upload(self, name: str, content: bytes, *, ignore_warnings: bool, checks_content: bool) -> Backup:
        """Keep a backup that was made before. Whether it can be restored is known when that is tried."""
        if not _NAME.fullmatch(name):
            raise bad_request("invalid_filename", name)
        if checks_content and not (content and content[0] & _OPENPGP):
            raise bad_request("invalid_file_content_type", "text/plain", "application/pgp-encrypted")
        path = self._folder / name
        if path.exists() and not ignore_warnings:
            raise warnings_detected(("warning_file_already_exists", [name]))
        self._write(path, content)
        return _backup(path)

    def restore(self, name: str, label: str, forget: Callable[[], None]) -> None:
        """Replace the state by that of a backup; `forget` is called for what the server has in memory.

        500 `restore_process_failed` if the archive isn't whole, isn't signed by this server, or of another one;
        nothing is changed then.
        """
        sealed = self._path(name).read_bytes()
        try:
            self.replace(self._key_ring.open(sealed), label, forget)
        except (KeyRingError, StepFailedError, UnsuitableError) as error:
            raise internal_error("restore_process_failed", str(error)) from None

    def replace(
        self, packed: bytes, label: str, forget: Callable[[], None] = lambda: None, *, any_of_kind: bool = False
    ) -> None:
        """Replace the state by that of an opened archive; UnsuitableError if it has another label.

        With `any_of_kind` only the label's first word counts, which is the kind of server.
        """
        try:
            content = _content(packed, label.partition("_")[0] if any_of_kind else label, exact=not any_of_kind)
            self._faults.step("restore.opened")
            _write_private(self._before, self._archive(label))
            self._faults.step("restore.kept")
            with self._store.transaction():
                self._store.load(content[_DUMP])
                self._faults.step("restore.database")
            forget()
            self._faults.step("restore.files")
            self._tls.replace(content[f"{_TLS}/{self._tls.name}.crt"], content[f"{_TLS}/{self._tls.name}.key"])
        except (tarfile.TarError, KeyError, ValueError) as error:
            raise UnsuitableError(str(error)) from None


def _content(packed: bytes, label: str, *, exact: bool) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:") as tar:
        first = tar.next()
        found = "" if first is None or first.type != _LABEL else first.name
        if found != label and (exact or not found.startswith(label)):
            raise UnsuitableError(f"the archive's label is '{found}', not '{label}'")
        entries = [(entry.name, tar.extractfile(entry)) for entry in tar.getmembers() if entry.isfile()]
        return {name: file.read() for name, file in entries if file is not None}


def _backup(path: Path) -> Backup:
    return Backup(path.name, datetime.fromtimestamp(path.stat().st_mtime, UTC))


def _write_private(path: Path, content: bytes) -> Path:
    """Write a file that nobody else may read: it holds keys."""
    path.touch(mode=0o600)
    path.write_bytes(content)
    return path
