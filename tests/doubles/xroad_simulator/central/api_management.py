"""Admin API of the central server: management services and management requests."""

import base64
import binascii
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from xroad_simulator.authentication import Principal, allow
from xroad_simulator.central import management_requests, request_handlers, views
from xroad_simulator.central.permissions import Permission
from xroad_simulator.central.records import (
    OWNERS_GROUP,
    ManagementSettings,
    RequestOrigin,
    RequestRecord,
    RequestStatus,
    RequestType,
    ServerRecord,
)
from xroad_simulator.central.server import Central, CentralServer
from xroad_simulator.certificates import (
    CertificateError,
    decode,
    details,
    encode,
    is_authentication,
    parse_certificate,
)
from xroad_simulator.errors import bad_request, conflict
from xroad_simulator.identifiers import ClientId, ServerId
from xroad_simulator.paging import Page

_APPROVE = {
    RequestType.AUTH_CERT_REGISTRATION: Permission.APPROVE_AUTH_CERT_REGISTRATION_REQUEST,
    RequestType.CLIENT_REGISTRATION: Permission.APPROVE_CLIENT_REGISTRATION_REQUEST,
    RequestType.OWNER_CHANGE: Permission.APPROVE_OWNER_CHANGE_REQUEST,
}
_REVOKE = {
    RequestType.AUTH_CERT_REGISTRATION: Permission.REVOKE_AUTH_CERT_REGISTRATION_REQUEST,
    RequestType.CLIENT_REGISTRATION: Permission.REVOKE_CLIENT_REGISTRATION_REQUEST,
    RequestType.OWNER_CHANGE: Permission.REVOKE_OWNER_CHANGE_REQUEST,
}
Caller = Annotated[Principal, allow()]
"""Any caller: which permission it takes depends on the request."""

routes = APIRouter()


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ServiceProviderId(_Body):
    """Body that names the provider of the management services."""

    service_provider_id: str


class RegisterServiceProviderRequest(_Body):
    """Body that names the server of the management services."""

    security_server_id: str


class NewManagementRequest(_Body):
    """Body of a management request made at the center, of any type."""

    type: RequestType
    origin: RequestOrigin
    security_server_id: str
    server_address: str | None = None
    authentication_certificate: str | None = None
    client_id: str | None = None
    subsystem_name: str | None = None
    message: str | None = Field(default=None, max_length=255)


def _configuration(server: CentralServer) -> dict[str, Any]:
    """Identifiers carry their type here and nowhere else; no server is an empty text."""
    management = server.management
    view: dict[str, Any] = {
        "security_server_owners_global_group_code": OWNERS_GROUP,
        "services_address": server.url("https", 4002, "/managementservice/manage/"),
        "wsdl_address": server.url("http", 80, "/managementservices.wsdl"),
        "security_server_id": "",
        "service_provider_name": "",
    }
    if management.provider is not None:
        provider = ClientId.parse(management.provider)
        member = server.find_member(provider)
        hosts = sorted(
            f"SERVER:{host.identifier(server.instance)}"
            for host in server.store.all(ServerRecord)
            if provider in server.clients_of(host)
        )
        view["service_provider_id"] = f"SUBSYSTEM:{provider}"
        view["service_provider_name"] = "" if member is None else member.name
        view["security_server_id"] = "; ".join(hosts)
    return view


@routes.get("/management-services-configuration", dependencies=[allow(Permission.VIEW_SYSTEM_SETTINGS)])
def get_configuration(server: Central) -> dict[str, Any]:
    """Who offers the management services, and their addresses."""
    return _configuration(server)


@routes.patch("/management-services-configuration", dependencies=[allow(Permission.VIEW_SYSTEM_SETTINGS)])
def change_configuration(server: Central, body: ServiceProviderId) -> dict[str, Any]:
    """Name the subsystem that offers the management services."""
    try:
        provider = ClientId.parse(body.service_provider_id)
    except ValueError:
        raise bad_request("invalid_service_provider_id", body.service_provider_id) from None
    if provider.subsystem_code is None:
        raise bad_request("invalid_service_provider_id", body.service_provider_id)
    with server.store.transaction():
        server.subsystem(str(provider))
        server.store.put(ManagementSettings(provider=str(provider)))
    return _configuration(server)


@routes.post(
    "/management-services-configuration/register-provider",
    dependencies=[allow(Permission.REGISTER_SERVICE_PROVIDER)],
)
def register_provider(server: Central, body: RegisterServiceProviderRequest) -> dict[str, Any]:
    """Register the provider to a server without that server's request. Once only."""
    with server.store.transaction():
        management = server.management
        if management.provider is None:
            raise bad_request("management_service_provider_not_set")
        target = server.server(body.security_server_id)
        provider = ClientId.parse(management.provider)
        if provider in server.clients_of(target):
            raise conflict(
                "subsystem_already_registered_to_security_server",
                str(provider),
                body.security_server_id,
            )
        request_handlers.register_client(server, provider, target)
    return _configuration(server)


