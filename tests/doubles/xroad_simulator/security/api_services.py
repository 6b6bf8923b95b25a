"""Admin API of the security server: service descriptions, services, endpoints, access rights."""

from typing import Any, Literal

from fastapi import APIRouter, Response
from pydantic import Field

from xroad_simulator.authentication import allow
from xroad_simulator.bodies import Body
from xroad_simulator.clock import now, timestamp
from xroad_simulator.errors import (
    bad_request,
    conflict,
    not_found,
    validation_failure,
    warnings_detected,
)
from xroad_simulator.identifiers import ClientId, is_identifier_part
from xroad_simulator.security import provider_tls, services
from xroad_simulator.security.permissions import Permission
from xroad_simulator.security.records import (
    AccessRightRecord,
    DescriptionRecord,
    EndpointRecord,
    LocalGroupRecord,
    ServiceRecord,
    ServiceType,
    SubjectType,
    TlsCertificateRecord,
)
from xroad_simulator.security.server import Security, SecurityServer

Method = Literal["*", "GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE"]

routes = APIRouter()


class ServiceDescriptionAdd(Body):
    """Body of a new service description."""

    url: str = Field(min_length=1, max_length=255)
    type: ServiceType
    rest_service_code: str | None = Field(default=None, min_length=1, max_length=255)
    ignore_warnings: bool = False


class ServiceDescriptionUpdate(Body):
    """Body of a change of a service description."""

    url: str = Field(min_length=1, max_length=255)
    type: ServiceType
    rest_service_code: str | None = None
    new_rest_service_code: str | None = None
    ignore_warnings: bool = False


class DisabledNotice(Body):
    """Body of the disabling of a service description."""

    disabled_notice: str = Field(default="", max_length=255)


class IgnoreWarnings(Body):
    """Body of a refresh."""

    ignore_warnings: bool = False


class ServiceUpdate(Body):
    """Body of a change of a service."""

    url: str = Field(min_length=1, max_length=255)
    timeout: int = Field(ge=0, le=1000)
    ssl_auth: bool
    url_all: bool = False
    timeout_all: bool = False
    ssl_auth_all: bool = False
    ignore_warnings: bool = False


class EndpointAdd(Body):
    """Body of a new endpoint."""

    id: str | None = None
    service_code: str
    method: Method
    path: str = Field(min_length=1)
    generated: bool | None = None


class EndpointUpdate(Body):
    """Body of a change of an endpoint."""

    method: Method
    path: str = Field(min_length=1)


class AccessRight(Body):
    """A right that a caller names; what the server sets itself is ignored."""

    service_code: str
    service_title: str | None = None
    rights_given_at: str | None = None


class AccessRights(Body):
    """Services that a client gets rights to."""

    items: tuple[AccessRight, ...]


class ServiceClient(Body):
    """A holder of rights that a caller names."""

    id: str
    name: str | None = None
    local_group_code: str | None = None
    service_client_type: SubjectType | None = None
    rights_given_at: str | None = None


class ServiceClients(Body):
    """Holders of rights."""

    items: tuple[ServiceClient, ...]


def _endpoint_view(record: EndpointRecord) -> dict[str, Any]:
    return {
        "id": str(record.id),
        "service_code": record.service,
        "method": record.method,
        "path": record.path,
        "generated": record.generated,
    }


def _service_view(server: SecurityServer, record: ServiceRecord) -> dict[str, Any]:
    endpoints = server.endpoints_of(record)
    numbers = {endpoint.id for endpoint in endpoints}
    subjects = {right.subject for right in server.store.all(AccessRightRecord) if right.endpoint in numbers}
    view: dict[str, Any] = {
        "id": str(record.id),
        "full_service_code": record.code,
        "service_code": record.code,
        "timeout": record.timeout_seconds,
        "ssl_auth": record.verify_tls,
        "subjects_count": len(subjects),
        "url": record.url,
        "endpoints": [_endpoint_view(e) for e in endpoints if not e.is_base],
    }
    if record.title:
        view["title"] = record.title
    return view


