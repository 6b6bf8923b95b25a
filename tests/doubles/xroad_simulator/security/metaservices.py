"""Services that every client's server offers about the client's services (PR-MREST): GET, no right needed."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from xroad_simulator.identifiers import ServiceId
from xroad_simulator.security import access_rights
from xroad_simulator.security.message import MessageError, Request, Response
from xroad_simulator.security.records import EndpointRecord, ServiceRecord, ServiceType
from xroad_simulator.security.server import SecurityServer
from xroad_simulator.security.services import RESERVED_CODES

_TIMEOUT_SECONDS = 10
_SIDE = "Server.ServerProxy"
_JSON = (("Content-Type", "application/json"),)
_TYPES = {ServiceType.REST: "REST", ServiceType.OPENAPI3: "OPENAPI"}


def is_metaservice(request: Request) -> bool:
    """Whether a request is one to a metaservice of REST."""
    return request.method == "GET" and request.service.code in RESERVED_CODES - {"getWsdl"}


async def answer(server: SecurityServer, request: Request) -> Response:
    """The answer; MessageError if there is none."""
    code = request.service.code
    if code == "getOpenAPI":
        content, content_type = await _description(server, request)
        return Response.answering(request, 200, "OK", (("Content-Type", content_type),), content)
    services = server.services_of(str(request.service.client))
    told = []
    for service in services:
        kind = _TYPES.get(server.description(service.description).type)
        if kind is None:
            continue
        endpoints = [item for item in server.endpoints_of(service) if not item.is_base]
        if code == "allowedMethods":
            allowed = access_rights.endpoints_of(server, request.client, service)
            if not allowed:
                continue
            endpoints = [item for item in endpoints if _covered(item, allowed)]
        told.append(_details(request.service, service, kind, endpoints))
    return Response.answering(request, 200, "OK", _JSON, json.dumps({"service": told}).encode())


def _covered(endpoint: EndpointRecord, allowed: list[EndpointRecord]) -> bool:
    return any(access_rights.matches(right, endpoint.method, endpoint.path) for right in allowed)


def _details(
    asked: ServiceId, service: ServiceRecord, kind: str, endpoints: list[EndpointRecord]
) -> dict[str, Any]:
    return {
        "member_class": asked.client.member_class,
        "member_code": asked.client.member_code,
        "object_type": "SERVICE",
        "service_code": service.code,
        "service_type": kind,
        "subsystem_code": asked.client.subsystem_code,
        "xroad_instance": asked.client.instance,
        "endpoint_list": [{"method": item.method, "path": item.path} for item in endpoints],
    }


async def _description(server: SecurityServer, request: Request) -> tuple[bytes, str]:
    """The service's OpenAPI description and its type, without the provider's own addresses."""
    named = [value for name, value in _parameters(request) if name.lower() == "servicecode"]
    if not named:
        raise MessageError(f"{_SIDE}.InvalidRequest", "Missing serviceCode in message body")
    wanted = ServiceId(request.service.client, named[-1])
    service = server.store.get(ServiceRecord, f"{wanted.client}|{wanted.code}")
    if service is None:
        raise MessageError(f"{_SIDE}.InternalError", f"Service not found: {wanted}")
    description = server.description(service.description)
    if description.type is not ServiceType.OPENAPI3:
        raise MessageError(f"{_SIDE}.InternalError", f"Invalid service type: {description.type}")
    failed = f"Failed reading service description from {description.url}."
    try:
        # The description is shown to people; X-Road trusts any certificate where it fetched it as well.
        async with httpx.AsyncClient(verify=False, timeout=_TIMEOUT_SECONDS, trust_env=False) as http:  # noqa: S501
            answered = await http.get(description.url)
    except httpx.HTTPError as error:
        raise MessageError(f"{_SIDE}.NetworkError", f"{failed} {error}") from error
    if answered.status_code != 200:
        raise MessageError(f"{_SIDE}.InternalError", f"{failed} Status: {answered.status_code}")
    try:
        document = answered.json()
        for item in document.get("servers", []):
            item["url"] = _without_address(str(item["url"]))
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise MessageError(f"{_SIDE}.InternalError", f"{failed} {error}") from error
    return json.dumps(document).encode(), answered.headers.get("content-type", "application/json")


def _parameters(request: Request) -> list[tuple[str, str]]:
    return [(name, value) for name, values in parse_qs(request.query).items() for value in values]


def _without_address(url: str) -> str:
    """The path alone, unless the address has variables (X-Road's `Openapi3Anonymiser`)."""
    return url if "{" in url and "}" in url else urlsplit(url).path
