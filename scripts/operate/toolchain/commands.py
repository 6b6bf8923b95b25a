"""Running the programs that do the work, with failures that say what to do."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from operate.failure import Failure
from operate.locations import ROOT, cache_home
from operate.processes import ending_with_parent

CONTAINERS_CONF = ROOT / ".config" / "containers.conf"
"""How podman, buildah and skopeo are to behave, whatever the machine's own settings are."""

_TAIL_LINES = 12


def run(
    command: Sequence[str],
    *,
    purpose: str,
    next_step: str = "",
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
    given: str | None = None,
    with_errors: bool = False,
) -> str:
    """Run `command` and return its standard output; `with_errors` also what it said on the other one.

    `purpose` completes the sentence "… failed" for people. The end of both outputs becomes the failure's
    detail, so nothing secret may be printed by the program. `given` goes to its standard input.
    """
    program = shutil.which(command[0])
    if program is None:
        raise Failure(
            f"{purpose} needs the program {command[0]}, which isn't installed",
            next_step=f"apt-get install --yes {_PACKAGES.get(command[0], command[0])}",
        )
    settings = {**os.environ, "CONTAINERS_CONF": str(CONTAINERS_CONF), "LC_ALL": "C.UTF-8"}
    settings.update(environment or {})
    result = subprocess.run(
        ending_with_parent([program, *command[1:]]),
        input=given,
        stdin=subprocess.DEVNULL if given is None else None,
        capture_output=True,
        text=True,
        errors="replace",
        cwd=directory,
        env=settings,
        check=False,
    )
    if result.returncode != 0:
        raise _failure(command, result, purpose, next_step)
    return result.stdout + result.stderr if with_errors else result.stdout


_PACKAGES = {
    "apt-ftparchive": "apt-utils",
    "dpkg-deb": "dpkg",
    "dpkg-scanpackages": "dpkg-dev",
    "gpg": "gpg",
    "mmdebstrap": "mmdebstrap",
    "podman": "podman runc",
    "skopeo": "skopeo",
}
"""The Debian package of a program whose name differs, or that needs another one beside it."""


def _failure(
    command: Sequence[str], result: subprocess.CompletedProcess[str], purpose: str, next_step: str
) -> Failure:
    lines = [line for line in f"{result.stdout}\n{result.stderr}".splitlines() if line.strip()]
    if os.strerror(errno.ENOSPC) in result.stderr or os.strerror(errno.ENOSPC) in result.stdout:
        return Failure(
            f"{purpose} failed: no room left on the disk",
            details="\n".join(lines[-_TAIL_LINES:]),
            next_step=f"df -h {cache_home()} /var/lib/containers /tmp   # make room, then run it again",
        )
    return Failure(
        f"{purpose} failed: {Path(command[0]).name} ended with status {result.returncode}",
        details="\n".join(lines[-_TAIL_LINES:]),
        next_step=next_step,
    )