def _description_view(server: SecurityServer, record: DescriptionRecord) -> dict[str, Any]:
    return {
        "id": str(record.id),
        "url": record.url,
        "type": record.type,
        "disabled": record.disabled,
        "disabled_notice": record.disabled_notice,
        "refreshed_at": timestamp(record.refreshed_at),
        "client_id": record.client,
        "services": [
            _service_view(server, service)
            for service in server.services_of(record.client)
            if service.description == record.id
        ],
    }


def _require_url(url: str) -> None:
    if not url.startswith(("http://", "https://")):
        raise bad_request("malformed_url", url)


@routes.get("/clients/{client_id}/service-descriptions", dependencies=[allow(Permission.VIEW_CLIENT_SERVICES)])
def list_descriptions(server: Security, client_id: str) -> list[dict[str, Any]]:
    """The client's service descriptions."""
    client = server.client(client_id)
    records = server.store.all(DescriptionRecord)
    return [_description_view(server, r) for r in records if r.client == client.id]


def _described(type_: ServiceType, url: str, code: str | None) -> list[services.Described]:
    if type_ is ServiceType.WSDL:
        return services.read_wsdl(url)
    if code is None:
        raise bad_request("missing_parameter", "rest_service_code")
    if not is_identifier_part(code):
        raise validation_failure("serviceDescriptionAdd.restServiceCode", "IdentifierChars")
    if code in services.RESERVED_CODES:
        raise bad_request("service_code_reserved", code)
    if type_ is ServiceType.OPENAPI3:
        return [services.read_openapi(url, code)]
    return [services.Described(code=code, url=url)]


@routes.post(
    "/clients/{client_id}/service-descriptions",
    dependencies=[allow(Permission.ADD_WSDL, Permission.ADD_OPENAPI3)],
    status_code=201,
)
def add_description(server: Security, client_id: str, body: ServiceDescriptionAdd) -> dict[str, Any]:
    """Describe services. They are disabled until the description is enabled."""
    _require_url(body.url)
    client = server.client(client_id)
    if client.client.subsystem_code is None:
        raise conflict("invalid_client_type")
    # Read before the transaction: nothing waits on a lock while another server answers.
    described = _described(body.type, body.url, body.rest_service_code)
    with server.store.transaction():
        for other in server.store.all(DescriptionRecord):
            if other.client == client.id and other.url == body.url:
                taken = "wsdl_exists" if body.type is ServiceType.WSDL else "url_already_exists"
                raise conflict(taken, body.url)
        existing = {service.code for service in server.services_of(client.id)}
        for service in described:
            if service.code in existing:
                soap = body.type is ServiceType.WSDL
                code = "service_already_exists" if soap else "service_code_already_exists"
                raise conflict(code, service.code)
        record = DescriptionRecord(
            id=server.store.next_number("service_description"),
            client=client.id,
            url=body.url,
            type=body.type,
            disabled=True,
            disabled_notice="Out of order",
            refreshed_at=now(),
        )
        server.store.put(record)
        for service in described:
            services.add_service(server, record, service)
    return _description_view(server, record)


def _number(text: str, code: str) -> int:
    if not text.isdigit():
        raise not_found(code, text)
    return int(text)


def _description(server: SecurityServer, text: str) -> DescriptionRecord:
    return server.description(_number(text, "service_description_not_found"))


@routes.get("/service-descriptions/{number}", dependencies=[allow(Permission.VIEW_CLIENT_SERVICES)])
def get_description(server: Security, number: str) -> dict[str, Any]:
    """One service description."""
    return _description_view(server, _description(server, number))


@routes.get("/service-descriptions/{number}/services", dependencies=[allow(Permission.VIEW_CLIENT_SERVICES)])
def list_services(server: Security, number: str) -> list[dict[str, Any]]:
    """The services of a description."""
    view: list[dict[str, Any]] = _description_view(server, _description(server, number))["services"]
    return view


