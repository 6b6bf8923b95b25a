"""Asking hosts over SSH, with the keys and known hosts of their workspace."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping

from operate.failure import Failure
from operate.workspace import Workspace


def command(workspace: Workspace, host: str, *words: str) -> list[str]:
    """The command that runs `words` on a host, or opens a shell there.

    A lab has a client configuration of its own; elsewhere the operator's applies.
    """
    own = ["-F", str(workspace.ssh_configuration)] if workspace.ssh_configuration.exists() else []
    return ["ssh", *own, host, *words]


def output(workspace: Workspace, host: str, *words: str, purpose: str) -> str:
    """Standard output of a command on a host; Failure that begins with `purpose`. Not for secrets."""
    result = subprocess.run(
        command(workspace, host, *words),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise Failure(
            f"{purpose} failed on {host}",
            details=workspace.secrets.redact(result.stderr.strip()[-1000:]),
            next_step=next_step(workspace, host, result.stderr),
        )
    return result.stdout


def next_step(workspace: Workspace, host: str, cause: str) -> str:
    """What to type when a host refused or didn't answer, judged by what SSH said."""
    if workspace.lab is None:
        if "Permission denied" in cause:
            return f"ssh-add -l   # {host} refuses the keys that are offered"
        return f"ssh {host} true   # find out why, then run the same command again"
    up = workspace.lab_command("up")
    if "Permission denied" in cause:
        return f"{up}   # puts the lab's key back on {host}"
    return f"{up}   # starts hosts that are down and goes on from there"


REASONS: Mapping[str, str] = {
    "Permission denied": "the host refuses the SSH key",
    "Host key verification failed": "the host shows another host key than the one that was collected",
    "No route to host": "the host is down",
    "Connection timed out": "the host is down or something drops the connection",
    "Connection refused": "the host runs, but its SSH server doesn't",
}
"""What SSH's words mean for people."""


def reason(cause: str) -> str:
    """What SSH's words mean; empty if they're none of the well-known ones."""
    return next((meaning for words, meaning in REASONS.items() if words in cause), "")
