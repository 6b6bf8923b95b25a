"""The key that signs the site's package mirror: made once on this machine, kept in the cache."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from operate.files import private_directory
from operate.toolchain.commands import run
from operate.toolchain.store import building, locked, place

_OWNER = "Site package mirror"


def public_key() -> Path:
    """The file with the public key, in the binary form that apt reads. Makes the key on first use."""
    home = place("mirror-key")
    with locked("mirror-key"):
        if not home.is_dir():
            with building(home) as folder:
                _generate(folder)
    return home / "site.gpg"


def sign(release: Path) -> None:
    """Write `InRelease` beside a `Release` file."""
    public_key()
    home = place("mirror-key", "gnupg")
    with _agent(home):
        run(
            [*_gpg(home), "--clearsign", "--output", str(release.with_name("InRelease")), str(release)],
            purpose="signing the package mirror",
        )


def _generate(folder: Path) -> None:
    folder.chmod(0o700)
    home = private_directory(folder / "gnupg")
    with _agent(home):
        run(
            [*_gpg(home), "--quick-generate-key", _OWNER, "ed25519", "sign", "never"],
            purpose="making the package mirror's key",
        )
        run(
            [*_gpg(home), "--output", str(folder / "site.gpg"), "--export", _OWNER],
            purpose="exporting the package mirror's key",
        )


def _gpg(home: Path) -> list[str]:
    return ["gpg", "--homedir", str(home), "--batch", "--yes", "--quiet", "--passphrase", ""]


@contextlib.contextmanager
def _agent(home: Path) -> Iterator[None]:
    """Gpg starts an agent of its own for a home folder; it isn't left running."""
    try:
        yield
    finally:
        subprocess.run(
            ["gpgconf", "--homedir", os.fspath(home), "--kill", "all"], capture_output=True, check=False
        )