# The definition says 204; X-Road answers 200 (TODO in its own setup.hurl).
@routes.put("/service-descriptions/{number}/enable", dependencies=[allow(Permission.ENABLE_DISABLE_WSDL)])
def enable_description(server: Security, number: str) -> Response:
    """Let the description's services be called."""
    with server.store.transaction():
        server.store.put(_description(server, number).having(disabled=False))
    return Response(status_code=200)


@routes.put(
    "/service-descriptions/{number}/disable",
    dependencies=[allow(Permission.ENABLE_DISABLE_WSDL)],
    status_code=204,
)
def disable_description(server: Security, number: str, body: DisabledNotice | None = None) -> None:
    """Refuse calls of the description's services, with a notice."""
    notice = "" if body is None else body.disabled_notice
    with server.store.transaction():
        record = _description(server, number)
        server.store.put(record.having(disabled=True, disabled_notice=notice))


@routes.put(
    "/service-descriptions/{number}/refresh",
    dependencies=[allow(Permission.REFRESH_WSDL, Permission.REFRESH_REST, Permission.REFRESH_OPENAPI3)],
)
def refresh_description(server: Security, number: str, body: IgnoreWarnings | None = None) -> dict[str, Any]:
    """Read the description again; changes of its services are a warning first."""
    record = _description(server, number)
    codes = [s.code for s in server.services_of(record.client) if s.description == record.id]
    described = _described(record.type, record.url, codes[0] if codes else None)
    with server.store.transaction():
        _synchronize(server, record, described, body is not None and body.ignore_warnings)
        record = record.having(refreshed_at=now())
        server.store.put(record)
    return _description_view(server, record)


def _synchronize(
    server: SecurityServer,
    record: DescriptionRecord,
    described: list[services.Described],
    ignore_warnings: bool,
) -> None:
    """Make services and generated endpoints those of the description."""
    current = {
        service.code: service
        for service in server.services_of(record.client)
        if service.description == record.id
    }
    wanted = {service.code: service for service in described}
    added = sorted(set(wanted) - set(current))
    deleted = sorted(set(current) - set(wanted))
    new_endpoints: list[tuple[str, str, str]] = []
    old_endpoints: list[EndpointRecord] = []
    for code in set(wanted) & set(current):
        existing = server.endpoints_of(current[code])
        known = {(endpoint.method, endpoint.path) for endpoint in existing}
        new_endpoints += [(code, *e) for e in wanted[code].endpoints if e not in known]
        old_endpoints += [
            endpoint
            for endpoint in existing
            if endpoint.generated
            and not endpoint.is_base
            and (endpoint.method, endpoint.path) not in wanted[code].endpoints
        ]
    warnings = [
        ("adding_services", added),
        ("deleting_services", deleted),
        ("adding_endpoints", [f"{method} {path}" for _, method, path in new_endpoints]),
        ("deleting_endpoints", [f"{e.method} {e.path}" for e in old_endpoints]),
    ]
    found = [(code, items) for code, items in warnings if items]
    if found and not ignore_warnings:
        raise warnings_detected(*found)
    for code in added:
        services.add_service(server, record, wanted[code])
    for code in deleted:
        services.remove_service(server, current[code])
    for code, method, path in new_endpoints:
        services.add_endpoint(server, record.client, code, method, path, generated=True)
    for endpoint in old_endpoints:
        services.remove_endpoint(server, endpoint)


@routes.patch(
    "/service-descriptions/{number}",
    dependencies=[allow(Permission.EDIT_WSDL, Permission.EDIT_OPENAPI3, Permission.EDIT_REST)],
)
def change_description(server: Security, number: str, body: ServiceDescriptionUpdate) -> dict[str, Any]:
    """Change the address or, of REST services, the code; rights stay with the service."""
    record = _description(server, number)
    if body.type is not record.type:
        raise bad_request("wrong_servicedescription_type")
    _require_url(body.url)
    described = _described(body.type, body.url, body.rest_service_code)
    with server.store.transaction():
        for other in server.store.all(DescriptionRecord):
            if (other.client, other.url) == (record.client, body.url) and other.id != record.id:
                raise conflict("url_already_exists", body.url)
        if body.type is not ServiceType.REST:
            _synchronize(server, record, described, body.ignore_warnings)
        for service in server.services_of(record.client):
            if service.description == record.id and body.type is ServiceType.REST:
                server.store.put(service.having(url=body.url))
        new_code = body.new_rest_service_code
        if new_code is not None and new_code != body.rest_service_code:
            _rename(server, record, body.rest_service_code or "", new_code)
        record = record.having(url=body.url, refreshed_at=now())
        server.store.put(record)
    return _description_view(server, record)


