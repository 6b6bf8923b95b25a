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
from federation_rig.traffic import sector_system, traffic, until
from stacks.federation.arguments import FederationArgs
from stacks.providers.xroad.servers import Servers

PORTAL, REGISTRY = "TEST:GOV:DIGITAL:PORTAL", "TEST:GOV:CIVILREG:REGISTRY"


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


@pytest.fixture
def rich(declaration: FederationArgs, simulation: Simulation) -> FederationArgs:
    """The registry at both servers, with endpoints, groups, and a certificate of the portal."""
    data = declaration.model_dump(mode="json")
    portal, civil = data["security_servers"]
    (client,) = civil["clients"]
    service = client["services"][0]
    service |= {"endpoints": ["GET /births/*", "POST /births"], "timeout_seconds": 7}
    client["services"] = [service, {**service, "code": "deaths", "url": service["url"] + "/x", "endpoints": []}]
    client["services"][1]["description_url"] = service["url"] + "/x"
    client["local_groups"] = [{"code": "clerks", "description": "Clerks", "members": [PORTAL]}]
    rights = [
        (PORTAL, ["birth-records GET /births/*", "deaths"]),
        ("TEST:readers", ["birth-records POST /births"]),
        ("clerks", ["birth-records"]),
    ]
    civil["access_rights"] = [
        {"provider": REGISTRY, "holder": holder, "services": services} for holder, services in rights
    ]
    portal["access_rights"] = civil["access_rights"]
    own = portal["clients"][0]
    own |= {"certificates": [simulation.information_system("portal")], "connection": "HTTPS"}
    portal["clients"] = [own, client]
    portal["signing"] = [{"member": "TEST:GOV:CIVILREG", "name": "Civil Registry"}]
    data["instance"]["global_groups"] = [
        {"code": "readers", "description": "Readers", "members": [PORTAL, REGISTRY]}
    ]
    return FederationArgs.model_validate(data)


@pytest.fixture
def registry() -> Iterator[str]:
    """Address of a sector system that answers everything."""
    with sector_system() as address:
        yield address


@pytest.fixture
def reachable(declaration: FederationArgs, registry: str) -> FederationArgs:
    """What is declared, with a registry that answers and a portal that needs no TLS."""
    portal, civil = declaration.security_servers
    (caller,), (provider,) = portal.clients, civil.clients
    (service,) = provider.services
    portal = portal.model_copy(update={"clients": (caller.model_copy(update={"connection": "HTTP"}),)})
    service = service.model_copy(update={"url": registry, "description_url": registry})
    civil = civil.model_copy(update={"clients": (provider.model_copy(update={"services": (service,)}),)})
    return declaration.model_copy(update={"security_servers": (portal, civil)})


@pytest.fixture
def working(simulation: Simulation, stack: Stack, reachable: FederationArgs) -> FederationArgs:
    """A federation in which messages pass, with what it declares."""
    stack.declare(reachable)
    stack.run("up")
    until(lambda: not traffic(simulation).send())
    return reachable
