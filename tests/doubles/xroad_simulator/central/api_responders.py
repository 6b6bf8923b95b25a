"""Admin API of the central server: OCSP responders, and the CAs below an approved one that have some too."""

from typing import Annotated, Any

from fastapi import APIRouter, File, Form, UploadFile

from xroad_simulator.authentication import allow
from xroad_simulator.central.api_trust import find_service
from xroad_simulator.central.forms import CostType, read_certificate, require_url
from xroad_simulator.central.permissions import Permission
from xroad_simulator.central.records import IntermediateRecord, ResponderRecord
from xroad_simulator.central.server import Central, CentralServer
from xroad_simulator.certificates import decode, details
from xroad_simulator.errors import not_found

routes = APIRouter()


def _responder_view(record: ResponderRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "url": record.url,
        "cost_type": record.cost_type,
        "has_certificate": record.certificate is not None,
    }


@routes.get(
    "/certification-services/{number}/ocsp-responders",
    dependencies=[allow(Permission.VIEW_APPROVED_CA_DETAILS)],
)
def list_ocsp_responders(server: Central, number: int) -> list[dict[str, Any]]:
    """The responders of a CA."""
    find_service(server, number)
    responders = server.store.all(ResponderRecord)
    return [_responder_view(record) for record in responders if record.service == number]


@routes.post(
    "/certification-services/{number}/ocsp-responders",
    dependencies=[allow(Permission.ADD_APPROVED_CA)],
    status_code=201,
)
def add_ocsp_responder(
    server: Central,
    number: int,
    url: Annotated[str, Form()],
    cost_type: Annotated[CostType, Form()],
    certificate: Annotated[UploadFile | None, File()] = None,
) -> dict[str, Any]:
    """Name a responder. There is no duplicate check."""
    with server.store.transaction():
        find_service(server, number)
        return _add(server, url, cost_type, certificate, service=number)


def _add(
    server: CentralServer, url: str, cost_type: CostType, certificate: UploadFile | None, **of: int
) -> dict[str, Any]:
    require_url(url)
    record = ResponderRecord(
        id=server.store.next_number("ocsp_responder"),
        url=url,
        cost_type=cost_type,
        certificate=None if certificate is None else read_certificate(certificate),
        **of,
    )
    server.store.put(record)
    return _responder_view(record)


def _responder(server: CentralServer, number: int) -> ResponderRecord:
    found = server.store.get(ResponderRecord, f"{number:08d}")
    if found is None:
        raise not_found("ocsp_responder_not_found", str(number))
    return found


@routes.get("/ocsp-responders/{number}", dependencies=[allow(Permission.VIEW_APPROVED_CA_DETAILS)])
def get_ocsp_responder(server: Central, number: int) -> dict[str, Any]:
    """One responder."""
    return _responder_view(_responder(server, number))


@routes.get("/ocsp-responders/{number}/certificate", dependencies=[allow(Permission.VIEW_APPROVED_CA_DETAILS)])
def get_ocsp_responder_certificate(server: Central, number: int) -> dict[str, Any]:
    """The responder's certificate; 404 if it has none."""
    record = _responder(server, number)
    if record.certificate is None:
        raise not_found("ocsp_responder_not_found", str(number))
    return details(decode(record.certificate))


@routes.patch("/ocsp-responders/{number}", dependencies=[allow(Permission.EDIT_APPROVED_CA)])
def change_ocsp_responder(
    server: Central,
    number: int,
    url: Annotated[str | None, Form()] = None,
    cost_type: Annotated[CostType | None, Form()] = None,
    certificate: Annotated[UploadFile | None, File()] = None,
) -> dict[str, Any]:
    """Change what the form names."""
    changes: dict[str, str] = {}
    if url is not None:
        require_url(url)
        changes["url"] = url
    if cost_type is not None:
        changes["cost_type"] = cost_type
    if certificate is not None:
        changes["certificate"] = read_certificate(certificate)
    with server.store.transaction():
        record = _responder(server, number).having(**changes)
        server.store.put(record)
    return _responder_view(record)


