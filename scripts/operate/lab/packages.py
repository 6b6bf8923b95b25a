"""The Debian packages that the lab machine itself needs."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterable

from operate.failure import Failure
from operate.reporting import Report
from operate.toolchain import HOST_PACKAGES

OWN = (
    "iproute2",
    # Netavark calls it, but its package names no dependency on it.
    "iptables",
    "kmod",
    "netavark",
    "nftables",
    "openssh-client",
    "podman",
    "procps",
    "runc",
    "util-linux",
)
"""What running the lab needs; building it needs more, which the tool chain lists."""


def needed() -> tuple[str, ...]:
    """Every package, each once, in alphabetical order."""
    return tuple(sorted({*OWN, *HOST_PACKAGES}))


TESTS = ("libfaketime", "opensc", "postgresql", "softhsm2")
"""What tests need beside that, which are skipped without them."""


def missing(names: Iterable[str] = ()) -> list[str]:
    """Which of the lab's packages, and of `names`, aren't installed."""
    result = subprocess.run(
        ["dpkg-query", "--show", "--showformat", "${binary:Package} ${db:Status-Status}\n"],
        capture_output=True,
        text=True,
        check=False,
    )
    installed = {
        line.split()[0].partition(":")[0] for line in result.stdout.splitlines() if line.endswith(" installed")
    }
    return [name for name in sorted({*needed(), *names}) if name not in installed]


def install_command(names: Iterable[str]) -> str:
    """What a person would type to install these packages."""
    return shlex.join(_install(names))


def install(names: list[str], report: Report) -> None:
    """Install packages from this machine's own apt sources."""
    with report.working(f"installing {len(names)} packages"):
        result = _apt(_install(names))
        if result.returncode != 0:
            # The lists may be missing or old: fetch them once, then try again.
            _apt(["apt-get", "--quiet=2", "update"])
            result = _apt(_install(names))
    if result.returncode != 0:
        raise Failure(
            "the lab's packages can't be installed: " + ", ".join(names),
            details="\n".join((result.stdout + result.stderr).strip().splitlines()[-12:]),
            next_step=f"apt-get update && {install_command(names)}",
        )
    report.change(f"packages installed: {', '.join(names)}")


def _install(names: Iterable[str]) -> list[str]:
    return ["apt-get", "install", "--yes", "--no-install-recommends", *names]


def _apt(command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
