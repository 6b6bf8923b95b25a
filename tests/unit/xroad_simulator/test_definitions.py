"""Every answer of the admin APIs fits X-Road's OpenAPI definitions, where those can be had."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from openapi_schema_validator import OAS30Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

if TYPE_CHECKING:
    from tests.unit.xroad_simulator.conftest import Api, Exchange, Federation

ROOT = Path(__file__).parents[3]
DEFINITIONS = Path(os.environ.get("SMARTGOUV_SHARED", ROOT.parent / "shared"), "xroad-api/src")
FILES = {
    "central": "central-server/openapi-model/src/main/resources/openapi-definition.yaml",
    "security": "security-server/openapi-model/src/main/resources/META-INF/openapi-definition.yaml",
}
REAL_STATUSES = {
    ("central", "POST", "/initialization", 200): 201,
    ("central", "POST", "/configuration-sources/{configuration_type}/signing-keys", 200): 201,
    ("security", "POST", "/tokens/{id}/keys-with-csrs", 200): 201,
    ("security", "PUT", "/token-certificates/{hash}/register", 204): 200,
    ("security", "PUT", "/service-descriptions/{id}/enable", 200): 204,
    ("security", "GET", "/keys/{id}/csrs/{csr_id}", 200): 201,
}
"""Where X-Road itself answers another status than its definition says: ours → the definition's."""

UNDOCUMENTED_STATUSES = {("security", "PUT", "/clients/{id}/register", 409)}
"""Refusals of X-Road (`action_not_possible`) that its definition doesn't list."""

pytestmark = pytest.mark.skipif(
    not DEFINITIONS.is_dir(),
    reason="X-Road's OpenAPI definitions aren't there (SMARTGOUV_SHARED names their directory)",
)


@cache
def definition(kind: str) -> dict[str, Any]:
    """A definition as it is."""
    loaded: dict[str, Any] = yaml.load(
        (DEFINITIONS / FILES[kind]).read_text(encoding="utf-8"), Loader=yaml.CSafeLoader
    )
    return loaded


def _repaired(schema: Any) -> Any:
    """Without two faults of the definitions that would refuse X-Road's own answers.

    Objects require properties that they don't have (`PagedClients.items`, `Token.keys`), and
    discriminators name schemas in a form that isn't a reference.
    """
    if isinstance(schema, list):
        return [_repaired(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    repaired = {key: _repaired(value) for key, value in schema.items() if key != "discriminator"}
    properties = repaired.get("properties")
    if isinstance(properties, dict) and "allOf" not in repaired and "required" in repaired:
        repaired["required"] = [name for name in repaired["required"] if name in properties]
    return repaired


@cache  # a registry forgets what it retrieves, and reading a definition takes seconds
def _retrieve(uri: str) -> Resource[Any]:
    contents = yaml.load(Path(uri.removeprefix("file://")).read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return Resource(contents=_repaired(contents), specification=DRAFT4)


REGISTRY: Registry[Any] = Registry(retrieve=_retrieve)  # type: ignore[call-arg]


def template_of(exchange: Exchange) -> str:
    """The path of the definition that a call took; the one with most fixed parts."""
    found = []
    for template in definition(exchange.kind)["paths"]:
        pattern = re.sub(r"\{[^}]+\}", "[^/]+", template)
        if re.fullmatch(pattern, exchange.path):
            found.append((template.count("{"), template))
    assert found, f"{exchange.method} {exchange.path} isn't in the definition"
    return min(found)[1]


def problems(exchange: Exchange) -> Iterator[str]:
    """Where an answer differs from its definition."""
    template = template_of(exchange)
    operation = definition(exchange.kind)["paths"][template][exchange.method.lower()]
    status = REAL_STATUSES.get((exchange.kind, exchange.method, template, exchange.status), exchange.status)
    place = f"{exchange.kind} {exchange.method} {template} {exchange.status}"
    if (exchange.kind, exchange.method, template, status) in UNDOCUMENTED_STATUSES:
        return
    if str(status) not in operation["responses"]:
        yield f"{place}: the definition has {sorted(operation['responses'])}"
        return
    content = operation["responses"][str(status)].get("content", {})
    if not exchange.body or not exchange.content_type.startswith("application/json"):
        return
    body = json.loads(exchange.body)
    path = DEFINITIONS / FILES[exchange.kind]
    if exchange.status >= 400:
        pointer = "#/components/schemas/ErrorInfo"
    elif "application/json" in content:
        pointer = (
            f"#/paths/{template.replace('/', '~1').replace('{', '%7B').replace('}', '%7D')}"
            f"/{exchange.method.lower()}/responses/{status}/content/application~1json/schema"
        )
    else:
        yield f"{place}: the definition has no body"
        return
    validator = OAS30Validator(
        {"$ref": f"file://{path}{pointer}"},
        registry=REGISTRY,
        format_checker=OAS30Validator.FORMAT_CHECKER,
    )
    for error in validator.iter_errors(body):
        if list(error.absolute_path) == ["security_server_id"] and error.instance == "":
            continue  # X-Road's own answer while no server has the management services
        deepest = min(error.context, key=lambda e: -len(e.path)) if error.context else error
        yield f"{place}: {'/'.join(map(str, deepest.absolute_path))}: {deepest.message[:200]}"


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
    different = {(e.kind, e.method, e.path, e.status, e.body): e for e in federation.exchanges}
    found = {problem for exchange in different.values() for problem in problems(exchange)}
    assert not found, "\n".join(sorted(found))
    assert len({(e.kind, e.method, template_of(e)) for e in federation.exchanges}) >= 80