def _rename(server: SecurityServer, record: DescriptionRecord, old: str, new: str) -> None:
    existing = {service.code: service for service in server.services_of(record.client)}
    if new in existing:
        raise conflict("service_code_already_exists", new)
    service = existing.get(old)
    if service is None:
        raise not_found("service_not_found", old)
    for endpoint in server.endpoints_of(service):
        server.store.put(endpoint.having(service=new))
    server.store.delete(service)
    server.store.put(service.having(code=new))


@routes.delete("/service-descriptions/{number}", dependencies=[allow(Permission.DELETE_WSDL)], status_code=204)
def delete_description(server: Security, number: str) -> None:
    """Remove a description with its services and the rights to them."""
    with server.store.transaction():
        services.remove_description(server, _description(server, number))


@routes.get("/services/{service_id}", dependencies=[allow(Permission.VIEW_CLIENT_SERVICES)])
def get_service(server: Security, service_id: str) -> dict[str, Any]:
    """One service."""
    return _service_view(server, server.service(service_id))


@routes.patch("/services/{service_id}", dependencies=[allow(Permission.EDIT_SERVICE_PARAMS)])
def change_service(server: Security, service_id: str, body: ServiceUpdate) -> dict[str, Any]:
    """Change address, time limit and TLS check, of one service or of its whole description."""
    _require_url(body.url)
    client = server.service(service_id).client
    if body.ssl_auth and not body.ignore_warnings:
        listed = server.store.all(TlsCertificateRecord, f"{client}|")
        code = provider_tls.warning(body.url, {record.certificate for record in listed})
        if code is not None:
            raise warnings_detected((code, [body.url]))
    with server.store.transaction():
        service = server.service(service_id)
        for other in server.services_of(service.client):
            if other.description != service.description:
                continue
            is_it = other.code == service.code
            changes: dict[str, object] = {}
            if is_it or body.url_all:
                changes["url"] = body.url
            if is_it or body.timeout_all:
                changes["timeout_seconds"] = body.timeout
            if is_it or body.ssl_auth_all:
                changes["verify_tls"] = body.ssl_auth
            if changes:
                server.store.put(other.having(**changes))
        return _service_view(server, server.service(service_id))


@routes.post(
    "/services/{service_id}/endpoints", dependencies=[allow(Permission.ADD_OPENAPI3_ENDPOINT)], status_code=201
)
def add_endpoint(server: Security, service_id: str, body: EndpointAdd) -> dict[str, Any]:
    """A new endpoint; 409 if the service has it."""
    if body.id is not None:
        raise bad_request("endpoint_id_should_not_be_provided")
    with server.store.transaction():
        service = server.service(service_id)
        if server.description(service.description).type is ServiceType.WSDL:
            raise bad_request("wrong_servicedescription_type")
        for endpoint in server.endpoints_of(service):
            if (endpoint.method, endpoint.path) == (body.method, body.path):
                raise conflict("endpoint_already_exists")
        record = services.add_endpoint(
            server, service.client, service.code, body.method, body.path, generated=False
        )
    return _endpoint_view(record)


def _endpoint(server: SecurityServer, text: str) -> EndpointRecord:
    number = _number(text, "endpoint_not_found")
    found = server.store.get(EndpointRecord, f"{number:08d}")
    if found is None:
        raise not_found("endpoint_not_found", text)
    return found


@routes.get("/endpoints/{number}", dependencies=[allow(Permission.VIEW_ENDPOINT)])
def get_endpoint(server: Security, number: str) -> dict[str, Any]:
    """One endpoint."""
    return _endpoint_view(_endpoint(server, number))


