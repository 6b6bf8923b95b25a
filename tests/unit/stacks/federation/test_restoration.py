"""A server whose host was lost comes back from its backup, and nothing is ordered or registered anew."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from estate import load
from federation_rig.direct import Direct, declared
from federation_rig.lost_hosts import Hosts
from federation_rig.simulation import Simulation
from federation_rig.stack import Stack, variables
from federation_rig.traffic import traffic, until
from operate import federation
from operate.backups import kept, restoring, taking
from operate.backups.servers import Server
from operate.failure import ExitCode, Failure
from operate.reporting import Report
from operate.run import Run
from operate.workspace import Workspace
from stacks.federation.arguments import FederationArgs

IDENTITIES = {
    "central": "TEST",
    "ss-portal": "TEST/GOV/DIGITAL/SS-PORTAL",
    "ss-civil": "TEST/GOV/CIVILREG/SS-CIVIL",
}


@pytest.fixture
def hosts(simulation: Simulation) -> Hosts:
    """The simulation's hosts, as the roles would have them."""
    return Hosts(simulation, IDENTITIES)


@pytest.fixture
def run(
    simulation: Simulation, hosts: Hosts, declaration: FederationArgs, monkeypatch: pytest.MonkeyPatch
) -> Run:
    """A run of the commands on the simulation: its hosts for SSH, its servers for the estate's."""
    connected = federation.connected
    for module in (taking, restoring):
        monkeypatch.setattr(module, "run_playbook", hosts.play)
    monkeypatch.setattr("operate.pulumi_stack.point_at", lambda _: os.environ.update(variables(simulation)))
    monkeypatch.setattr(federation, "connected", lambda _: connected(declaration))
    # The rig has no autologin: the PIN is entered here.
    monkeypatch.setattr(restoring, "_AUTOLOGIN_SECONDS", 1)
    for name, value in variables(simulation).items():
        monkeypatch.setenv(name, value)
    return Run(
        Workspace("lab", simulation.folder / "workspace", "lab"),
        load("lab"),
        Report(),
        None,
        "the same command",
    )


def server(hosts: Hosts, name: str) -> Server:
    (found,) = (item for item in hosts.servers() if item.host == name)
    return found


def backed_up(run: Run, hosts: Hosts, name: str) -> Path:
    """The file of a new backup."""
    place = kept.folder(run.workspace, None)
    (taken,) = taking.back_up(run, taking.look(run, [server(hosts, name)]), place)
    assert taken.failure == ""
    assert taken.path == kept.latest(place, name)
    assert taken.path.stat().st_mode & 0o777 == 0o600
    return taken.path


def keys(simulation: Simulation, name: str) -> list[tuple[str, ...]]:
    """Keys of a server's token with their certificates, as far as they don't change by themselves."""
    (token,) = simulation.call(name, "GET", "/tokens").json()
    assert token["logged_in"] is True
    held = token["configuration_signing_keys" if name == "central" else "keys"]
    return sorted(
        (key["id"], *(item["certificate_details"]["hash"] for item in key.get("certificates", ())))
        for key in held
    )


def apply(provider: Direct, args: FederationArgs) -> None:
    resources = declared(args)
    provider.run(lambda: provider.apply(resources))


@pytest.mark.engine
@pytest.mark.parametrize("name", ["ss-civil", "central"])
def test_a_lost_server_comes_back_as_it_was(
    simulation: Simulation, stack: Stack, reachable: FederationArgs, run: Run, hosts: Hosts, name: str
) -> None:
    """Messages pass, a plan has nothing to change, and no key or certificate is new."""
    hosts.encrypt(name)
    stack.declare(reachable)
    stack.run("up")
    flowing = traffic(simulation)
    until(lambda: not flowing.send())
    before = keys(simulation, name)
    file = backed_up(run, hosts, name)

    with pytest.raises(Failure, match="isn't empty") as refused:
        restoring.examine(run, server(hosts, name), file, force=False)
    assert refused.value.code is ExitCode.BAD_INPUT

    hosts.lose(name)
    found = restoring.examine(run, server(hosts, name), file, force=False)
    assert (found.holds, found.resumed) == ("", False)
    hosts.interrupted = True
    with pytest.raises(KeyboardInterrupt):
        restoring.restore(run, found)
    # Half-way: the server isn't empty any more, and knows none of the API keys that are known here.
    found = restoring.examine(run, server(hosts, name), file, force=False)
    assert found.resumed
    restoring.restore(run, found)

    assert keys(simulation, name) == before
    until(lambda: not flowing.send())
    assert set(stack.run("up")) == {"same"}
    assert stack.writes() == []
    # Its own backups can be opened by the next one.
    assert backed_up(run, hosts, name) != file
    assert [playbook for playbook, _ in hosts.played] == [
        "keep_backup_keys",
        "restore_server",
        "restore_server",
    ]


def test_what_was_changed_since_the_backup_comes_back_by_an_apply(
    simulation: Simulation,
    direct: Callable[..., Direct],
    declaration: FederationArgs,
    rich: FederationArgs,
    run: Run,
    hosts: Hosts,
    asked: list[tuple[str, str, str]],
) -> None:
    """The backup is older than what is declared: only what is missing is made."""

    def services() -> str:
        path = "/clients/TEST:GOV:CIVILREG:REGISTRY/service-descriptions"
        return simulation.call("ss-civil", "GET", path).text

    hosts.encrypt("ss-civil")
    apply(direct(), declaration)
    before = keys(simulation, "ss-civil")
    file = backed_up(run, hosts, "ss-civil")
    apply(direct(), rich)
    hosts.lose("ss-civil")
    restoring.restore(run, restoring.examine(run, server(hosts, "ss-civil"), file, force=False))
    assert "deaths" not in services()

    asked.clear()
    apply(direct(), rich)
    assert "deaths" in services()
    assert keys(simulation, "ss-civil") == before
    written = {path for method, name, path in asked if method != "GET" and name == "ss-civil"}
    assert not [path for path in written if "csr" in path or "certificate" in path or "register" in path]


def test_what_is_kept_is_encrypted_whole_and_of_a_server_that_works(
    simulation: Simulation, direct: Callable[..., Direct], declaration: FederationArgs, run: Run, hosts: Hosts
) -> None:
    """Also when nobody listens any more while X-Road makes a backup: it is there under a new name."""
    place = kept.folder(run.workspace, None)
    civil = server(hosts, "ss-civil")

    def failure() -> str:
        (taken,) = taking.back_up(run, taking.look(run, [civil]), place)
        return taken.failure

    assert failure() == "it isn't initialised: there is nothing to back up"
    apply(direct(), declaration)
    assert failure() == "it isn't encrypted: apply the stage exchange, which has servers encrypt them"
    assert list(place.glob("*/*")) == []

    faults = json.dumps([{"kind": "cut", "method": "POST", "path": "/backups"}])
    settings = simulation.folder / "ss-civil.d" / "faults.ini"
    settings.write_text(f"[simulator]\nfaults = {faults}\n", encoding="utf-8")
    hosts.encrypt("ss-civil")
    # X-Road's names of backups tell seconds apart: within the same one the new backup takes the former's place.
    time.sleep(1.1)
    file = backed_up(run, hosts, "ss-civil")
    assert sorted(item.name for item in file.parent.iterdir()) == [file.name, f"{file.name}.json"]
    assert len(simulation.call("ss-civil", "GET", "/backups").json()) == 2
