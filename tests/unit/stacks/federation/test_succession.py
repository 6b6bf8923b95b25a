"""The authority is replaced by a successor while messages pass between two security servers."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from federation_rig.simulation import Simulation
from federation_rig.stack import Stack
from federation_rig.traffic import messages, traffic, until
from federation_rig.trust_services import TrustServices, serving
from stacks.federation.arguments import FederationArgs
from stacks.providers.xroad.renewal import RENEW_VARIABLE

pytestmark = pytest.mark.engine

SERVERS = ("ss-portal", "ss-civil")
FORMER, SUCCESSOR = "Test Trust Services CA", "Test Trust Services CA G2"


def succeeded(args: FederationArgs, trust: TrustServices) -> FederationArgs:
    """What an estate declares whose authority has a successor."""
    named = {"name": "trust-services G2", "ocsp_responders": (trust.url,)}
    certification = args.instance.certification.model_copy(update=named)
    return args.model_copy(
        update={"instance": args.instance.model_copy(update={"certification": certification})}
    )


def held(simulation: Simulation, name: str) -> list[tuple[str, str, str, bool]]:
    """Usage, issuer, OCSP status and activity of each certificate of a server; keys without one as well."""
    (token,) = simulation.call(name, "GET", "/tokens").json()
    found = []
    for key in token["keys"]:
        found += [
            (
                key["usage"],
                item["certificate_details"]["issuer_common_name"],
                item["ocsp_status"],
                item["active"],
            )
            for item in key["certificates"]
        ] or [(key["usage"], "no certificate", "", False)]
    return sorted(found)


def approved(simulation: Simulation) -> list[str]:
    return [item["name"] for item in simulation.call("central", "GET", "/certification-services").json()]


def registered(simulation: Simulation) -> list[int]:
    """How many authentication certificates each server has at the central server."""
    paths = [
        f"/security-servers/TEST:GOV:{owner}:{name.upper()}/authentication-certificates"
        for owner, name in (("DIGITAL", "ss-portal"), ("CIVILREG", "ss-civil"))
    ]
    return [len(simulation.call("central", "GET", path).json()) for path in paths]


def require_replaced(simulation: Simulation, issuer: str) -> None:
    """Each server has one certificate for each usage, of this authority, good and in use, and nothing else."""
    for name in SERVERS:
        assert held(simulation, name) == [
            (usage, issuer, "OCSP_RESPONSE_GOOD", True) for usage in ("AUTHENTICATION", "SIGNING")
        ]
    assert approved(simulation) == [issuer]
    assert registered(simulation) == [1, 1]


def test_no_message_is_lost_while_an_authority_is_succeeded(
    simulation: Simulation, stack: Stack, working: FederationArgs
) -> None:
    """Approved beside the former, certificates switched one after the other, the former withdrawn last."""
    with serving(simulation.succeed()) as trust:
        stack.declare(succeeded(working, trust))
        planned = stack.run("preview")
        assert stack.writes() == []
        assert (planned["update"], planned["create"], planned["delete"]) == (2, 1, 1)

        with messages(traffic(simulation)) as flowing:
            stack.run("up")
            time.sleep(3)

        require_replaced(simulation, SUCCESSOR)
        assert flowing.lost == []
        assert flowing.passed > 10
        assert set(stack.run("preview")) == {"same"}
        assert set(stack.run("up")) == {"same"}
        assert stack.writes() == []


def test_a_succession_that_is_killed_again_and_again_is_finished(
    simulation: Simulation, stack: Stack, working: FederationArgs
) -> None:
    """After every second write; no message is lost, nothing is left over, nothing is made twice."""
    with serving(simulation.succeed()) as trust:
        stack.declare(succeeded(working, trust))
        killed = 0
        with messages(traffic(simulation)) as flowing:
            while interrupted(stack):
                killed += 1
                stack.forget_interruption()
        require_replaced(simulation, SUCCESSOR)
        assert killed > 5
        assert flowing.lost == []
        assert set(stack.run("up")) == {"same"}


def interrupted(stack: Stack) -> bool:
    """Run an up that is killed after its second write; False if it ended before."""
    stack.simulation.requests.write_text("", encoding="utf-8")
    process = stack.start("up")
    while process.poll() is None:
        if len(stack.writes()) >= 2:
            stack.kill(process)
            return True
        time.sleep(0.02)
    assert process.returncode == 0, process.communicate()[1]
    return False


def test_a_compromised_authority_is_replaced_without_its_help(
    simulation: Simulation, stack: Stack, working: FederationArgs
) -> None:
    """Nobody answers for its certificates any more: messages pass while the last answers are fresh."""
    simulation.trust.away.add("/")
    with serving(simulation.succeed()) as trust:
        stack.declare(succeeded(working, trust))
        with messages(traffic(simulation)) as flowing:
            stack.run("up")
        require_replaced(simulation, SUCCESSOR)
        assert flowing.lost == []


def test_certificates_that_are_revoked_are_replaced_though_no_message_passes(
    simulation: Simulation, stack: Stack, working: FederationArgs
) -> None:
    """All of them at once: messages return with the successor's, and none is needed on the way."""
    trust = simulation.trust
    for name in SERVERS:
        (token,) = simulation.call(name, "GET", "/tokens").json()
        for key in token["keys"]:
            for item in key["certificates"]:
                trust.revoked[int(item["certificate_details"]["serial"])] = datetime.now(UTC)
    until(lambda: bool(traffic(simulation).send()))
    with serving(simulation.succeed()) as successor:
        stack.declare(succeeded(working, successor))
        stack.run("up")
        require_replaced(simulation, SUCCESSOR)
        until(lambda: not traffic(simulation).send())


def test_a_demanded_renewal_is_of_all_certificates_and_ends(
    simulation: Simulation, stack: Stack, working: FederationArgs
) -> None:
    """By the same authority; a second run with the same demand finds nothing to do."""
    before = [held_serials(simulation, name) for name in SERVERS]
    # This authority lets certificates begin a minute before they are made.
    time.sleep(1)
    demanded = datetime.now(UTC).timestamp() - 60
    stack.environment[RENEW_VARIABLE] = datetime.fromtimestamp(demanded, UTC).isoformat(timespec="seconds")
    with messages(traffic(simulation)) as flowing:
        assert stack.run("up")["update"] == 2
    require_replaced(simulation, FORMER)
    after = [held_serials(simulation, name) for name in SERVERS]
    assert not {*before[0], *before[1]} & {*after[0], *after[1]}
    assert flowing.lost == []
    assert set(stack.run("up")) == {"same"}
    del stack.environment[RENEW_VARIABLE]
    assert set(stack.run("up")) == {"same"}


def held_serials(simulation: Simulation, name: str) -> list[str]:
    (token,) = simulation.call(name, "GET", "/tokens").json()
    return [item["certificate_details"]["serial"] for key in token["keys"] for item in key["certificates"]]
