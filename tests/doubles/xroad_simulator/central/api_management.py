"""Admin API of the central server: management services and management requests."""

import base64
import binascii
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict

from xroad_simulator.authentication import Role, allow
from xroad_simulator.central import management_requests, views
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

_REGISTRATION = (Role.REGISTRATION_OFFICER,)
_REQUESTERS = (Role.REGISTRATION_OFFICER, Role.MANAGEMENT_SERVICE)

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


@routes.get("/management-services-configuration", dependencies=[allow(Role.SECURITY_OFFICER)])
def get_configuration(server: Central) -> dict[str, Any]:
    """Who offers the management services, and their addresses."""
    return _configuration(server)


@routes.patch("/management-services-configuration", dependencies=[allow(Role.SECURITY_OFFICER)])
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
    dependencies=[allow(Role.SECURITY_OFFICER)],
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
        management_requests.register_client(server, provider, target)
    return _configuration(server)


@routes.get("/management-requests", dependencies=[allow(*_REGISTRATION)])
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
    if body.authentication_certificate is not None:
        raw = base64.b64decode(body.authentication_certificate, validate=True)
        certificate = parse_certificate(raw)
        if not is_authentication(certificate):
            raise CertificateError("not an authentication certificate")
        about["certificate"] = encode(certificate)
    return about


@routes.post("/management-requests", dependencies=[allow(*_REQUESTERS)])
def add_request(server: Central, body: NewManagementRequest, response: Response) -> dict[str, Any]:
    """A request made at the center: 202 if it waits for the other half, else 201."""
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


@routes.get("/management-requests/{number}", dependencies=[allow(*_REGISTRATION)])
def get_request(server: Central, number: int) -> dict[str, Any]:
    """One request, with the certificate that it is about."""
    record = management_requests.find_request(server, number)
    view = views.request_in_list(server, record)
    if record.certificate is not None:
        view["certificate_details"] = details(decode(record.certificate))
    return view


@routes.post("/management-requests/{number}/approval", dependencies=[allow(*_REGISTRATION)])
def approve_request(server: Central, number: int) -> dict[str, Any]:
    """Approve a waiting registration."""
    return views.request(server, management_requests.approve(server, number))


@routes.delete("/management-requests/{number}", dependencies=[allow(*_REGISTRATION)], status_code=204)
def decline_request(server: Central, number: int) -> None:
    """Decline a request of a security server, or revoke one of the center."""
    management_requests.decline(server, number)