@routes.patch("/endpoints/{number}", dependencies=[allow(Permission.EDIT_OPENAPI3_ENDPOINT)])
def change_endpoint(server: Security, number: str, body: EndpointUpdate) -> dict[str, Any]:
    """Change an endpoint that no description generated."""
    with server.store.transaction():
        record = _endpoint(server, number)
        if record.generated:
            raise bad_request("illegal_generated_endpoint_update", number)
        record = record.having(method=body.method, path=body.path)
        server.store.put(record)
    return _endpoint_view(record)


@routes.delete("/endpoints/{number}", dependencies=[allow(Permission.DELETE_ENDPOINT)], status_code=204)
def delete_endpoint(server: Security, number: str) -> None:
    """Remove an endpoint that no description generated, and the rights to it."""
    with server.store.transaction():
        record = _endpoint(server, number)
        if record.generated:
            raise bad_request("illegal_generated_endpoint_remove", number)
        services.remove_endpoint(server, record)


def _subject(server: SecurityServer, text: str) -> tuple[str, SubjectType]:
    """The holder that an identifier means; 400 if it means nobody."""
    parts = text.split(":")
    parameters = server.api_configuration()
    if len(parts) == 1 and text.isdigit():
        if server.store.get(LocalGroupRecord, f"{int(text):08d}") is None:
            raise bad_request("service_client_not_found", text)
        return text, SubjectType.LOCALGROUP
    if len(parts) == 2:
        known = {f"{parameters.instance}:{group.code}" for group in parameters.global_groups}
        if text not in known:
            raise bad_request("service_client_not_found", text)
        return text, SubjectType.GLOBALGROUP
    try:
        client = ClientId.parse(text)
    except ValueError:
        raise bad_request("invalid_service_client_id", text) from None
    if client.subsystem_code is None or not parameters.knows(client):
        raise bad_request("service_client_not_found", text)
    return str(client), SubjectType.SUBSYSTEM


def _subject_view(server: SecurityServer, right: AccessRightRecord) -> dict[str, Any]:
    view: dict[str, Any] = {
        "id": right.subject,
        "service_client_type": right.subject_type,
        "rights_given_at": timestamp(right.given_at),
        "name": _subject_name(server, right.subject, right.subject_type),
    }
    if right.subject_type is SubjectType.LOCALGROUP:
        group = server.store.get(LocalGroupRecord, f"{int(right.subject):08d}")
        if group is not None:
            view["local_group_code"] = group.code
    return view


def _subject_name(server: SecurityServer, subject: str, type_: SubjectType) -> str:
    parameters = server.last_configuration()
    if type_ is SubjectType.LOCALGROUP:
        group = server.store.get(LocalGroupRecord, f"{int(subject):08d}")
        return subject if group is None else group.description
    if parameters is None:
        return subject
    if type_ is SubjectType.GLOBALGROUP:
        code = subject.partition(":")[2]
        names = {group.code: group.description for group in parameters.global_groups}
        return names.get(code, subject)
    member = parameters.member(ClientId.parse(subject))
    return subject if member is None else member.name


def _give(
    server: SecurityServer, endpoint: EndpointRecord, subject: str, type_: SubjectType
) -> AccessRightRecord:
    record = AccessRightRecord(
        client=endpoint.client,
        endpoint=endpoint.id,
        subject=subject,
        subject_type=type_,
        given_at=now(),
    )
    if server.store.get(AccessRightRecord, record.key) is not None:
        raise conflict("duplicate_accessright", subject)
    server.store.put(record)
    return record


def _take(server: SecurityServer, endpoint: EndpointRecord, subject: str) -> None:
    record = server.store.get(AccessRightRecord, f"{endpoint.key}|{subject}")
    if record is None:
        raise conflict("accessright_not_found", subject)
    server.store.delete(record)


def _rights_of_client(server: SecurityServer, client: str) -> list[AccessRightRecord]:
    return [r for r in server.store.all(AccessRightRecord) if r.client == client]


