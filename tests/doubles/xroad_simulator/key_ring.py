"""The server's OpenPGP key: backups are signed with it, and on demand encrypted (`/etc/xroad/gpghome`).

GnuPG does the work, as in X-Road. The key is on an elliptic curve, where X-Road makes one of RSA 4096: that
takes a second and more, and nothing but the server itself reads what is made with it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_TIMEOUT_SECONDS = 60


class KeyRingError(Exception):
    """GnuPG couldn't do what it was asked for, or isn't there."""


class KeyRing:
    """The keys of one server. Safe to use from several threads."""

    def __init__(self, folder: Path) -> None:
        """`folder` holds GnuPG's files and is made with the first key."""
        self._folder = folder
        self._lock = threading.Lock()

    def generate(self, name: str) -> None:
        """Make the server's key, unless there is one of this name already."""
        try:
            self._run("--list-secret-keys", f"={name}")
        except KeyRingError:
            self._run("--passphrase", "", "--quick-generate-key", name, "future-default", "default", "never")

    def seal(self, content: bytes, name: str, recipients: Sequence[str] | None) -> bytes:
        """Sign with the key of this name; encrypt for the server and the recipients unless they are None."""
        arguments = ["--local-user", f"={name}", "--digest-algo", "SHA256", "--sign"]
        if recipients is not None:
            # X-Road's options: a recipient that the ring doesn't trust fails the backup.
            arguments += ["--encrypt", "--trust-model", "direct", "--no-auto-key-locate"]
            arguments += ["--cipher-algo", "AES256"]
            for recipient in (f"={name}", *recipients):
                arguments += ["--recipient", recipient]
        return self._run(*arguments, content=content)[0]

    def open(self, sealed: bytes, *, verified: bool = True) -> bytes:
        """The content; KeyRingError unless it is whole and, if `verified`, a key of this ring signed it."""
        content, status = self._run("--decrypt", *(() if verified else ("--skip-verify",)), content=sealed)
        if verified and not any(line.startswith("[GNUPG:] GOODSIG ") for line in status.splitlines()):
            raise KeyRingError("no good signature")
        return content

    def _run(self, *arguments: str, content: bytes = b"") -> tuple[bytes, str]:
        program = shutil.which("gpg")
        if program is None:
            raise KeyRingError("gpg isn't installed")
        with self._lock, within_reach(self._folder) as home:
            environment = {**os.environ, "LC_ALL": "C.UTF-8", "GNUPGHOME": str(home)}
            try:
                finished = subprocess.run(
                    [
                        program,
                        "--batch",
                        "--no-tty",
                        "--quiet",
                        "--status-fd",
                        "2",
                        "--output",
                        "-",
                        *arguments,
                    ],
                    input=content,
                    capture_output=True,
                    env=environment,
                    timeout=_TIMEOUT_SECONDS,
                    check=False,
                )
            except subprocess.TimeoutExpired as error:
                raise KeyRingError("gpg didn't end in time") from error
        status = finished.stderr.decode(errors="replace")
        if finished.returncode != 0:
            raise KeyRingError(status.strip().rpartition("\n")[2])
        return finished.stdout, status


@contextmanager
def within_reach(folder: Path) -> Iterator[Path]:
    """A key ring's folder under a short path, made if it is missing. GnuPG's agent ends with the block.

    The agent's sockets lie in the folder, and their paths may have 107 characters.
    """
    with tempfile.TemporaryDirectory(prefix="gpg-") as short:
        home = Path(short, "home")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        home.symlink_to(folder.resolve())
        try:
            yield home
        finally:
            # It would outlive the server.
            program = shutil.which("gpgconf")
            if program is not None:
                command = [program, "--homedir", str(home), "--kill", "all"]
                subprocess.run(command, capture_output=True, check=False)
