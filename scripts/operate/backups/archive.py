"""What a backup is: opened with the key that the secret store keeps, so that nobody has to believe its name.

A backup is an OpenPGP message, signed by the server that made it and encrypted for that server and for the
recipients that the estate names. In it is a tar archive whose first entry, a label, says whose it is
(`make_tarball_label` of X-Road's `_backup_restore_common.sh`). What was opened stays in memory.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

_LABEL = re.compile(r"(?P<kind>central|security)_(?P<generation>XROAD_[0-9.]+)_(?P<identity>.+)")
_TIMEOUT_SECONDS = 120


class ArchiveError(Exception):
    """It can't be opened, isn't whole, isn't signed by that key, or isn't a backup of X-Road."""


@dataclass(frozen=True)
class Archive:
    """What a backup says of itself."""

    kind: str
    """`central` or `security`."""
    generation: str
    """Which backups X-Road takes for compatible, such as `XROAD_7.1`."""
    identity: str
    encrypted: bool


def opened(sealed: bytes, key: str) -> Archive:
    """The archive in a backup that the owner of this OpenPGP secret key (armoured) made."""
    # In a directory of its own with a short path: GnuPG's sockets lie there, and their paths have a limit.
    with tempfile.TemporaryDirectory(prefix="gpg-") as home:
        try:
            _gpg(home, ["--import"], key.encode())
            packed, status = _gpg(home, ["--status-fd", "2", "--decrypt"], sealed)
        finally:
            subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], capture_output=True, check=False)
    said = {
        words[1] for words in map(str.split, status.splitlines()) if words[:1] == ["[GNUPG:]"] and words[1:]
    }
    if "GOODSIG" not in said:
        raise ArchiveError("it isn't signed")
    label = _label(packed)
    return Archive(label["kind"], label["generation"], label["identity"], "DECRYPTION_OKAY" in said)


def _label(packed: bytes) -> re.Match[str]:
    try:
        with tarfile.open(fileobj=io.BytesIO(packed), mode="r:") as tar:
            first = tar.next()
            # To the end: an archive that is cut off is found here, not on a host that was emptied for it.
            tar.getmembers()
    except tarfile.TarError as error:
        raise ArchiveError(f"there is no whole archive in it: {error}") from None
    found = _LABEL.fullmatch("" if first is None else first.name)
    if found is None:
        raise ArchiveError("its archive has no label of X-Road's")
    return found


def _gpg(home: str, arguments: list[str], content: bytes) -> tuple[bytes, str]:
    options = ["--homedir", home, "--batch", "--no-tty", "--quiet", "--no-auto-key-locate"]
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    try:
        finished = subprocess.run(
            ["gpg", *options, *arguments],
            input=content,
            capture_output=True,
            env=environment,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise ArchiveError("gpg isn't installed on this machine") from None
    except subprocess.TimeoutExpired:
        raise ArchiveError(f"gpg didn't end within {_TIMEOUT_SECONDS} s") from None
    said = finished.stderr.decode(errors="replace")
    if finished.returncode != 0:
        reasons = [line.removeprefix("gpg: ") for line in said.splitlines() if line.startswith("gpg: ")]
        raise ArchiveError("; ".join(reasons[-2:]) or f"gpg ended with status {finished.returncode}")
    return finished.stdout, said


def read(path: Path, key: str) -> Archive:
    """The archive in a backup's file; ArchiveError also where it can't be read."""
    try:
        return opened(path.read_bytes(), key)
    except OSError as error:
        raise ArchiveError(f"it can't be read: {error.strerror}") from None
