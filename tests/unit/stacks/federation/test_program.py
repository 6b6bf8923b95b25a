"""What the program declares, recorded by mocks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pulumi
import pytest
from pulumi.runtime.mocks import MockCallArgs, MockResourceArgs, Mocks

from estate.load import load
from estate.model import Estate
from stacks.federation import arguments, program

Recorded = dict[tuple[str, str], dict[str, Any]]


class Recorder(Mocks):
    """Remembers each resource's inputs by kind and name."""

    def __init__(self) -> None:
        self.resources: Recorded = {}

    def new_resource(self, args: MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.resources[args.typ.rpartition(":")[2], args.name] = args.inputs
        return args.name, args.inputs

    def call(self, args: MockCallArgs) -> dict[str, Any]:
        raise AssertionError(f"the program calls {args.token}")


@pytest.fixture
def declared() -> Callable[[Estate], Recorded]:
    """Runs the program of an estate and returns what it declared."""

    def run(estate: Estate) -> Recorded:
        asyncio.set_event_loop(asyncio.new_event_loop())
        recorder = Recorder()
        pulumi.runtime.set_mocks(recorder, preview=False)
        pulumi.runtime.test(lambda: program(estate))()
        return recorder.resources

    return run


@pytest.fixture(scope="module")
def lab() -> Estate:
    """The lab's estate."""
    return load("lab")


def kinds(resources: Recorded) -> dict[str, int]:
    counts: dict[str, int] = {}
    for kind, _ in resources:
        counts[kind] = counts.get(kind, 0) + 1
    return counts


_COUNTED = (
    "MemberClass",
    "Member",
    "Subsystem",
    "Client",
    "ServiceDescription",
    "AccessRights",
    "ClientRegistration",
)


def test_the_whole_lab_is_declared(lab: Estate, declared: Callable[[Estate], Recorded]) -> None:
    """Nine members, eleven subsystems, nine servers, eight services, eight rights and those of management."""
    found = kinds(declared(lab))

    assert {kind: found[kind] for kind in _COUNTED} == {
        "MemberClass": 1,
        "Member": 9,
        "Subsystem": 11,
        "Client": 11,
        "ServiceDescription": 9,
        "AccessRights": 9,
        "ClientRegistration": 11,
    }
    assert found["CentralServer"] == found["CertificationService"] == found["ManagementProvider"] == 1


def test_the_portal_may_read_pay_statements(lab: Estate, declared: Callable[[Estate], Recorded]) -> None:
    """The right lies at the provider's server and names exactly the declared service."""
    name = "ss-payroll/BJ-LAB:GOV:PAYROLL:REGISTRY/rights"

    assert declared(lab)["AccessRights", name] == {
        "server": "ss-payroll",
        "provider": "BJ-LAB:GOV:PAYROLL:REGISTRY",
        "rights": {"BJ-LAB:GOV:DIGITAL:PORTAL": ["pay-statements"]},
    }


def test_a_service_is_registered_under_its_address(lab: Estate, declared: Callable[[Estate], Recorded]) -> None:
    """The address is the load balancer's name for the sector, with the collection."""
    service = declared(lab)[
        "ServiceDescription", "ss-civil-registry/BJ-LAB:GOV:CIVILREG:REGISTRY/birth-records"
    ]

    assert (service["type"], service["code"], service["url"]) == (
        "REST",
        "birth-records",
        "https://civil-registry.services.lab.smartgouv.test/birth-records",
    )


def test_no_secret_is_declared(
    lab: Estate, declared: Callable[[Estate], Recorded], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Secrets are named. The program runs without any being there."""
    monkeypatch.delenv("SMARTGOUV_SECRETS", raising=False)
    text = json.dumps({"/".join(key): value for key, value in declared(lab).items()})

    assert "xroad-pin-central1" in text
    assert "password" not in text.lower()


def test_the_same_estate_declares_the_same(lab: Estate, declared: Callable[[Estate], Recorded]) -> None:
    """Nothing of the clock or of chance gets into a declaration."""
    assert declared(lab) == declared(lab)


@pytest.mark.parametrize("site", ["staging", "production"])
def test_other_sites_have_valid_arguments(site: str) -> None:
    """The projection fits every site of the repository."""
    args = arguments(load(site))

    assert len(args.security_servers) == len(load(site).federation.security_servers)
    assert [item.server for item in args.security_servers if item.management] == [
        load(site).federation.management.security_server
    ]


def test_status_and_time_stamps_are_the_estates(declared: Callable[[Estate], Recorded], lab: Estate) -> None:
    """A responder, known by its address alone; each time-stamping host, which all security servers use."""
    resources = declared(lab)

    (certification,) = (inputs for (kind, _), inputs in resources.items() if kind == "CertificationService")
    assert certification["ocsp_responders"] == ["http://status.lab.smartgouv.test/"]
    stamps = [f"http://timestamp{number}.lab.smartgouv.test:8899/" for number in (1, 2)]
    found = {
        inputs["url"]: (inputs["host"], inputs["certificate"])
        for (kind, _), inputs in resources.items()
        if kind == "TimestampingService"
    }
    assert found == {stamps[0]: ("timestamp1", ""), stamps[1]: ("timestamp2", "")}
    servers = [inputs["timestamping"] for (kind, _), inputs in resources.items() if kind == "SecurityServer"]
    assert servers
    assert all(used == stamps for used in servers)
