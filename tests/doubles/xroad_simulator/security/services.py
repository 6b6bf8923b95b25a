"""Reading service descriptions, and the services and endpoints that follow from them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from xroad_simulator import management_protocol
from xroad_simulator.errors import bad_request
from xroad_simulator.security.records import (
    BASE_METHOD,
    BASE_PATH,
    AccessRightRecord,
    DescriptionRecord,
    EndpointRecord,
    ServiceRecord,
)
from xroad_simulator.security.server import SecurityServer

_TIMEOUT_SECONDS = 10
_MAXIMUM_BYTES = 10 * 1024 * 1024
_PARAMETER = re.compile(r"\{[^/]*\}")
"""A parameter of a path is any one part of it (X-Road's `OpenApiParser`)."""

_METHODS = ("get", "post", "put", "delete", "patch", "head", "options", "trace")
RESERVED_CODES = frozenset({"listMethods", "allowedMethods", "getOpenAPI", "getWsdl"})
"""Metaservices: no other service may have these codes."""


@dataclass(frozen=True, slots=True)
class Described:
    """A service as its description has it."""

    code: str
    url: str
    endpoints: tuple[tuple[str, str], ...] = ()
    title: str | None = None


def _fetch(url: str, code: str) -> bytes:
    # X-Road trusts any certificate here: the description is shown to a person before it is used.
    try:
        with httpx.Client(verify=False, timeout=_TIMEOUT_SECONDS, trust_env=False) as http:  # noqa: S501
            response = http.get(url)
    except httpx.HTTPError as error:
        raise bad_request(code, f"{url}: {error}") from None
    if response.status_code != 200 or len(response.content) > _MAXIMUM_BYTES:
        raise bad_request(code, f"{url}: {response.status_code}")
    return response.content


def read_wsdl(url: str) -> list[Described]:
    """The operations of a WSDL; ApiError if it can't be had or read."""
    try:
        operations, address = management_protocol.read_description(_fetch(url, "wsdl_download_failed"))
    except ValueError as error:
        raise bad_request("invalid_wsdl", str(error)) from None
    return [Described(code=operation, url=address) for operation in operations]


def read_openapi(url: str, code: str) -> Described:
    """The service and endpoints of an OpenAPI 3 description in JSON; ApiError if it isn't one."""
    try:
        document = json.loads(_fetch(url, "openapi_file_not_found"))
        version = str(document["openapi"])
        paths = document["paths"]
        endpoints = tuple(
            (method.upper(), _PARAMETER.sub("*", path))
            for path, operations in sorted(paths.items())
            for method in _METHODS
            if method in operations
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise bad_request("openapi_parsing_error", str(error)) from None
    if not version.startswith("3."):
        raise bad_request("unsupported_openapi_version", version)
    return Described(
        code=code,
        url=_base_url(url, document.get("servers")),
        endpoints=endpoints,
        title=str(document.get("info", {}).get("title", "")) or None,
    )


def _base_url(url: str, servers: object) -> str:
    """The description's first server, or the place of the description where it names none."""
    address = urlsplit(url)
    here = f"{address.scheme}://{address.netloc}"
    if isinstance(servers, list) and servers and isinstance(servers[0], dict):
        base = str(servers[0].get("url", ""))
        if base.startswith(("http://", "https://")):
            return base
        return f"{here}{base}".rstrip("/") or here
    return f"{here}{address.path.rpartition('/')[0]}"


def add_service(server: SecurityServer, description: DescriptionRecord, service: Described) -> None:
    """Store a service with its base endpoint and those that its description names."""
    server.store.put(
        ServiceRecord(
            client=description.client,
            code=service.code,
            description=description.id,
            url=service.url,
            timeout_seconds=60,
            verify_tls=service.url.startswith("https://"),
            title=service.title,
        )
    )
    for method, path in ((BASE_METHOD, BASE_PATH), *service.endpoints):
        add_endpoint(server, description.client, service.code, method, path, generated=True)


def add_endpoint(
    server: SecurityServer, client: str, service: str, method: str, path: str, *, generated: bool
) -> EndpointRecord:
    """Store an endpoint."""
    record = EndpointRecord(
        id=server.store.next_number("endpoint"),
        client=client,
        service=service,
        method=method,
        path=path,
        generated=generated,
    )
    server.store.put(record)
    return record


def remove_endpoint(server: SecurityServer, endpoint: EndpointRecord) -> None:
    """Remove an endpoint and the rights to it."""
    for right in server.store.all(AccessRightRecord, f"{endpoint.key}|"):
        server.store.delete(right)
    server.store.delete(endpoint)


def remove_service(server: SecurityServer, service: ServiceRecord) -> None:
    """Remove a service, its endpoints, and the rights to them."""
    for endpoint in server.endpoints_of(service):
        remove_endpoint(server, endpoint)
    server.store.delete(service)


def remove_description(server: SecurityServer, description: DescriptionRecord) -> None:
    """Remove a description and its services."""
    for service in server.services_of(description.client):
        if service.description == description.id:
            remove_service(server, service)
    server.store.delete(description)
