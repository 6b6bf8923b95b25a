"""A lab's SSH key, the keys of its hosts, and the client's configuration."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from estate import Estate
from operate.failure import Failure
from operate.files import private_directory, write_atomically
from operate.workspace import Workspace

ACCOUNT = "deploy"
"""The account of operators on every node."""


def key_file(workspace: Workspace) -> Path:
    """The lab's private key."""
    return workspace.ssh_directory / "id_ed25519"


def known_hosts_file(workspace: Workspace) -> Path:
    """The public keys of the lab's hosts."""
    return workspace.ssh_directory / "known_hosts"


def ensure_key(workspace: Workspace) -> str:
    """Make the lab's key if there is none; return the public half as one line."""
    private_directory(workspace.ssh_directory)
    key = key_file(workspace)
    if not key.exists():
        new = key.with_suffix(".new")
        for path in (new, Path(f"{new}.pub")):
            path.unlink(missing_ok=True)
        _keygen("-q", "-t", "ed25519", "-N", "", "-C", f"smartgouv-{workspace.lab}", "-f", str(new))
        Path(f"{new}.pub").unlink()
        new.replace(key)
    return _keygen("-y", "-f", str(key)).strip()


def write_configuration(workspace: Workspace, estate: Estate, host_keys: Mapping[str, Sequence[str]]) -> None:
    """Write known hosts and configuration, for `ssh` and for Ansible alike.

    `host_keys` has each host's public keys as the host itself showed them, not as the network did.
    """
    lines: list[str] = []
    for host in estate.hosts:
        addresses = [str(address) for address in host.addresses.values()]
        names = ",".join((host.name, estate.fqdn(host), *addresses))
        lines.extend(f"{names} {key}" for key in host_keys[host.name])
    write_atomically(known_hosts_file(workspace), "\n".join(lines) + "\n", mode=0o600)
    write_atomically(workspace.ssh_configuration, _configuration(workspace, estate), mode=0o600)


def _configuration(workspace: Workspace, estate: Estate) -> str:
    blocks = [
        f"Host {host.name} {estate.fqdn(host)} {host.address}\n  HostName {host.address}\n"
        for host in estate.hosts
    ]
    common = (
        "Host *\n"
        f"  User {ACCOUNT}\n"
        f'  IdentityFile "{key_file(workspace)}"\n'
        "  IdentitiesOnly yes\n"
        f'  UserKnownHostsFile "{known_hosts_file(workspace)}"\n'
        "  GlobalKnownHostsFile /dev/null\n"
        "  StrictHostKeyChecking yes\n"
        "  PasswordAuthentication no\n"
        "  ConnectTimeout 10\n"
        "  LogLevel ERROR\n"
    )
    return "".join([*blocks, common])


def _keygen(*arguments: str) -> str:
    try:
        result = subprocess.run(
            ["ssh-keygen", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        raise Failure("ssh-keygen isn't installed", next_step="apt-get install --yes openssh-client") from None
    if result.returncode != 0:
        raise Failure(
            "the lab's SSH key can't be used",
            details=result.stderr.strip(),
            next_step="# move the file away; `scripts/lab up` makes a new key and puts it on every host",
        )
    return result.stdout
