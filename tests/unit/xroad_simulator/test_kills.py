"""A process that ends at any step of a longer change, as by kill -9: started again, a rerun finishes."""

from __future__ import annotations

import random
from pathlib import Path

import httpx
import pytest
from tests.unit.xroad_simulator import single
from tests.unit.xroad_simulator.conftest import (
    LOCAL_INI,
    PIN,
    REGISTRATION,
    SECURITY,
    SYSTEM,
    Api,
    Server,
    wait_for,
)

FAULT_PORT = 4099


class Mortal(Server):
    """A central server in a process of its own, with the port for tests."""

    @classmethod
    def made(cls, folder: Path) -> Mortal:
        """Not started yet."""
        folder.mkdir(exist_ok=True)
        accounts, configuration = single.accounts(folder), folder / "conf.d"
        configuration.mkdir()
        settings = f"{LOCAL_INI}fault-port = {FAULT_PORT}\n"
        (configuration / "local.ini").write_text(settings)
        address = f"127.{random.randrange(16, 250)}.{random.randrange(250)}.10"  # noqa: S311
        offset = random.randrange(10_000, 40_000)  # noqa: S311
        return cls("central", folder / "state", address, offset, accounts, configuration)

    def die_at(self, step: str) -> None:
        """Let the process end when it comes to a step."""
        fault = [{"kind": "kill", "step": step}]
        answer = httpx.post(f"{self.port(FAULT_PORT)}/faults", json=fault, trust_env=False)
        assert answer.status_code == 204, answer.text

    def died(self) -> bool:
        """Whether the process has ended."""
        return self.process is not None and self.process.poll() is not None


def dies(server: Mortal, api: Api, method: str, path: str, **arguments: object) -> None:
    """Send a request that the server doesn't survive, and start it again."""
    with pytest.raises(httpx.TransportError):
        api.call(method, path, **arguments)
    wait_for(server.died)
    server.start()


def test_initialization_and_restoration_survive_a_kill_at_every_step(tmp_path: Path) -> None:
    server = Mortal.made(tmp_path)
    roles = [SYSTEM, SECURITY, REGISTRATION]
    body = {
        "software_token_pin": PIN,
        "instance_identifier": "TEST",
        "central_server_address": "central.example.test",
    }
    try:
        server.start()
        api = server.api([], roles)
        for step in ("initialization.token", "initialization.gpg"):
            server.die_at(step)
            dies(server, api, "POST", "/initialization", json=body)
        api.ask("POST", "/initialization", json=body)
        status = api.ask("GET", "/initialization/status")
        assert (status["instance_identifier"], status["software_token_init_status"]) == ("TEST", "INITIALIZED")

        api.ask("POST", "/member-classes", json={"code": "GOV", "description": "Government"})
        certificate = "/management-services-configuration/certificate"
        before = api.ask("GET", certificate)["hash"]
        name = api.ask("POST", "/backups")["filename"]
        api.ask("POST", "/member-classes", json={"code": "COM", "description": "Commerce"})
        api.ask("POST", certificate)
        for step in ("restore.opened", "restore.kept", "restore.database", "restore.files"):
            server.die_at(step)
            dies(server, api, "PUT", f"/backups/{name}/restore")
            codes = {item["code"] for item in api.ask("GET", "/member-classes")}
            assert codes == ({"GOV"} if step == "restore.files" else {"GOV", "COM"}), step
            assert api.ask("GET", certificate)["hash"] != before
        api.ask("PUT", f"/backups/{name}/restore")
        assert api.ask("GET", certificate)["hash"] == before
        assert [item["filename"] for item in api.ask("GET", "/backups")] == [name]
    finally:
        server.kill()
