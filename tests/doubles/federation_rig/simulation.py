"""Simulated servers as processes, each on a loopback address of its own."""

from __future__ import annotations

import ipaddress
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509

from federation_rig.authority import LocalAuthority
from federation_rig.server_process import ServerProcess
from federation_rig.trust_services import TrustServices, serving

DOUBLES = Path(__file__).resolve().parents[1]
OFFSET = 20000
"""Added to every port of the simulators."""
TIME_SCALE = 120
"""Makes the configuration's 60 seconds half a second."""
PIN = "Pin-0123456789"
PASSWORD = "Admin-Password-1"

_CENTRAL_ROLES = ["XROAD_SECURITY_OFFICER", "XROAD_REGISTRATION_OFFICER", "XROAD_SYSTEM_ADMINISTRATOR"]
_SECURITY_ROLES = [*_CENTRAL_ROLES, "XROAD_SERVICE_ADMINISTRATOR"]


@dataclass
class Simulation:
    """Running simulators and what opens them."""

    folder: Path
    addresses: dict[str, str]
    trust: TrustServices
    """What tells certificates' status and stamps times."""
    processes: dict[str, ServerProcess] = field(default_factory=dict)

    @property
    def requests(self) -> Path:
        """One line for each request of the provider."""
        return self.folder / "requests.log"

    @property
    def timestamping(self) -> Path:
        """Where certificates of time-stamping authorities lie."""
        return self.folder / "timestamping"

    def publish_stamp_certificate(self) -> None:
        """Put the time-stamping authority's certificate where the provider looks for it."""
        self.timestamping.mkdir(exist_ok=True)
        (self.timestamping / "timestamp1.crt").write_bytes(self.trust.stamp_pem)

    def information_system(self, name: str) -> str:
        """A new certificate (PEM) of an information system."""
        folder = self.folder / "information-systems"
        LocalAuthority(self.folder).issue_tls(folder, name, [])
        return (folder / f"{name}.crt").read_text(encoding="ascii")

    def succeed(self) -> TrustServices:
        """Let another authority issue from now on. What tells of its certificates must still be served."""
        folder = self.folder / "successor"
        folder.mkdir()
        authority = LocalAuthority(folder, "Test Trust Services CA G2")
        return TrustServices(authority.certificate, authority.key)

    def start(self, name: str) -> None:
        """Start one server. Its settings (`*.ini`) are those of the folder `NAME.d`."""
        state, settings = self.folder / "servers" / name, self.folder / f"{name}.d"
        state.mkdir(parents=True, exist_ok=True)
        settings.mkdir(exist_ok=True)
        arguments = [
            "central" if name == "central" else "security",
            "--state", str(state), "--configuration", str(settings), "--tls", str(self.folder / "tls" / name),
            "--listen", self.addresses[name], "--port-offset", str(OFFSET),
            "--account-file", str(self.folder / "accounts"), "--time-scale", str(TIME_SCALE),
        ]  # fmt: skip
        self.processes[name] = ServerProcess(arguments, self.folder / f"{name}.log")

    def wait(self, name: str) -> None:
        """Wait until its admin API accepts connections."""
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection((self.addresses[name], 4000 + OFFSET), 1).close()
            except OSError:
                log = (self.folder / f"{name}.log").read_text(encoding="utf-8")
                assert self.processes[name].poll() is None, log
                assert time.monotonic() < deadline, log
                time.sleep(0.1)
            else:
                return

    def enrol(self, name: str) -> None:
        """Make an API key on the server and keep it, as the roles do."""
        (self.folder / "secrets" / f"pin-{name}").write_text(PIN, encoding="utf-8")
        answer = httpx.post(
            self.url(name, "/api-keys"),
            json=_CENTRAL_ROLES if name == "central" else _SECURITY_ROLES,
            auth=("admin", PASSWORD),
            verify=False,  # noqa: S501  the provider's requests verify
        )
        answer.raise_for_status()
        (self.folder / "secrets" / f"api-key-{name}").write_text(answer.json()["key"], encoding="utf-8")

    def url(self, name: str, path: str) -> str:
        """Address of an operation of a server's admin API."""
        return f"https://{self.addresses[name]}:{4000 + OFFSET}/api/v1{path}"

    def call(self, name: str, method: str, path: str, **options: Any) -> httpx.Response:
        """Call an admin API by hand, as somebody who doesn't know of the program."""
        key = (self.folder / "secrets" / f"api-key-{name}").read_text(encoding="utf-8")
        headers = {"Authorization": f"X-Road-ApiKey token={key}"}
        # The certificate is of no interest to somebody's hand-made call; a busy machine takes its time.
        how: dict[str, Any] = {"verify": False, "timeout": 30, **options}
        response = httpx.request(method, self.url(name, path), headers=headers, **how)
        response.raise_for_status()
        return response

    def stop(self) -> None:
        """Stop all servers."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait(15)


@contextmanager
def running(folder: Path, names: tuple[str, ...]) -> Iterator[Simulation]:
    """Freshly installed servers: `central` and security servers of the other names."""
    first, second = secrets.randbelow(200) + 20, secrets.randbelow(250) + 1
    addresses = {name: f"127.{first}.{second}.{11 + index}" for index, name in enumerate(names)}
    authority = LocalAuthority(folder)
    trust = TrustServices(authority.certificate, authority.key)
    simulation = Simulation(folder, addresses, trust)
    simulation.publish_stamp_certificate()
    (folder / "accounts").write_text(f"admin:{PASSWORD}\n", encoding="utf-8")
    (folder / "secrets").mkdir()
    try:
        for name, address in addresses.items():
            alternatives: list[x509.GeneralName] = [
                x509.DNSName(f"{name}.example.test"),
                x509.IPAddress(ipaddress.ip_address(address)),
            ]
            file = "center-admin-service" if name == "central" else "proxy-ui-api"
            authority.issue_tls(folder / "tls" / name, file, alternatives)
            simulation.start(name)
        for name in names:
            simulation.wait(name)
            simulation.enrol(name)
        with serving(trust):
            yield simulation
    finally:
        simulation.stop()
