"""What each kind of management request checks, and what it does once nothing stands against it.

Codes and conditions are those of X-Road's `*RequestHandler.java` in its central server.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus

from xroad_simulator.central.records import (
    AuthenticationCertificateRecord,
    RequestRecord,
    RequestStatus,
    RequestType,
    ServerClientRecord,
    ServerRecord,
    SubsystemRecord,
)
from xroad_simulator.central.server import CentralServer
from xroad_simulator.errors import ApiError, bad_request, conflict, not_found
from xroad_simulator.identifiers import ClientId


def check(server: CentralServer, request: RequestRecord) -> None:
    """ApiError if the request can't be taken as things stand; only those that wait for an approval."""
    match request.type:
        case RequestType.AUTH_CERT_REGISTRATION:
            _check_certificate_registration(server, request)
        case RequestType.CLIENT_REGISTRATION:
            _check_client_registration(server, request)
        case RequestType.OWNER_CHANGE:
            _check_owner_change(server, request)


def _check_certificate_registration(server: CentralServer, request: RequestRecord) -> None:
    if server.find_member(request.server_id.owner) is None:
        raise not_found("management_request_server_owner_not_found", request.server)
    if not request.address:
        raise bad_request("management_request_invalid_server_address")
    for known in server.store.all(AuthenticationCertificateRecord):
        if known.certificate == request.certificate:
            raise conflict("management_request_invalid_auth_certificate", known.server)


def _check_client_registration(server: CentralServer, request: RequestRecord) -> None:
    client = request.client_id
    record = _server(server, request)
    if client is None or server.find_member(client) is None:
        raise not_found("management_request_member_not_found", str(client))
    if client == request.server_id.owner:
        raise conflict("management_request_cannot_register_owner", str(client))
    if client in server.clients_of(record):
        raise conflict("management_request_client_already_registered", str(client), request.server)


def _check_owner_change(server: CentralServer, request: RequestRecord) -> None:
    client = request.client_id
    if client is None or client.subsystem_code is not None:
        raise bad_request("management_request_owner_must_be_member")
    record = server.find_server(request.server_id)
    if record is None:
        raise conflict("management_request_server_not_found", request.server)
    if client == request.server_id.owner:
        raise bad_request("management_request_client_already_owner")
    if client not in server.clients_of(record):
        raise bad_request("management_request_owner_must_be_client")
    if server.store.get(ServerRecord, f"{client.member_class}:{client.member_code}:{record.code}") is not None:
        raise conflict("management_request_server_code_exists")


def carry_out(server: CentralServer, request: RequestRecord, moment: datetime) -> str | None:
    """Do what the request asks for and return its comment; ApiError if that can't be done."""
    return _EFFECTS[request.type](server, request, moment)


def _server(server: CentralServer, request: RequestRecord) -> ServerRecord:
    found = server.find_server(request.server_id)
    if found is None:
        raise not_found("management_request_server_not_found", request.server)
    return found


def _register_certificate(server: CentralServer, request: RequestRecord, moment: datetime) -> None:
    identifier = request.server_id
    known = server.find_server(identifier)
    if known is None:
        known = ServerRecord(
            member_class=identifier.member_class,
            member_code=identifier.member_code,
            code=identifier.server_code,
            address=request.address or "",
            created_at=moment,
            updated_at=moment,
        )
        server.store.put(known)
        server.update_owners_group(identifier.owner)
    server.store.put(
        AuthenticationCertificateRecord(
            id=server.store.next_number("authentication_certificate"),
            server=known.key,
            certificate=request.certificate or "",
        )
    )


def _delete_certificate(server: CentralServer, request: RequestRecord, moment: datetime) -> None:
    for known in server.store.all(AuthenticationCertificateRecord):
        if known.certificate == request.certificate:
            if known.server != _server(server, request).key:
                raise not_found("security_server_not_found", request.server)
            server.store.delete(known)
            return
    waiting = _waiting(server, request, RequestType.AUTH_CERT_REGISTRATION)
    if waiting is None:
        raise conflict("management_request_invalid_auth_certificate")
    server.store.put(waiting.having(status=RequestStatus.REVOKED, updated_at=moment))


def _waiting(server: CentralServer, request: RequestRecord, type_: RequestType) -> RequestRecord | None:
    """The registration that still waits for an approval and that this request takes back."""
    for other in server.store.all(RequestRecord):
        about = (other.type, other.status, other.server, other.client, other.certificate)
        if about == (type_, RequestStatus.WAITING, request.server, request.client, request.certificate):
            return other
    return None


def _register_client(server: CentralServer, request: RequestRecord, moment: datetime) -> None:
    del moment
    client = request.client_id
    assert client is not None
    register_client(server, client, server.server(request.server), request.subsystem_name)


def register_client(
    server: CentralServer, client: ClientId, target: ServerRecord, name: str | None = None
) -> None:
    """Record that a server represents a client; a subsystem that is new comes into being."""
    if client.subsystem_code is not None and server.find_subsystem(client) is None:
        server.store.put(
            SubsystemRecord(
                member_class=client.member_class,
                member_code=client.member_code,
                code=client.subsystem_code,
                name=name,
            )
        )
    server.store.put(ServerClientRecord(server=target.key, client=":".join(client.parts[1:])))


