"""A subsystem at two security servers: one stops and returns while messages pass, then the other one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from federation_rig.direct import Direct, declared
from federation_rig.simulation import PIN, Simulation, running
from federation_rig.traffic import Traffic, messages, traffic, until
from stacks.federation.arguments import FederationArgs

FIRST, SECOND = "ss-civil", "ss-civil-2"


@pytest.fixture
def simulation(tmp_path: Path) -> Iterator[Simulation]:
    """A central server, the portal's security server, and two of the civil registry."""
    with running(tmp_path, ("central", "ss-portal", FIRST, SECOND)) as simulation:
        yield simulation


@pytest.fixture
def twice(reachable: FederationArgs, simulation: Simulation) -> FederationArgs:
    """What is declared, with the registry at both of its servers."""
    data: dict[str, Any] = reachable.model_dump(mode="json")
    second = {
        **data["security_servers"][1],
        "server": SECOND,
        "identity": "TEST:GOV:CIVILREG:SS-CIVIL-2",
        "address": simulation.addresses[SECOND],
    }
    data["security_servers"].append(second)
    return FederationArgs.model_validate(data)


def stopped(simulation: Simulation, name: str, flowing: Traffic) -> None:
    """End a server at once, as a power cut would, and let some messages pass."""
    before = flowing.passed
    simulation.processes[name].kill()
    simulation.processes[name].wait(15)
    until(lambda: flowing.passed > before + 20)


def returned(simulation: Simulation, name: str, flowing: Traffic) -> None:
    """Start a server again, open its token as autologin does, and wait until it takes messages."""
    simulation.start(name)
    simulation.wait(name)
    simulation.call(name, "PUT", "/tokens/0/login", json={"password": PIN})
    before = flowing.passed
    time.sleep(2)
    until(lambda: flowing.passed > before + 20)


def test_messages_go_on_while_one_of_two_servers_stops_and_returns(
    simulation: Simulation, twice: FederationArgs, direct: Callable[..., Direct]
) -> None:
    """Only the message that is under way at a server that stops may be lost.

    Consumers connect to all servers of a provider and take the first that answers.
    """
    provider, resources = direct(), declared(twice)
    provider.run(lambda: provider.apply(resources))
    flowing = traffic(simulation)
    until(lambda: not flowing.send())

    with messages(flowing):
        until(lambda: flowing.passed > 20)
        stopped(simulation, FIRST, flowing)
        assert len(flowing.lost) <= 1, flowing.lost
        returned(simulation, FIRST, flowing)
        stopped(simulation, SECOND, flowing)
        returned(simulation, SECOND, flowing)

    assert len(flowing.lost) <= 2, flowing.lost
