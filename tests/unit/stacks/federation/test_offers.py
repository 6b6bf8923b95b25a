"""Groups, endpoints, certificates of information systems, and a subsystem at two servers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from federation_rig.comparison import differences
from federation_rig.direct import Direct, declared
from federation_rig.simulation import Simulation
from stacks.federation.arguments import FederationArgs
from stacks.providers.xroad.existing import existing

PORTAL, REGISTRY = "TEST:GOV:DIGITAL:PORTAL", "TEST:GOV:CIVILREG:REGISTRY"
Asked = list[tuple[str, str, str]]


def apply(provider: Direct, args: FederationArgs) -> None:
    resources = declared(args)
    provider.run(lambda: provider.apply(resources))


def writes(asked: Asked) -> list[str]:
    return [
        f"{method} {server} {path.removeprefix('/api/v1')}" for method, server, path in asked if method != "GET"
    ]


def granted(simulation: Simulation, server: str) -> dict[str, set[str]]:
    """Holders by service and endpoint, local groups by their code."""
    found: dict[str, set[str]] = {}
    descriptions = simulation.call(server, "GET", f"/clients/{REGISTRY}/service-descriptions").json()
    for service in (service for item in descriptions for service in item["services"]):
        places = {service["service_code"]: f"/services/{REGISTRY}:{service['service_code']}"}
        for endpoint in service["endpoints"]:
            name = f"{service['service_code']} {endpoint['method']} {endpoint['path']}"
            places[name] = f"/endpoints/{endpoint['id']}"
        for name, path in places.items():
            holders = simulation.call(server, "GET", f"{path}/service-clients").json()
            found[name] = {item.get("local_group_code") or item["id"] for item in holders}
    return found


def test_all_of_it_is_made_kept_changed_and_removed(
    simulation: Simulation, rich: FederationArgs, direct: Callable[..., Direct], asked: Asked
) -> None:
    """The same at both servers; a second apply writes nothing; what leaves the declaration goes."""
    apply(direct(), rich)
    for server in ("ss-portal", "ss-civil"):
        assert granted(simulation, server) == {
            "birth-records": {"clerks"},
            "birth-records GET /births/*": {PORTAL},
            "birth-records POST /births": {"TEST:readers"},
            "deaths": {PORTAL},
        }
    (token,) = simulation.call("ss-portal", "GET", "/tokens").json()
    assert sorted((key["usage"], len(key["certificates"])) for key in token["keys"]) == [
        ("AUTHENTICATION", 1),
        ("SIGNING", 1),
        ("SIGNING", 1),
    ]

    asked.clear()
    apply(direct(), rich)
    assert writes(asked) == []

    provider = direct()
    assert differences(declared(rich), provider.run(lambda: existing(provider.servers))) == []

    asked.clear()
    apply(direct(), changed(rich, simulation.information_system("renewed")))
    certificates = [line for line in writes(asked) if "tls-certificates" in line]
    assert [line.split()[0] for line in certificates] == ["POST", "DELETE"]
    assert granted(simulation, "ss-civil") == {
        "birth-records": set(),
        "birth-records POST /births": {"TEST:readers", PORTAL},
        "deaths": {PORTAL},
    }
    members = simulation.call("ss-civil", "GET", f"/clients/{REGISTRY}/local-groups").json()[0]["members"]
    assert [item["id"] for item in members] == [REGISTRY]

    last = direct()
    resources = declared(changed(rich, simulation.information_system("renewed")))
    last.run(lambda: last.remove(resources))
    assert [item["code"] for item in simulation.call("central", "GET", "/global-groups").json()] == [
        "security-server-owners"
    ]
    assert simulation.call("central", "GET", "/clients").json()["clients"] == []


def changed(args: FederationArgs, certificate: str) -> FederationArgs:
    """Another certificate, an endpoint less, other members, other rights, at both servers."""
    data = args.model_dump(mode="json")
    for server in data["security_servers"]:
        for client in server["clients"]:
            if client["subsystem"] == REGISTRY:
                client["services"][0]["endpoints"] = ["POST /births"]
                client["local_groups"][0] |= {"description": "Other clerks", "members": [REGISTRY]}
            else:
                client["certificates"] = [certificate]
        rights = server["access_rights"]
        server["access_rights"] = [
            {**rights[0], "services": ["birth-records POST /births", "deaths"]},
            *rights[1:2],
        ]
    data["instance"]["global_groups"][0] |= {"description": "Others", "members": [PORTAL]}
    return FederationArgs.model_validate(data)


def test_a_vanished_service_is_told_with_the_next_step(
    simulation: Simulation, declaration: FederationArgs, direct: Callable[..., Direct]
) -> None:
    """Somebody deleted it by hand after the state was written."""
    apply(direct(), declaration)
    (description,) = simulation.call("ss-civil", "GET", f"/clients/{REGISTRY}/service-descriptions").json()
    simulation.call("ss-civil", "DELETE", f"/service-descriptions/{description['id']}")
    rights = [item for item in declared(declaration) if item[1] == f"ss-civil/{REGISTRY}/rights"]
    provider = direct()
    with pytest.raises(Exception, match=r"doesn't offer birth-records, .* next: refresh"):
        provider.run(lambda: provider.apply(rights))
    apply(direct(), declaration)
    assert granted(simulation, "ss-civil") == {"birth-records": {PORTAL}}