@routes.get("/management-requests", dependencies=[allow(Permission.VIEW_MANAGEMENT_REQUESTS)])
def list_requests(
    server: Central,
    page: Page,
    query: str | None = None,
    origin: RequestOrigin | None = None,
    types: Annotated[list[str] | None, Query()] = None,
    status: RequestStatus | None = None,
    server_id: str | None = None,
) -> dict[str, Any]:
    """Requests that match every given filter."""
    wanted = {name for item in types or () for name in item.split(",")}
    found = [
        record
        for record in server.store.all(RequestRecord)
        if (origin is None or record.origin is origin)
        and (status is None or record.status is status)
        and (not wanted or record.type.value in wanted)
        and (server_id is None or record.server == server_id)
        and (not query or query.lower() in f"{record.server} {record.client}".lower())
    ]
    cut, metadata = page.cut(
        found,
        {
            "id": lambda record: record.id,
            "created_at": lambda record: record.created_at,
            "type": lambda record: record.type.value,
            "status": lambda record: record.status.value,
            "security_server_owner": lambda record: record.server,
            "security_server_id": lambda record: record.server,
        },
    )
    items = [views.request_in_list(server, record) for record in cut]
    return {"items": items, "paging_metadata": metadata}


def _about(body: NewManagementRequest) -> dict[str, str]:
    about: dict[str, str] = {}
    if body.client_id is not None:
        about["client"] = str(ClientId.parse(body.client_id))
    if body.server_address is not None:
        about["address"] = body.server_address
    if body.subsystem_name is not None:
        about["subsystem_name"] = body.subsystem_name
    if body.message is not None:
        about["comments"] = body.message
    if body.authentication_certificate is not None:
        raw = base64.b64decode(body.authentication_certificate, validate=True)
        certificate = parse_certificate(raw)
        if not is_authentication(certificate):
            raise CertificateError("not an authentication certificate")
        about["certificate"] = encode(certificate)
    return about


@routes.post("/management-requests")
def add_request(
    server: Central, body: NewManagementRequest, response: Response, caller: Caller
) -> dict[str, Any]:
    """A request made at the center: 202 if it waits for the other half, else 201."""
    server.gate.require(caller, Permission[f"ADD_{body.type.value}"])
    impersonates = server.gate.may(caller, Permission.IMPERSONATE_SECURITY_SERVER)
    if impersonates is not (body.origin is RequestOrigin.SECURITY_SERVER):
        raise HTTPException(HTTPStatus.FORBIDDEN)
    try:
        target = str(ServerId.parse(body.security_server_id))
        about = _about(body)
    except (CertificateError, binascii.Error):
        raise bad_request("management_request_invalid_auth_certificate") from None
    except ValueError:
        raise bad_request("invalid_encoded_id") from None
    record = management_requests.submit(server, body.type, body.origin, target, **about)
    response.status_code = 202 if record.status is RequestStatus.WAITING else 201
    return views.request(server, record)


@routes.get("/management-requests/{number}", dependencies=[allow(Permission.VIEW_MANAGEMENT_REQUEST_DETAILS)])
def get_request(server: Central, number: int) -> dict[str, Any]:
    """One request, with the certificate that it is about."""
    record = management_requests.find_request(server, number)
    view = views.request_in_list(server, record)
    if record.certificate is not None:
        view["certificate_details"] = details(decode(record.certificate))
    if record.comments:
        view["comments"] = record.comments
    return view


@routes.post("/management-requests/{number}/approval")
def approve_request(server: Central, number: int, caller: Caller) -> dict[str, Any]:
    """Approve a waiting registration or change of owner."""
    _require(server, caller, number, _APPROVE)
    return views.request(server, management_requests.approve(server, number))


@routes.delete("/management-requests/{number}", status_code=204)
def decline_request(server: Central, number: int, caller: Caller) -> None:
    """Decline a request of a security server, or revoke one of the center."""
    _require(server, caller, number, _REVOKE)
    management_requests.decline(server, number)


def _require(
    server: CentralServer, caller: Principal, number: int, permissions: Mapping[RequestType, Permission]
) -> None:
    """403 without the permission for requests of this kind; those that need no approval have none."""
    request = management_requests.find_request(server, number)
    if request.type not in permissions:
        raise request_handlers.unsupported()
    server.gate.require(caller, permissions[request.type])
