"""What is in X-Road's OpenAPI definitions, where those can be had.

Every exchange of this folder's tests is held against them as it happens (`conftest.Api`): here is what no
test needs, and what those tests must have seen.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.unit.xroad_simulator import definitions
from tests.unit.xroad_simulator.definitions import Exchange, problems, template_of

if TYPE_CHECKING:
    from tests.unit.xroad_simulator.conftest import Api, Federation

pytestmark = pytest.mark.skipif(definitions.ARE_MISSING, reason=definitions.WHY_MISSING)


def tour_of_center(api: Api) -> None:
    """Reads, changes and refusals of the central server."""
    server = "TEST:GOV:CIVIL:SS1"
    for path in (
        "/initialization/status",
        "/system/status",
        "/system/version",
        "/system/high-availability-cluster/status",
        "/tokens",
        "/member-classes",
        "/configuration-sources/INTERNAL/anchor",
        "/configuration-sources/INTERNAL/download-url",
        "/certification-services",
        "/certification-services/1",
        "/certification-services/1/certificate",
        "/certification-services/1/ocsp-responders",
        "/ocsp-responders/1",
        "/ocsp-responders/1/certificate",
        "/timestamping-services",
        "/timestamping-services/1",
        "/members/TEST:GOV:CIVIL",
        "/members/TEST:GOV:CIVIL/subsystems",
        "/members/TEST:GOV:CIVIL/owned-servers",
        "/members/TEST:GOV:CIVIL/global-groups",
        "/clients?member_code=CIVIL",
        "/security-servers",
        f"/security-servers/{server}",
        f"/security-servers/{server}/clients",
        f"/security-servers/{server}/authentication-certificates",
        "/management-services-configuration",
        "/management-requests?limit=3",
        "/management-requests/1",
        "/global-groups",
    ):
        api.ask("GET", path)
    group = {"code": "all-registries", "description": "Every registry"}
    assert api.call("POST", "/global-groups", json=group).status_code == 201
    api.ask("POST", "/global-groups/all-registries/members/add", json={"items": ["TEST:GOV:CIVIL:REGISTRY"]})
    api.ask("POST", "/global-groups/all-registries/members", json={})
    api.ask("DELETE", "/global-groups/all-registries")
    duplicate = {"code": "GOV", "description": "Again"}
    assert api.refused("POST", "/member-classes", json=duplicate) == (409, "member_class_exists")
    assert api.refused("GET", "/members/TEST:GOV:NOBODY") == (404, "member_not_found")
    assert api.refused("POST", "/members", json={})[0] == 400
    assert api.refused("POST", "/management-requests/1/approval") == (
        409,
        "management_request_invalid_state_for_approval",
    )


def tour_of_server(api: Api) -> None:
    """Reads, changes and refusals of a security server."""
    client = "TEST:GOV:CIVIL:REGISTRY"
    service = f"{client}:birth-records"
    for path in (
        "/initialization/status",
        "/system/version",
        "/system/anchor",
        "/system/node-type",
        "/system/maintenance-mode",
        "/system/server-address",
        "/system/timestamping-services",
        "/timestamping-services",
        "/tokens",
        "/tokens/0",
        "/certificate-authorities",
        "/xroad-instances",
        "/member-classes",
        "/member-names?member_class=GOV&member_code=CIVIL",
        "/security-servers",
        "/security-servers?current_server=true",
        "/clients",
        "/clients?internal_search=false",
        f"/clients/{client}",
        f"/clients/{client}/sign-certificates",
        f"/clients/{client}/tls-certificates",
        f"/clients/{client}/service-descriptions",
        f"/clients/{client}/service-client-candidates",
        f"/clients/{client}/service-clients",
        f"/clients/{client}/local-groups",
        f"/services/{service}",
        f"/services/{service}/service-clients",
        "/diagnostics/globalconf",
        "/diagnostics/ocsp-responders",
        "/diagnostics/timestamping-services",
        "/diagnostics/addon-status",
    ):
        api.ask("GET", path)
    for key in api.ask("GET", "/tokens/0")["keys"]:
        api.ask("GET", f"/keys/{key['id']}")
        for certificate in key["certificates"]:
            hash_ = certificate["certificate_details"]["hash"]
            api.ask("GET", f"/token-certificates/{hash_}")
            api.ask("GET", f"/token-certificates/{hash_}/possible-actions")
    added = api.ask(
        "POST",
        f"/services/{service}/endpoints",
        json={"service_code": "birth-records", "method": "POST", "path": "/"},
    )
    api.ask("GET", f"/endpoints/{added['id']}")
    holders = {"items": [{"id": "TEST:GOV:DIGITAL:MANAGEMENT", "service_client_type": "SUBSYSTEM"}]}
    api.ask("POST", f"/endpoints/{added['id']}/service-clients", json=holders)
    api.ask("GET", f"/endpoints/{added['id']}/service-clients")
    api.ask("POST", f"/endpoints/{added['id']}/service-clients/delete", json=holders)
    api.ask("DELETE", f"/endpoints/{added['id']}")
    group = api.ask("POST", f"/clients/{client}/local-groups", json={"code": "friends", "description": "Some"})
    members = {"items": ["TEST:GOV:DIGITAL:PORTAL"]}
    api.ask("POST", f"/local-groups/{group['id']}/members", json=members)
    api.ask("GET", f"/local-groups/{group['id']}")
    api.ask("POST", f"/local-groups/{group['id']}/members/delete", json=members)
    api.ask("DELETE", f"/local-groups/{group['id']}")
    assert api.refused("POST", "/initialization", json={})[1] == "server_already_fully_initialized"
    assert api.refused("POST", "/system/anchor", content=b"<x/>") == (409, "anchor_already_exists")
    assert api.refused("GET", "/clients/TEST:GOV:CIVIL:NOTHING") == (404, "client_not_found")
    assert api.refused("PUT", f"/clients/{client}/register") == (409, "action_not_possible")
    unknown = {
        "client": {"member_class": "GOV", "member_code": "NOBODY", "subsystem_code": "X"},
        "ignore_warnings": False,
    }
    assert api.refused("POST", "/clients", json=unknown) == (400, "warnings_detected")


def test_every_answer_fits(federation: Federation) -> None:
    tour_of_center(federation.center)
    tour_of_server(federation.apis["civil"])
    assert len({(e.kind, e.method, template_of(e)) for e in federation.exchanges}) >= 80


@pytest.mark.parametrize(("kind", "method", "template", "status"), sorted(definitions.REAL_STATUSES))
def test_statuses_are_x_roads_where_its_definition_errs(
    federation: Federation, kind: str, method: str, template: str, status: int
) -> None:
    anchor = federation.apis["civil"].ask("GET", "/system/anchor/download")
    federation.apis["civil"].ask("POST", "/system/anchor/previews", content=anchor)
    seen = {
        exchange.status
        for exchange in federation.exchanges
        if (exchange.kind, exchange.method, template_of(exchange)) == (kind, method, template)
        and exchange.status < 400
    }
    assert seen == {status}


MEMBER = Exchange(
    "central",
    "POST",
    "/members",
    201,
    "application/json",
    b'{"client_id": {"instance_id": "T", "type": "MEMBER", "member_class": "C", "member_code": "M"}}',
    {"member_id": {"member_class": "C", "member_code": "M"}, "member_name": "Name"},
)


def test_a_faulty_exchange_is_found() -> None:
    """Of request, status, body and path."""
    assert not list(problems(MEMBER))
    assert list(problems(replace(MEMBER, sent={"member_id": {"member_class": "C"}, "member_name": "Name"})))
    assert list(problems(replace(MEMBER, status=200)))
    assert list(problems(replace(MEMBER, body=b'{"client_id": 5}')))
    assert list(problems(replace(MEMBER, method="PUT")))
    with pytest.raises(AssertionError, match="isn't in the definition"):
        list(problems(replace(MEMBER, path="/nothing/here")))
