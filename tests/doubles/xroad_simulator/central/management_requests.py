"""Management requests: registrations and changes of owner wait for an approval, all others don't.

A registration needs two halves: the request of the security server and the decision of the
central server, either by approval or by the same request made at the center beforehand (pr-mserv).
"""

from __future__ import annotations

import logging

from xroad_simulator.central import request_handlers
from xroad_simulator.central.records import RequestOrigin, RequestRecord, RequestStatus, RequestType
from xroad_simulator.central.server import CentralServer
from xroad_simulator.clock import now
from xroad_simulator.errors import conflict, not_found

_LOG = logging.getLogger(__name__)
NEEDS_APPROVAL = frozenset(
    {RequestType.AUTH_CERT_REGISTRATION, RequestType.CLIENT_REGISTRATION, RequestType.OWNER_CHANGE}
)
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
        if type_ not in NEEDS_APPROVAL:
            return _carry_out(server, request)
        same = _open_twins(server, request)
        if type_ is RequestType.OWNER_CHANGE and same:
            raise conflict("management_request_exists", str(same[0].id))
        request_handlers.check(server, request)
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
    settings = server.settings
    return {
        RequestType.AUTH_CERT_REGISTRATION: settings.auto_approve_authentication_certificates,
        RequestType.CLIENT_REGISTRATION: settings.auto_approve_clients,
        RequestType.OWNER_CHANGE: settings.auto_approve_owner_changes,
    }[type_]


def _open_twins(server: CentralServer, request: RequestRecord) -> list[RequestRecord]:
    """Requests for the same that are open; of changes of owner a server may have but one."""
    return [
        other
        for other in server.store.all(RequestRecord)
        if other.status in _OPEN
        and (other.type, other.server) == (request.type, request.server)
        and (
            request.type is RequestType.OWNER_CHANGE
            or (other.client, other.certificate) == (request.client, request.certificate)
        )
    ]


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
        if request.type not in NEEDS_APPROVAL:
            raise request_handlers.unsupported()
        if request.status not in _OPEN:
            raise conflict("management_request_invalid_state_for_approval", str(number))
        request_handlers.check(server, request)
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
    comments = request_handlers.carry_out(server, request, moment) or request.comments
    done = request.having(status=RequestStatus.APPROVED, updated_at=moment, comments=comments)
    server.store.put(done)
    _LOG.info("%s of %s approved", request.type, request.server)
    return done
