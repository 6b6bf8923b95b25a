"""What exists is told in the form of what was declared, with few requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from federation_rig.comparison import differences
from federation_rig.direct import Direct, declared
from federation_rig.simulation import Simulation
from stacks.federation.arguments import FederationArgs
from stacks.providers.xroad.existing import Existing, existing


def test_what_was_applied_is_found_and_asked_once(
    simulation: Simulation,
    declaration: FederationArgs,
    direct: Callable[[], Direct],
    asked: list[tuple[str, str, str]],
) -> None:
    """Nothing less, nothing more, with GET requests alone; a refresh without changes asks little as well."""
    resources = declared(declaration)
    first = direct()
    first.run(lambda: first.apply(resources))
    asked.clear()
    second = direct()
    found: Existing = second.run(lambda: existing(second.servers))

    assert found.unreachable == {}
    assert {method for method, _, _ in asked} == {"GET"}
    assert max(Counter(asked).values()) == 1
    assert differences(resources, found) == []

    asked.clear()
    third = direct()
    assert None not in third.run(lambda: third.refresh(resources)).values()
    assert {method for method, _, _ in asked} == {"GET"}
    counts = Counter(server for _, server, _ in asked)
    assert counts["central"] <= 20
    assert counts["ss-portal"] <= 22
    assert counts["ss-civil"] <= 12


def test_a_server_that_cannot_be_asked_is_named(
    simulation: Simulation, declaration: FederationArgs, direct: Callable[..., Direct]
) -> None:
    """With the reason; servers that were just installed have nothing."""
    process = simulation.processes["ss-civil"]
    process.kill()
    process.wait(15)
    provider = direct(patience_seconds=0.1)
    found = provider.run(lambda: existing(provider.servers))
    assert dict(found.resources) == {}
    assert list(found.unreachable) == ["ss-civil"]
    assert "ss-civil.example.test:24000 can't be reached" in found.unreachable["ss-civil"]
