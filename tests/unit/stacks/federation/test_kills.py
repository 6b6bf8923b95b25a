"""An apply that is killed after every single write is finished by the next ones, and nothing is made twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from federation_rig.comparison import differences
from federation_rig.direct import Direct, declared
from federation_rig.simulation import Simulation
from federation_rig.stack import Stack
from stacks.federation.arguments import FederationArgs
from stacks.providers.xroad.existing import existing

pytestmark = [pytest.mark.engine, pytest.mark.long]

SERVERS = ("ss-portal", "ss-civil")


def keys(simulation: Simulation, server: str) -> list[tuple[str, int, int]]:
    """Label, certificates and requests of each key of a server."""
    (token,) = simulation.call(server, "GET", "/tokens").json()
    return sorted(
        (key["label"], len(key["certificates"]), len(key["certificate_signing_requests"]))
        for key in token["keys"]
    )


@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.drill), 5])
def test_an_apply_that_is_killed_again_and_again_is_finished(
    step: int,
    simulation: Simulation,
    stack: Stack,
    rich: FederationArgs,
    direct: Callable[..., Direct],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`kill -9` of engine and provider after every write, or every fifth, until nothing is left to write."""
    stack.declare(rich)
    killed: list[str] = []
    while (request := stack.kill_after(step)) is not None:
        killed.append(request)
        stack.forget_interruption()

    with capsys.disabled():
        print(f"\n{'k':>3}  killed after this request had been answered")
        for number, line in enumerate(killed, 1):
            print(f"{number:>3}  {line}")
    assert len(killed) * step > 50
    provider = direct()
    assert differences(declared(rich), provider.run(lambda: existing(provider.servers))) == []
    assert keys(simulation, "ss-portal") == [
        ("authentication", 1, 0),
        ("signing-GOV-CIVILREG", 1, 0),
        ("signing-GOV-DIGITAL", 1, 0),
    ]
    assert keys(simulation, "ss-civil") == [("authentication", 1, 0), ("signing-GOV-CIVILREG", 1, 0)]
    (token,) = simulation.call("central", "GET", "/tokens").json()
    assert len(token["configuration_signing_keys"]) == 2
    for server, count in (("ss-portal", 3), ("ss-civil", 2)):
        made = f"{simulation.addresses[server]}:24000/api/v1/tokens/0/keys-with-csrs"
        assert stack.requests().count(made) == count
    requests = simulation.call("central", "GET", "/management-requests?limit=100").json()["items"]
    assert {item["status"] for item in requests} == {"APPROVED"}
    assert set(stack.run("up")) == {"same"}
    assert stack.writes() == []
