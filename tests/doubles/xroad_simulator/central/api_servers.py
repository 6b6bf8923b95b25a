"""Admin API of the central server: security servers, and what belongs to one."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from xroad_simulator.authentication import allow
from xroad_simulator.central import views
from xroad_simulator.central.permissions import Permission
from xroad_simulator.central.records import AuthenticationCertificateRecord, ServerClientRecord, ServerRecord
from xroad_simulator.central.server import Central, CentralServer
from xroad_simulator.certificates import decode, details
from xroad_simulator.clock import now
from xroad_simulator.errors import not_found
from xroad_simulator.paging import Page

routes = APIRouter()


class ServerAddress(BaseModel):
    """Body of a change of a server's address."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    server_address: str = Field(min_length=1, max_length=255)


def remove_server(server: CentralServer, record: ServerRecord) -> None:
    """Remove a server with its certificates and registrations."""
    for certificate in server.store.all(AuthenticationCertificateRecord, f"{record.key}:"):
        server.store.delete(certificate)
    for registration in server.store.all(ServerClientRecord, f"{record.key}|"):
        server.store.delete(registration)
    server.store.delete(record)
    server.update_owners_group(record.identifier(server.instance).owner)


@routes.get("/security-servers", dependencies=[allow(Permission.VIEW_SECURITY_SERVERS)])
def list_security_servers(server: Central, page: Page, q: str = "") -> dict[str, Any]:
    """Registered servers whose identifier contains `q`."""
    found = [
        record
        for record in server.store.all(ServerRecord)
        if q.lower() in str(record.identifier(server.instance)).lower()
    ]
    cut, metadata = page.cut(
        found,
        {
            "xroad_id.server_code": lambda record: record.code,
            "server_code": lambda record: record.code,
            "owner_name": lambda record: record.member_code,
        },
    )
    items = [views.security_server(server, record) for record in cut]
    return {"items": items, "paging_metadata": metadata}


@routes.get("/security-servers/{server_id}", dependencies=[allow(Permission.VIEW_SECURITY_SERVER_DETAILS)])
def get_security_server(server: Central, server_id: str) -> dict[str, Any]:
    """One registered server."""
    return views.security_server(server, server.server(server_id))


@routes.patch("/security-servers/{server_id}", dependencies=[allow(Permission.EDIT_SECURITY_SERVER_ADDRESS)])
def change_security_server(server: Central, server_id: str, body: ServerAddress) -> dict[str, Any]:
    """Change the address at which others reach the server."""
    with server.store.transaction():
        record = server.server(server_id).having(address=body.server_address, updated_at=now())
        server.store.put(record)
    return views.security_server(server, record)


@routes.delete(
    "/security-servers/{server_id}", dependencies=[allow(Permission.DELETE_SECURITY_SERVER)], status_code=204
)
def delete_security_server(server: Central, server_id: str) -> None:
    """Remove a server with its certificates and registrations."""
    with server.store.transaction():
        remove_server(server, server.server(server_id))


@routes.get(
    "/security-servers/{server_id}/authentication-certificates",
    dependencies=[allow(Permission.VIEW_SECURITY_SERVER_DETAILS)],
)
def list_authentication_certificates(server: Central, server_id: str) -> list[dict[str, Any]]:
    """The server's registered authentication certificates."""
    key = server.server(server_id).key
    return [
        {**details(decode(record.certificate)), "id": record.id}
        for record in server.store.all(AuthenticationCertificateRecord, f"{key}:")
    ]


@routes.delete(
    "/security-servers/{server_id}/authentication-certificates/{number}",
    dependencies=[allow(Permission.DELETE_SECURITY_SERVER_AUTH_CERT)],
    status_code=204,
)
def delete_authentication_certificate(server: Central, server_id: str, number: int) -> None:
    """Remove an authentication certificate."""
    with server.store.transaction():
        key = f"{server.server(server_id).key}:{number:08d}"
        record = server.store.get(AuthenticationCertificateRecord, key)
        if record is None:
            raise not_found("ss_auth_certificate_not_found")
        server.store.delete(record)


@routes.get(
    "/security-servers/{server_id}/clients", dependencies=[allow(Permission.VIEW_SECURITY_SERVER_DETAILS)]
)
def list_clients_of_server(server: Central, server_id: str) -> list[dict[str, Any]]:
    """Clients that are registered to the server."""
    clients = server.clients_of(server.server(server_id))
    return [views.client(server, client) for client in clients]
