"""Management requests: registrations wait for an approval, deletions and renames don't.

A registration needs two halves: the request of the security server and the decision of the
central server, either by approval or by the same request made at the center beforehand (pr-mserv).
"""

from __future__ import annotations

import logging
from datetime import datetime
from http import HTTPStatus

from xroad_simulator.central.records import (
    OWNERS_GROUP,
    AuthenticationCertificateRecord,
    RequestOrigin,
    RequestRecord,
    RequestStatus,
    RequestType,
    ServerClientRecord,
    ServerRecord,
    SubsystemRecord,
)
from xroad_simulator.central.server import CentralServer
from xroad_simulator.clock import now
from xroad_simulator.errors import ApiError, bad_request, conflict, not_found
from xroad_simulator.identifiers import ClientId

_LOG = logging.getLogger(__name__)
_NEEDS_APPROVAL = {RequestType.AUTH_CERT_REGISTRATION, RequestType.CLIENT_REGISTRATION}
_OPEN = {RequestStatus.WAITING, RequestStatus.SUBMITTED}


def new_request(
    server: CentralServer, type_: RequestType, origin: RequestOrigin, target: str, **about: str
) -> RequestRecord:
    """A request with the next number, not stored yet. `about` are its other fields."""
    moment = now()
    return RequestRecord.model_validate(
        {
            "id": server.store.next_number("management_request"),
            "type": type_,
            "origin": origin,
            "status": RequestStatus.WAITING,
            "server": target,
            "created_at": moment,
            "updated_at": moment,
            **about,
        }
    )


def submit(
    server: CentralServer, type_: RequestType, origin: RequestOrigin, target: str, **about: str
) -> RequestRecord:
    """Take a request in: check it, pair it, and carry it out where no approval is needed.

    ApiError with X-Road's code if it can't be taken; nothing is stored then.
    """
    with server.store.transaction():
        request = new_request(server, type_, origin, target, **about)
        if type_ not in _NEEDS_APPROVAL:
            return _carry_out(server, request)
        _check_registration(server, request)
        same = _open_twins(server, request)
        if any(twin.origin is origin for twin in same):
            raise conflict("management_request_exists", str(same[0].id))
        if same:
            for twin in same:
                server.store.put(twin.having(status=RequestStatus.APPROVED, updated_at=request.created_at))
            return _carry_out(server, request)
        if origin is RequestOrigin.SECURITY_SERVER and _is_auto_approved(server, type_):
            return _carry_out(server, request)
        server.store.put(request)
        return request


def _is_auto_approved(server: CentralServer, type_: RequestType) -> bool:
    if type_ is RequestType.CLIENT_REGISTRATION:
        return server.settings.auto_approve_clients
    return server.settings.auto_approve_authentication_certificates


def _open_twins(server: CentralServer, request: RequestRecord) -> list[RequestRecord]:
    return [
        other
        for other in server.store.all(RequestRecord)
        if other.status in _OPEN
        and (other.type, other.server, other.client, other.certificate)
        == (request.type, request.server, request.client, request.certificate)
    ]


def _check_registration(server: CentralServer, request: RequestRecord) -> None:
    if request.type is RequestType.AUTH_CERT_REGISTRATION:
        if server.find_member(request.server_id.owner) is None:
            raise not_found("management_request_server_owner_not_found", request.server)
        if not request.address:
            raise bad_request("management_request_invalid_server_address")
        for known in server.store.all(AuthenticationCertificateRecord):
            if known.certificate == request.certificate:
                raise conflict("management_request_invalid_auth_certificate", known.server)
        return
    client = request.client_id
    record = server.find_server(request.server_id)
    if record is None:
        raise not_found("management_request_server_not_found", request.server)
    if client is None or server.find_member(client) is None:
        raise not_found("management_request_member_not_found", str(client))
    if client == request.server_id.owner:
        raise conflict("management_request_cannot_register_owner", str(client))
    if client in server.clients_of(record):
        raise conflict("management_request_client_already_registered", str(client), request.server)