@routes.get("/clients/{client_id}/service-clients", dependencies=[allow(Permission.VIEW_CLIENT_ACL_SUBJECTS)])
def list_service_clients(server: Security, client_id: str) -> list[dict[str, Any]]:
    """Everybody with a right to some service of the client, at the time of the first right."""
    first: dict[str, AccessRightRecord] = {}
    for right in _rights_of_client(server, server.client(client_id).id):
        known = first.get(right.subject)
        if known is None or right.given_at < known.given_at:
            first[right.subject] = right
    return [_subject_view(server, first[subject]) for subject in sorted(first)]


@routes.get(
    "/clients/{client_id}/service-clients/{subject_id}",
    dependencies=[allow(Permission.VIEW_CLIENT_ACL_SUBJECTS)],
)
def get_service_client(server: Security, client_id: str, subject_id: str) -> dict[str, Any]:
    """One holder of rights."""
    for right in _rights_of_client(server, server.client(client_id).id):
        if right.subject == subject_id:
            return _subject_view(server, right)
    raise not_found("service_client_not_found", subject_id)


@routes.get(
    "/clients/{client_id}/service-clients/{subject_id}/access-rights",
    dependencies=[allow(Permission.VIEW_ACL_SUBJECT_OPEN_SERVICES)],
)
def list_access_rights(server: Security, client_id: str, subject_id: str) -> list[dict[str, Any]]:
    """Whole services that one holder may call; 404 if it holds no right."""
    client = server.client(client_id)
    subject, _ = _subject(server, subject_id)
    rights = []
    for service in server.services_of(client.id):
        endpoint = server.base_endpoint(service)
        right = server.store.get(AccessRightRecord, f"{endpoint.key}|{subject}")
        if right is not None:
            rights.append(_right_view(service, right))
    if not rights:
        raise not_found("service_client_not_found", subject_id)
    return rights


def _right_view(service: ServiceRecord, right: AccessRightRecord) -> dict[str, Any]:
    view = {"service_code": service.code, "rights_given_at": timestamp(right.given_at)}
    if service.title:
        view["service_title"] = service.title
    return view


def _services_by_code(server: SecurityServer, client: str, wanted: AccessRights) -> list[ServiceRecord]:
    known = {service.code: service for service in server.services_of(client)}
    for item in wanted.items:
        if item.service_code not in known:
            raise bad_request("service_not_found", item.service_code)
    return [known[item.service_code] for item in wanted.items]


@routes.post(
    "/clients/{client_id}/service-clients/{subject_id}/access-rights",
    dependencies=[allow(Permission.EDIT_ACL_SUBJECT_OPEN_SERVICES)],
    status_code=201,
)
def give_access_rights(
    server: Security, client_id: str, subject_id: str, body: AccessRights
) -> list[dict[str, Any]]:
    """Let a holder call whole services; 409 for all if it may call one already."""
    client = server.client(client_id)
    subject, type_ = _subject(server, subject_id)
    with server.store.transaction():
        return [
            _right_view(service, _give(server, server.base_endpoint(service), subject, type_))
            for service in _services_by_code(server, client.id, body)
        ]


@routes.post(
    "/clients/{client_id}/service-clients/{subject_id}/access-rights/delete",
    dependencies=[allow(Permission.EDIT_ACL_SUBJECT_OPEN_SERVICES)],
    status_code=204,
)
def take_access_rights(server: Security, client_id: str, subject_id: str, body: AccessRights) -> None:
    """Take rights to whole services away; 409 for all if one isn't there."""
    client = server.client(client_id)
    with server.store.transaction():
        for service in _services_by_code(server, client.id, body):
            _take(server, server.base_endpoint(service), subject_id)