def _delete_client(server: CentralServer, request: RequestRecord, moment: datetime) -> None:
    client = request.client_id
    if client is None:
        raise bad_request("management_request_client_registration_not_found")
    registration = server.registration(_server(server, request), client)
    if registration is not None:
        server.store.delete(registration)
        return
    waiting = _waiting(server, request, RequestType.CLIENT_REGISTRATION)
    if waiting is None:
        raise not_found("management_request_client_registration_not_found", str(client))
    server.store.put(waiting.having(status=RequestStatus.REVOKED, updated_at=moment))


def _registered(server: CentralServer, request: RequestRecord) -> ServerClientRecord:
    client = request.client_id
    target = server.find_server(request.server_id)
    found = None if client is None or target is None else server.registration(target, client)
    if found is None:
        raise conflict("management_request_server_client_not_found", request.server, str(client))
    return found


def _disable_client(server: CentralServer, request: RequestRecord, moment: datetime) -> None:
    del moment
    registration = _registered(server, request)
    if request.client == server.management.provider:
        raise conflict("mr_forbidden_disable_management_service_client", str(request.client))
    server.store.put(registration.having(enabled=False))


def _enable_client(server: CentralServer, request: RequestRecord, moment: datetime) -> None:
    del moment
    server.store.put(_registered(server, request).having(enabled=True))


def _rename_subsystem(server: CentralServer, request: RequestRecord, moment: datetime) -> str | None:
    del moment
    client, name = request.client_id, request.subsystem_name
    if client is None or client.subsystem_code is None:
        raise bad_request("management_request_only_subsystem_rename_allowed")
    if not name or not name.strip():
        raise bad_request("management_request_invalid_subsystem_name")
    subsystem = server.find_subsystem(client)
    target = server.find_server(request.server_id)
    if subsystem is None or target is None or server.registration(target, client) is None:
        raise conflict("management_request_server_client_not_found", request.server, str(client))
    server.store.put(subsystem.having(name=name))
    if subsystem.name and subsystem.name != name:
        return f"Changing subsystem name from '{subsystem.name}' to '{name}'."
    return None


def _change_owner(server: CentralServer, request: RequestRecord, moment: datetime) -> None:
    """The former owner stays a client, the new one isn't one any more: it is the owner."""
    client = request.client_id
    assert client is not None
    old = _server(server, request)
    new = old.having(member_class=client.member_class, member_code=client.member_code, updated_at=moment)
    server.store.delete(old)
    server.store.put(new)
    for certificate in server.store.all(AuthenticationCertificateRecord, f"{old.key}:"):
        server.store.delete(certificate)
        server.store.put(certificate.having(server=new.key))
    for registration in server.store.all(ServerClientRecord, f"{old.key}|"):
        server.store.delete(registration)
        if registration.client != ":".join(client.parts[1:]):
            server.store.put(registration.having(server=new.key))
    former = request.server_id.owner
    server.store.put(ServerClientRecord(server=new.key, client=":".join(former.parts[1:])))
    server.update_owners_group(former)
    server.update_owners_group(client)


def _change_address(server: CentralServer, request: RequestRecord, moment: datetime) -> str:
    if not request.address:
        raise bad_request("management_request_invalid_server_address")
    target = _server(server, request)
    server.store.put(target.having(address=request.address, updated_at=moment))
    return f"Changing from '{target.address}'."


def _enable_maintenance(server: CentralServer, request: RequestRecord, moment: datetime) -> str | None:
    provider, target = server.management.provider, _server(server, request)
    if provider is not None and ClientId.parse(provider) in server.clients_of(target):
        raise conflict("mr_forbidden_enable_maintenance_mode_for_management_service", provider, request.server)
    if target.in_maintenance:
        raise conflict("management_request_server_already_in_maintenance_mode", request.server)
    in_maintenance = target.having(in_maintenance=True, maintenance_message=request.comments, updated_at=moment)
    server.store.put(in_maintenance)
    return request.comments


def _disable_maintenance(server: CentralServer, request: RequestRecord, moment: datetime) -> None:
    target = _server(server, request)
    if not target.in_maintenance:
        raise conflict("management_request_server_not_in_maintenance_mode", request.server)
    server.store.put(target.having(in_maintenance=False, maintenance_message=None, updated_at=moment))


_EFFECTS: dict[RequestType, Callable[[CentralServer, RequestRecord, datetime], str | None]] = {
    RequestType.AUTH_CERT_REGISTRATION: _register_certificate,
    RequestType.AUTH_CERT_DELETION: _delete_certificate,
    RequestType.CLIENT_REGISTRATION: _register_client,
    RequestType.CLIENT_DELETION: _delete_client,
    RequestType.CLIENT_DISABLE: _disable_client,
    RequestType.CLIENT_ENABLE: _enable_client,
    RequestType.CLIENT_RENAME: _rename_subsystem,
    RequestType.OWNER_CHANGE: _change_owner,
    RequestType.ADDRESS_CHANGE: _change_address,
    RequestType.MAINTENANCE_MODE_ENABLE: _enable_maintenance,
    RequestType.MAINTENANCE_MODE_DISABLE: _disable_maintenance,
}


def unsupported() -> ApiError:
    """403: such requests have no approval."""
    return ApiError(HTTPStatus.FORBIDDEN, "management_request_not_supported")