def find_request(server: CentralServer, number: int) -> RequestRecord:
    """The request with this number; 404 if there is none."""
    found = server.store.get(RequestRecord, f"{number:08d}")
    if found is None:
        raise not_found("management_request_not_found", str(number))
    return found


def approve(server: CentralServer, number: int) -> RequestRecord:
    """Approve a waiting registration and carry it out; 409 in any other state."""
    with server.store.transaction():
        request = find_request(server, number)
        if request.type not in _NEEDS_APPROVAL:
            raise ApiError(HTTPStatus.FORBIDDEN, "management_request_not_supported")
        if request.status not in _OPEN:
            raise conflict("management_request_invalid_state_for_approval", str(number))
        _check_registration(server, request)
        return _carry_out(server, request)


def decline(server: CentralServer, number: int) -> RequestRecord:
    """Revoke a request of the center, or decline one of a security server."""
    with server.store.transaction():
        request = find_request(server, number)
        if request.status not in _OPEN:
            raise conflict("management_request_invalid_state", str(number))
        by_center = request.origin is RequestOrigin.CENTER
        status = RequestStatus.REVOKED if by_center else RequestStatus.DECLINED
        request = request.having(status=status, updated_at=now())
        server.store.put(request)
        return request


def _carry_out(server: CentralServer, request: RequestRecord) -> RequestRecord:
    moment = now()
    match request.type:
        case RequestType.AUTH_CERT_REGISTRATION:
            _register_certificate(server, request, moment)
        case RequestType.CLIENT_REGISTRATION:
            _register_client(server, request)
        case RequestType.AUTH_CERT_DELETION:
            _delete_certificate(server, request)
        case RequestType.CLIENT_DELETION:
            _delete_client(server, request)
        case RequestType.CLIENT_RENAME:
            _rename_subsystem(server, request)
        case RequestType.ADDRESS_CHANGE:
            _change_address(server, request, moment)
    done = request.having(status=RequestStatus.APPROVED, updated_at=moment)
    server.store.put(done)
    _LOG.info("%s of %s approved", request.type, request.server)
    return done


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
        server.add_to_group(OWNERS_GROUP, identifier.owner)
    server.store.put(
        AuthenticationCertificateRecord(
            id=server.store.next_number("authentication_certificate"),
            server=known.key,
            certificate=request.certificate or "",
        )
    )


def _register_client(server: CentralServer, request: RequestRecord) -> None:
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


def _delete_certificate(server: CentralServer, request: RequestRecord) -> None:
    target = server.find_server(request.server_id)
    if target is None:
        raise not_found("management_request_server_not_found", request.server)
    for known in server.store.all(AuthenticationCertificateRecord, f"{target.key}:"):
        if known.certificate == request.certificate:
            server.store.delete(known)
            return
    raise not_found("ss_auth_certificate_not_found")


def _delete_client(server: CentralServer, request: RequestRecord) -> None:
    client, target = request.client_id, server.find_server(request.server_id)
    if target is None:
        raise not_found("management_request_server_not_found", request.server)
    if client is None:
        raise bad_request("management_request_client_registration_not_found")
    record = ServerClientRecord(server=target.key, client=":".join(client.parts[1:]))
    if server.store.get(ServerClientRecord, record.key) is None:
        raise not_found("management_request_client_registration_not_found", str(client))
    server.store.delete(record)


def _rename_subsystem(server: CentralServer, request: RequestRecord) -> None:
    client = request.client_id
    subsystem = None if client is None else server.find_subsystem(client)
    if subsystem is None:
        raise not_found("management_request_server_client_not_found", str(client))
    server.store.put(subsystem.having(name=request.subsystem_name))


def _change_address(server: CentralServer, request: RequestRecord, moment: datetime) -> None:
    target = server.find_server(request.server_id)
    if target is None:
        raise not_found("management_request_server_not_found", request.server)
    if not request.address:
        raise bad_request("management_request_invalid_server_address")
    server.store.put(target.having(address=request.address, updated_at=moment))