@routes.get(
    "/clients/{client_id}/service-client-candidates", dependencies=[allow(Permission.VIEW_CLIENT_ACL_SUBJECTS)]
)
def list_candidates(
    server: Security,
    client_id: str,
    service_client_type: SubjectType | None = None,
    member_class: str | None = None,
    member_group_code: str | None = None,
    subsystem_code: str | None = None,
) -> list[dict[str, Any]]:
    """Everybody who could be given a right."""
    client, parameters = server.client(client_id), server.api_configuration()
    found: list[tuple[str, SubjectType]] = []
    for member in parameters.members:
        if member_class is not None and member.member_class != member_class:
            continue
        if member_group_code is not None and member.code != member_group_code:
            continue
        owner = f"{parameters.instance}:{member.member_class}:{member.code}"
        found += [
            (f"{owner}:{subsystem.code}", SubjectType.SUBSYSTEM)
            for subsystem in member.subsystems
            if subsystem_code in (None, subsystem.code)
        ]
    found += [
        (f"{parameters.instance}:{group.code}", SubjectType.GLOBALGROUP)
        for group in parameters.global_groups
        if member_group_code in (None, group.code)
    ]
    found += [
        (str(group.id), SubjectType.LOCALGROUP)
        for group in server.store.all(LocalGroupRecord)
        if group.client == client.id and member_group_code in (None, group.code)
    ]
    return [
        {
            "id": subject,
            "name": _subject_name(server, subject, type_),
            "service_client_type": type_,
        }
        for subject, type_ in found
        if service_client_type in (None, type_)
    ]


def _holders(server: SecurityServer, endpoint: EndpointRecord) -> list[dict[str, Any]]:
    rights = server.store.all(AccessRightRecord, f"{endpoint.key}|")
    return [_subject_view(server, right) for right in rights]


def _give_all(server: SecurityServer, endpoint: EndpointRecord, body: ServiceClients) -> list[dict[str, Any]]:
    with server.store.transaction():
        for item in body.items:
            subject, type_ = _subject(server, item.id)
            if item.service_client_type not in (None, type_):
                raise bad_request("invalid_service_client_id", item.id)
            _give(server, endpoint, subject, type_)
    return _holders(server, endpoint)


def _take_all(server: SecurityServer, endpoint: EndpointRecord, body: ServiceClients) -> None:
    with server.store.transaction():
        for item in body.items:
            _take(server, endpoint, item.id)


@routes.get("/services/{service_id}/service-clients", dependencies=[allow(Permission.VIEW_SERVICE_ACL)])
def list_holders_of_service(server: Security, service_id: str) -> list[dict[str, Any]]:
    """Everybody with a right to the whole service."""
    return _holders(server, server.base_endpoint(server.service(service_id)))


@routes.post(
    "/services/{service_id}/service-clients", dependencies=[allow(Permission.EDIT_SERVICE_ACL)], status_code=201
)
def give_service(server: Security, service_id: str, body: ServiceClients) -> list[dict[str, Any]]:
    """Let holders call the whole service."""
    return _give_all(server, server.base_endpoint(server.service(service_id)), body)


@routes.post(
    "/services/{service_id}/service-clients/delete",
    dependencies=[allow(Permission.EDIT_SERVICE_ACL)],
    status_code=204,
)
def take_service(server: Security, service_id: str, body: ServiceClients) -> None:
    """Take rights to the whole service away."""
    _take_all(server, server.base_endpoint(server.service(service_id)), body)


@routes.get("/endpoints/{number}/service-clients", dependencies=[allow(Permission.VIEW_ENDPOINT_ACL)])
def list_holders_of_endpoint(server: Security, number: str) -> list[dict[str, Any]]:
    """Everybody with a right to the endpoint."""
    return _holders(server, _endpoint(server, number))


@routes.post(
    "/endpoints/{number}/service-clients", dependencies=[allow(Permission.EDIT_ENDPOINT_ACL)], status_code=201
)
def give_endpoint(server: Security, number: str, body: ServiceClients) -> list[dict[str, Any]]:
    """Let holders call the endpoint."""
    return _give_all(server, _endpoint(server, number), body)


@routes.post(
    "/endpoints/{number}/service-clients/delete",
    dependencies=[allow(Permission.EDIT_ENDPOINT_ACL)],
    status_code=204,
)
def take_endpoint(server: Security, number: str, body: ServiceClients) -> None:
    """Take rights to the endpoint away."""
    _take_all(server, _endpoint(server, number), body)
