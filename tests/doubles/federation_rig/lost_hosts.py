"""Hosts of a simulation that are lost and installed anew, and what the roles do on them about backups.

What role xroad_server runs on a host, its template `xroad-restore.j2`, runs here too, with other paths.
"""

from __future__ import annotations

import ipaddress
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from jinja2 import Environment

from estate.secrets import backup_key
from federation_rig.authority import LocalAuthority
from federation_rig.simulation import DOUBLES, Simulation
from operate.backups.servers import Server
from operate.failure import Failure
from operate.playbooks import HostCounts, PlaybookResult
from xroad_simulator.key_ring import within_reach

_ROLES = DOUBLES.parents[1] / "roles"
_RING = "/etc/xroad/gpghome"


class Hosts:
    """The hosts of a simulation's servers. `play` stands in for playbooks of that name."""

    def __init__(self, simulation: Simulation, identities: Mapping[str, str]) -> None:
        self._simulation = simulation
        self._identities = identities
        self.played: list[tuple[str, tuple[str, ...]]] = []
        self.interrupted = False
        """Whether the next restoration ends when the server has its backup, and knows no API key of ours."""

    def servers(self, version: str = "7.8.0") -> list[Server]:
        """What an estate would say of them."""
        return [
            Server(name, "central" if name == "central" else "security", identity, version, "debian-13")
            for name, identity in self._identities.items()
        ]

    def encrypt(self, name: str) -> None:
        """Set what the roles set about backups."""
        section = "center" if name == "central" else "proxy"
        settings = self._simulation.folder / f"{name}.d"
        (settings / "local.ini").write_text(
            f"[{section}]\nbackup-encryption-enabled = true\n", encoding="utf-8"
        )
        self.stop(name)
        self.start(name)

    def lose(self, name: str) -> None:
        """Another machine takes the host's place: nothing of the former one is left. The roles were applied."""
        self._simulation.processes[name].kill()
        self._simulation.processes[name].wait(15)
        shutil.rmtree(self._state(name))
        shutil.rmtree(self._tls(name))
        file = "center-admin-service" if name == "central" else "proxy-ui-api"
        names: list[x509.GeneralName] = [
            x509.DNSName(f"{name}.example.test"),
            x509.IPAddress(ipaddress.ip_address(self._simulation.addresses[name])),
        ]
        LocalAuthority(self._simulation.folder).issue_tls(self._tls(name), file, names)
        self.start(name)
        self._simulation.enrol(name)

    def start(self, name: str) -> None:
        """Start a server and wait until it answers."""
        self._simulation.start(name)
        self._simulation.wait(name)

    def stop(self, name: str) -> None:
        """Stop a server in good order."""
        self._simulation.processes[name].terminate()
        self._simulation.processes[name].wait(15)

    def play(
        self,
        _workspace: object,
        playbook: str,
        _report: object,
        *,
        hosts: Sequence[str],
        variables: Mapping[str, Any] | None = None,
        **_: object,
    ) -> PlaybookResult:
        """Do what a playbook does on these hosts."""
        self.played.append((playbook, tuple(hosts)))
        for name in hosts:
            if playbook == "keep_backup_keys":
                self._keep_key(name)
            else:
                self._restore(name, (variables or {})["xroad_server_restoration"])
        return PlaybookResult(counts={name: HostCounts(changed=1) for name in hosts})

    def _keep_key(self, name: str) -> None:
        with within_reach(self._ring(name)) as ring:
            exported = self._gpg(ring, "--armor", "--export-secret-keys", f"={self._identities[name]}")
        (self._simulation.folder / "secrets" / backup_key(name)).write_bytes(exported)

    def _restore(self, name: str, restoration: Mapping[str, str]) -> None:
        kind, role = ("central", "central_server") if name == "central" else ("security", "security_server")
        restores = _role_variables(role)["restores"]
        file = self._state(name) / "backup" / restoration["name"]
        file.parent.mkdir(mode=0o700, exist_ok=True)
        shutil.copy(restoration["file"], file)
        self.stop(name)
        with within_reach(self._ring(name)) as ring:
            place = ["--state", str(self._state(name)), "--tls", str(self._tls(name)), "--gpg-home", str(ring)]
            command = [sys.executable, "-m", "xroad_simulator.restore_script", kind, *place]
            program = _rendered(
                xroad_server_identity=self._identities[name],
                xroad_server_software={"restores": restores},
                __xroad_server_backup_file=str(file),
            )
            program = program.replace(f"/usr/share/xroad/scripts/{restores['script']}", shlex.join(command))
            key = (self._simulation.folder / "secrets" / backup_key(name)).read_bytes()
            finished = subprocess.run(
                ["sh", "-c", program.replace(_RING, str(ring))],
                input=key,
                capture_output=True,
                check=False,
                env={**os.environ, "PYTHONPATH": str(DOUBLES)},
            )
        self.start(name)
        if finished.returncode != 0:
            raise Failure("the script failed", details=(finished.stdout + finished.stderr).decode())
        if self.interrupted:
            self.interrupted = False
            raise KeyboardInterrupt
        self._simulation.enrol(name)

    def _state(self, name: str) -> Path:
        return self._simulation.folder / "servers" / name

    def _tls(self, name: str) -> Path:
        return self._simulation.folder / "tls" / name

    def _ring(self, name: str) -> Path:
        return self._state(name) / "gpghome"

    @staticmethod
    def _gpg(ring: Path, *arguments: str) -> bytes:
        command = ["gpg", "--homedir", str(ring), "--batch", "--no-tty", "--quiet", *arguments]
        return subprocess.run(command, capture_output=True, check=True).stdout


def _role_variables(role: str) -> dict[str, Any]:
    text = (_ROLES / role / "vars" / "main.yml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(text)[f"__{role}_shared"]
    return found


def _rendered(**variables: Any) -> str:
    template = (_ROLES / "xroad_server" / "templates" / "xroad-restore.j2").read_text(encoding="utf-8")
    # It is a shell program, and each value is quoted for one.
    environment = Environment(autoescape=False)  # noqa: S701
    environment.filters["quote"] = shlex.quote
    return environment.from_string(template).render(variables)
