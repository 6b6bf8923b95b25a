"""Members leave and subsystems move: data alone, in the right order, while messages pass."""

from __future__ import annotations

import re
import time

import pytest

from federation_rig.simulation import Simulation
from federation_rig.stack import Stack
from federation_rig.traffic import messages, traffic, until
from stacks.federation.arguments import FederationArgs

pytestmark = pytest.mark.engine

REGISTRY = "TEST:GOV:CIVILREG:REGISTRY"
OF_THE_WINDOW = ("Server.ServerProxy.UnknownMember", "Server.ClientProxy.SslAuthenticationFailed")


def moved(args: FederationArgs) -> FederationArgs:
    """The registry is at the portal's server and no more at its own."""
    data = args.model_dump(mode="json")
    portal, civil = data["security_servers"]
    portal["clients"] += civil["clients"]
    portal["access_rights"] = civil["access_rights"]
    portal["signing"] = [{"member": "TEST:GOV:CIVILREG", "name": "Civil Registry"}]
    civil |= {"clients": [], "access_rights": []}
    return FederationArgs.model_validate(data)


def retired(args: FederationArgs) -> FederationArgs:
    """Without the civil registry, its server and the rights to it."""
    data = args.model_dump(mode="json")
    data["security_servers"] = data["security_servers"][:1]
    data["instance"]["members"] = data["instance"]["members"][:1]
    return FederationArgs.model_validate(data)


def with_help(args: FederationArgs) -> FederationArgs:
    """The portal asks another subsystem of its own member as well."""
    data = args.model_dump(mode="json")
    portal, civil = data["security_servers"]
    help_desk = "TEST:GOV:DIGITAL:HELP"
    data["instance"]["members"][0]["subsystems"].append({"subsystem": help_desk, "name": "Help"})
    service = {**civil["clients"][0]["services"][0], "code": "help"}
    portal["clients"].append({"subsystem": help_desk, "services": [service], "connection": "HTTP"})
    portal["access_rights"] = [
        {"provider": help_desk, "holder": "TEST:GOV:DIGITAL:PORTAL", "services": ["help"]}
    ]
    return FederationArgs.model_validate(data)


def steps(stack: Stack, *wanted: str) -> list[int]:
    """Where in the run the first write was that matches each of the patterns."""
    writes = stack.writes()
    found = [next((n for n, line in enumerate(writes) if re.search(item, line)), -1) for item in wanted]
    assert -1 not in found, (found, writes)
    return found


def test_a_subsystem_moves_while_messages_pass(
    simulation: Simulation, stack: Stack, working: FederationArgs
) -> None:
    """Registered at the new server with all that it offers, before anything is taken from the former."""
    stack.declare(moved(working))
    with messages(traffic(simulation)) as flowing:
        stack.run("up")
        time.sleep(3)

    order = steps(
        stack,
        rf"POST .*/clients/{REGISTRY}/service-descriptions$",
        r"POST .*/service-clients$",
        rf"PUT .*/clients/{REGISTRY}/register$",
        rf"DELETE .*/subsystems/{REGISTRY}/servers/TEST:GOV:CIVILREG:SS-CIVIL$",
        r"POST .*/service-clients/delete$",
        r"DELETE .*/service-descriptions/",
        rf"DELETE .*/clients/{REGISTRY}$",
    )
    assert order == sorted(order)
    # The window that ADR 19 names: one server fetches the configuration without the former registration a
    # moment before the other, or while a message is under way.
    assert len(flowing.lost) <= 3
    assert all(any(fault in item for fault in OF_THE_WINDOW) for item in flowing.lost), flowing.lost
    assert flowing.passed > 3
    clients = {
        name: [item["id"] for item in simulation.call(name, "GET", "/clients?show_members=false").json()]
        for name in ("ss-portal", "ss-civil")
    }
    assert REGISTRY in clients["ss-portal"]
    assert clients["ss-civil"] == []
    assert set(stack.run("up")) == {"same"}
    assert stack.writes() == []


def test_a_member_is_retired_while_others_messages_pass(
    simulation: Simulation, stack: Stack, reachable: FederationArgs
) -> None:
    """One apply removes registration, rights, services, client, server, subsystem and member, in this order."""
    args = with_help(reachable)
    stack.declare(args)
    stack.run("up")
    others = traffic(simulation, "GOV/DIGITAL/HELP/help")
    until(lambda: not others.send())
    stack.declare(retired(args))
    with messages(others) as flowing:
        stack.run("up")

    order = steps(
        stack,
        rf"PUT .*/clients/{REGISTRY}/unregister$",
        r"POST .*/service-clients/delete$",
        r"DELETE .*/service-descriptions/",
        rf"DELETE .*/clients/{REGISTRY}$",
        r"DELETE .*/security-servers/TEST:GOV:CIVILREG:SS-CIVIL$",
        r"DELETE .*/members/TEST:GOV:CIVILREG$",
    )
    assert order == sorted(order)
    (subsystem,) = steps(stack, rf"DELETE .*/subsystems/{REGISTRY}$")
    assert order[3] < subsystem < order[-1]
    assert flowing.lost == []
    assert flowing.passed > 3
    members = simulation.call("central", "GET", "/clients?client_type=MEMBER").json()["clients"]
    assert [item["client_id"]["member_code"] for item in members] == ["DIGITAL"]
    (token,) = simulation.call("ss-civil", "GET", "/tokens").json()
    assert token["keys"] == []
    assert set(stack.run("up")) == {"same"}