@routes.delete("/ocsp-responders/{number}", dependencies=[allow(Permission.EDIT_APPROVED_CA)], status_code=204)
def delete_ocsp_responder(server: Central, number: int) -> None:
    """Remove a responder."""
    with server.store.transaction():
        server.store.delete(_responder(server, number))


def _intermediate(server: CentralServer, number: int) -> IntermediateRecord:
    found = server.store.get(IntermediateRecord, f"{number:08d}")
    if found is None:
        raise not_found("intermediate_ca_not_found", str(number))
    return found


def _intermediate_view(record: IntermediateRecord) -> dict[str, Any]:
    return {"id": record.id, "ca_certificate": details(decode(record.certificate))}


@routes.get(
    "/certification-services/{number}/intermediate-cas",
    dependencies=[allow(Permission.VIEW_APPROVED_CA_DETAILS)],
)
def list_intermediates(server: Central, number: int) -> list[dict[str, Any]]:
    """The CAs below an approved one."""
    find_service(server, number)
    found = server.store.all(IntermediateRecord)
    return [_intermediate_view(record) for record in found if record.service == number]


@routes.post(
    "/certification-services/{number}/intermediate-cas",
    dependencies=[allow(Permission.ADD_APPROVED_CA)],
    status_code=201,
)
def add_intermediate(
    server: Central, number: int, certificate: Annotated[UploadFile, File()]
) -> dict[str, Any]:
    """Name a CA below an approved one. There is no duplicate check."""
    encoded = read_certificate(certificate)
    with server.store.transaction():
        find_service(server, number)
        record = IntermediateRecord(
            id=server.store.next_number("intermediate_ca"), service=number, certificate=encoded
        )
        server.store.put(record)
    return _intermediate_view(record)


@routes.get("/intermediate-cas/{number}", dependencies=[allow(Permission.VIEW_APPROVED_CA_DETAILS)])
def get_intermediate(server: Central, number: int) -> dict[str, Any]:
    """One CA below an approved one."""
    return _intermediate_view(_intermediate(server, number))


@routes.delete("/intermediate-cas/{number}", dependencies=[allow(Permission.ADD_APPROVED_CA)], status_code=204)
def delete_intermediate(server: Central, number: int) -> None:
    """Remove a CA below an approved one, with its responders."""
    with server.store.transaction():
        server.store.delete(_intermediate(server, number))
        for responder in server.store.all(ResponderRecord):
            if responder.intermediate == number:
                server.store.delete(responder)


@routes.get(
    "/intermediate-cas/{number}/ocsp-responders", dependencies=[allow(Permission.VIEW_APPROVED_CA_DETAILS)]
)
def list_responders_of_intermediate(server: Central, number: int) -> list[dict[str, Any]]:
    """The responders of a CA below an approved one."""
    _intermediate(server, number)
    responders = server.store.all(ResponderRecord)
    return [_responder_view(record) for record in responders if record.intermediate == number]


@routes.post(
    "/intermediate-cas/{number}/ocsp-responders",
    dependencies=[allow(Permission.ADD_APPROVED_CA)],
    status_code=201,
)
def add_responder_of_intermediate(
    server: Central,
    number: int,
    url: Annotated[str, Form()],
    cost_type: Annotated[CostType, Form()],
    certificate: Annotated[UploadFile | None, File()] = None,
) -> dict[str, Any]:
    """Name a responder of a CA below an approved one. There is no duplicate check."""
    with server.store.transaction():
        _intermediate(server, number)
        return _add(server, url, cost_type, certificate, intermediate=number)


@routes.delete(
    "/intermediate-cas/{number}/ocsp-responders/{responder_number}",
    dependencies=[allow(Permission.ADD_APPROVED_CA)],
    status_code=204,
)
def delete_responder_of_intermediate(server: Central, number: int, responder_number: int) -> None:
    """Remove a responder of a CA below an approved one."""
    with server.store.transaction():
        _intermediate(server, number)
        responder = _responder(server, responder_number)
        if responder.intermediate != number:
            raise not_found("ocsp_responder_not_found", str(responder_number))
        server.store.delete(responder)
