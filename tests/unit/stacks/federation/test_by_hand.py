"""What was done by hand at the servers is found, told, mended or pruned, as an operator's apply does it."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from estate import load
from federation_rig.authority import LocalAuthority
from federation_rig.simulation import Simulation
from federation_rig.stack import Stack, variables
from operate import federation, pulumi_stack
from operate.failure import Failure
from operate.reporting import Report
from operate.run import Outcome, Run
from operate.workspace import Workspace
from stacks.federation.arguments import FederationArgs
from stacks.providers.xroad.servers import Servers
from stacks.providers.xroad.settings import READ_ONLY_VARIABLE, Settings

pytestmark = pytest.mark.engine

PROVIDER = "TEST:GOV:CIVILREG:REGISTRY"
PORTAL = "TEST:GOV:DIGITAL:PORTAL"
MANAGEMENT = "TEST:GOV:DIGITAL:MANAGEMENT"
UNHEARD = {"member_class": "GOV", "member_code": "UNHEARD"}


class Telling(Report):
    """Keeps what people would read."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.warnings: list[str] = []

    def line(self, text: str, style: str = "") -> None:
        self.lines.append(text + style)

    def warning(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture
def run(
    simulation: Simulation,
    stack: Stack,
    declaration: FederationArgs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """An operator's run over the simulation, whose stack has been applied."""

    def engine(operation: str) -> Any:
        def operate(_: Run, name: str, targets: tuple[str, ...] = ()) -> Outcome:
            counts = stack.run(operation, *targets)
            changed = sum(count for kind, count in counts.items() if kind != "same")
            return Outcome(f"{name}: {counts}", changed)

        return operate

    def connect(settings: Settings) -> Servers:
        return Servers(settings, LocalAuthority(simulation.folder))

    def recorded(*_: Any) -> list[Mapping[str, Any]]:
        return list(stack.run("export")["resources"])

    for name, value in variables(simulation).items():
        monkeypatch.setenv(name, value)
    for operation in ("preview", "up", "refresh"):
        monkeypatch.setattr(pulumi_stack, operation, engine(operation))
    monkeypatch.setattr(pulumi_stack, "recorded", recorded)
    monkeypatch.setattr(federation, "arguments", lambda _: declaration)
    monkeypatch.setattr(federation, "Servers", connect)
    stack.declare(declaration)
    stack.run("up")
    return Run(Workspace("lab", tmp_path / "workspace", "lab"), load("lab"), Telling())


def told(run: Run) -> Telling:
    report = run.report
    assert isinstance(report, Telling)
    return report


def give_by_hand(simulation: Simulation) -> None:
    path = f"/clients/{PROVIDER}/service-clients/{MANAGEMENT}/access-rights"
    simulation.call("ss-civil", "POST", path, json={"items": [{"service_code": "birth-records"}]})


def slow_down_by_hand(simulation: Simulation) -> None:
    service = simulation.call("ss-civil", "GET", f"/services/{PROVIDER}:birth-records").json()
    body = {"url": service["url"], "timeout": 5, "ssl_auth": service["ssl_auth"]}
    simulation.call("ss-civil", "PATCH", f"/services/{PROVIDER}:birth-records", json=body)


def join_by_hand(simulation: Simulation) -> None:
    simulation.call("central", "POST", "/members", json={"member_id": UNHEARD, "member_name": "Unheard of"})
    body = {"subsystem_id": {**UNHEARD, "subsystem_code": "SYSTEM"}, "subsystem_name": "System"}
    simulation.call("central", "POST", "/subsystems", json=body)


def holders(simulation: Simulation) -> list[str]:
    path = f"/services/{PROVIDER}:birth-records/service-clients"
    return sorted(item["id"] for item in simulation.call("ss-civil", "GET", path).json())


def members(simulation: Simulation) -> set[str]:
    found = simulation.call("central", "GET", "/clients?client_type=MEMBER&limit=100").json()
    return {item["client_id"]["member_code"] for item in found["clients"]}


def timeout(simulation: Simulation) -> int:
    return int(simulation.call("ss-civil", "GET", f"/services/{PROVIDER}:birth-records").json()["timeout"])


def test_nothing_done_by_hand_is_nothing_to_tell(run: Run, stack: Stack) -> None:
    """As after every apply: no line, no warning, no write."""
    outcome = federation.up(run)

    assert outcome.changed == 0
    assert stack.writes() == []
    assert told(run).lines == []
    assert told(run).warnings == []


def test_what_was_changed_is_mended_and_what_was_added_is_told(run: Run, simulation: Simulation) -> None:
    """Without consent nobody loses anything; with it what nobody declared goes, in the right order."""
    give_by_hand(simulation)
    slow_down_by_hand(simulation)
    join_by_hand(simulation)

    assert federation.preview(run).changed == 1
    assert timeout(simulation) == 5
    (line,) = told(run).lines
    assert line.startswith("mended  changed by hand: ServiceDescription ss-civil/")
    assert "timeout_seconds is 5, applied 60" in line
    assert told(run).warnings == [
        "undeclared: MANAGEMENT of DIGITAL may call birth-records of CIVILREG (REGISTRY)",
        "undeclared: Member TEST:GOV:UNHEARD",
        "undeclared: Subsystem TEST:GOV:UNHEARD:SYSTEM",
    ]

    federation.up(run)
    assert timeout(simulation) == 60
    assert holders(simulation) == [MANAGEMENT, PORTAL]
    assert "UNHEARD" in members(simulation)

    run.allow_prune = True
    told(run).lines.clear()
    outcome = federation.up(run)
    assert told(run).lines == ["access  MANAGEMENT of DIGITAL loses birth-records of CIVILREG (REGISTRY)"]
    assert outcome.text.endswith(", 2 pruned")
    assert holders(simulation) == [PORTAL]
    assert members(simulation) == {"DIGITAL", "CIVILREG"}
    assert federation.up(run).changed == 0


def test_a_change_of_rights_that_takes_a_hand_made_one_needs_consent(
    run: Run, simulation: Simulation, declaration: FederationArgs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider's rights are one resource: what isn't named in it would go without a word."""
    give_by_hand(simulation)
    servers = tuple(item.model_copy(update={"access_rights": ()}) for item in declaration.security_servers)
    fewer = declaration.model_copy(update={"security_servers": servers})
    monkeypatch.setattr(federation, "arguments", lambda _: fewer)

    with pytest.raises(Failure) as caught:
        federation.up(run)
    assert "MANAGEMENT of DIGITAL loses birth-records of CIVILREG (REGISTRY)" in caught.value.details
    assert holders(simulation) == [MANAGEMENT, PORTAL]


def test_a_server_that_cannot_be_asked_is_told(run: Run, simulation: Simulation) -> None:
    """What it was last given counts then, and nothing of it is taken for missing."""
    process = simulation.processes["ss-civil"]
    process.kill()
    process.wait(15)

    found = federation.meaning(run, pulumi_stack.recorded(run, federation.PROGRAM))

    assert found.lines() == []
    (warning,) = told(run).warnings
    assert warning.startswith("what 'ss-civil' holds isn't known")


def test_what_exists_is_taken_over_without_a_write(
    simulation: Simulation, stack: Stack, declaration: FederationArgs
) -> None:
    """A lost state is read from the servers, and the next apply has nothing to do."""
    stack.declare(declaration)
    stack.run("up")
    shutil.rmtree(stack.folder / "state")
    looking = dataclasses.replace(stack, environment={**stack.environment, READ_ONLY_VARIABLE: "1"})

    assert set(looking.run("up")) == {"create"}
    assert looking.writes() == []
    assert set(stack.run("up")) == {"same"}
    assert stack.writes() == []

    servers = tuple(item.model_copy(update={"access_rights": ()}) for item in declaration.security_servers)
    stack.declare(declaration.model_copy(update={"security_servers": servers}))
    with pytest.raises(AssertionError, match="would change something, and this only looks"):
        looking.run("up")
    assert holders(simulation) == [PORTAL]
