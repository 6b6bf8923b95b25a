"""A federation of simulators on loopback addresses, and a Pulumi engine to manage it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from federation_rig.authority import LocalAuthority
from federation_rig.direct import Direct
from federation_rig.programs import program
from federation_rig.simulation import OFFSET, Simulation, running
from federation_rig.stack import Stack, prepared, variables
from stacks.federation.arguments import FederationArgs
from stacks.providers.xroad.servers import Servers


@pytest.fixture
def engine() -> Path:
    """The pulumi binary."""
    return program("pulumi")


@pytest.fixture
def simulation(tmp_path: Path) -> Iterator[Simulation]:
    """A central server and two security servers, freshly installed."""
    with running(tmp_path, ("central", "ss-portal", "ss-civil")) as simulation:
        yield simulation


@pytest.fixture
def stack(simulation: Simulation, engine: Path) -> Stack:
    """A stack that has never been applied."""
    return prepared(simulation, engine)


@pytest.fixture
def direct(
    simulation: Simulation, declaration: FederationArgs, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Direct]:
    """Makes providers that order certificates from the simulation's own authority, without an engine."""
    for name, value in variables(simulation).items():
        monkeypatch.setenv(name, value)

    def make(**options: Any) -> Direct:
        return Direct(Servers(declaration.settings, LocalAuthority(simulation.folder), **options))

    return make


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """Method, server and path of each request of this process."""
    seen: list[tuple[str, str, str]] = []
    send = httpx.AsyncClient.send

    async def recorded(self: httpx.AsyncClient, request: httpx.Request, **options: Any) -> httpx.Response:
        seen.append((request.method, request.headers["Host"].partition(".")[0], request.url.raw_path.decode()))
        return await send(self, request, **options)

    monkeypatch.setattr(httpx.AsyncClient, "send", recorded)
    return seen


@pytest.fixture
def declaration(simulation: Simulation) -> FederationArgs:
    """Two members with a server each; the portal may read birth records."""
    central = simulation.addresses["central"]
    servers = {
        name: {
            "endpoint": {"address": address, "name": f"{name}.example.test", "port": 4000 + OFFSET},
            "api_key": f"api-key-{name}",
            "pin": f"pin-{name}",
        }
        for name, address in simulation.addresses.items()
    }
    members = {"DIGITAL": "Digital Agency", "CIVILREG": "Civil Registry"}
    subsystems = {"DIGITAL": ("PORTAL", "MANAGEMENT"), "CIVILREG": ("REGISTRY",)}
    civil = "http://civil-registry.example.test/birth-records"

    def server(name: str, owner: str, **rest: Any) -> dict[str, Any]:
        return {
            "server": name,
            "identity": f"TEST:GOV:{owner}:{name.upper()}",
            "address": simulation.addresses[name],
            "owner": f"TEST:GOV:{owner}",
            "owner_name": members[owner],
            "country": "BJ",
            "timestamping": [simulation.trust.stamps_url],
            **rest,
        }

    return FederationArgs.model_validate(
        {
            "settings": {
                "central": "central",
                "servers": servers,
                "trust_services": {
                    "endpoint": {"address": "127.0.0.1", "name": "unused", "port": 1},
                    "token": "unused",
                },
                "configuration_interval_seconds": 1,
            },
            "instance": {
                "instance": "TEST",
                "server": "central",
                "address": central,
                "member_classes": [{"code": "GOV", "description": "Government bodies"}],
                "members": [
                    {
                        "member": f"TEST:GOV:{code}",
                        "member_class": "GOV",
                        "name": name,
                        "subsystems": [
                            {"subsystem": f"TEST:GOV:{code}:{item}", "name": item.title()}
                            for item in subsystems[code]
                        ],
                    }
                    for code, name in members.items()
                ],
                "management_provider": "TEST:GOV:DIGITAL:MANAGEMENT",
                "certification": {"name": "trust-services", "ocsp_responders": [simulation.trust.url]},
                "timestamping": [{"url": simulation.trust.stamps_url, "host": "timestamp1"}],
            },
            "security_servers": [
                server(
                    "ss-portal",
                    "DIGITAL",
                    clients=[{"subsystem": "TEST:GOV:DIGITAL:PORTAL"}],
                    management={
                        "subsystem": "TEST:GOV:DIGITAL:MANAGEMENT",
                        "wsdl_url": f"http://{central}:{80 + OFFSET}/managementservices.wsdl",
                        "services_url": f"https://{central}:{4002 + OFFSET}/managementservice/manage/",
                        "services": ["authCertDeletion", "clientDeletion", "clientReg"],
                    },
                ),
                server(
                    "ss-civil",
                    "CIVILREG",
                    clients=[
                        {
                            "subsystem": "TEST:GOV:CIVILREG:REGISTRY",
                            "services": [
                                {
                                    "code": "birth-records",
                                    "type": "REST",
                                    "url": civil,
                                    "description_url": civil,
                                }
                            ],
                        }
                    ],
                    access_rights=[
                        {
                            "provider": "TEST:GOV:CIVILREG:REGISTRY",
                            "holder": "TEST:GOV:DIGITAL:PORTAL",
                            "services": ["birth-records"],
                        }
                    ],
                ),
            ],
        }
    )
