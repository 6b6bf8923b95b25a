"""Admin API of the security server: clients and their TLS certificates."""

from typing import Any

from fastapi import APIRouter
from pydantic import Field

from xroad_simulator.authentication import allow
from xroad_simulator.bodies import Body, RawBody
from xroad_simulator.certificates import (
    CertificateError,
    decode,
    details,
    encode,
    fingerprint,
    parse_certificate,
)
from xroad_simulator.errors import (
    bad_request,
    conflict,
    not_found,
    validation_failure,
    warnings_detected,
)
from xroad_simulator.identifiers import ClientId, is_identifier_part
from xroad_simulator.security import management
from xroad_simulator.security.api_local_groups import remove_group
from xroad_simulator.security.pending import PendingName, subsystem_name
from xroad_simulator.security.permissions import Permission
from xroad_simulator.security.records import (
    CertificateRecord,
    ClientRecord,
    ClientStatus,
    ConnectionType,
    DescriptionRecord,
    LocalGroupRecord,
    TlsCertificateRecord,
    Usage,
)
from xroad_simulator.security.server import Security, SecurityServer
from xroad_simulator.security.services import remove_description

routes = APIRouter()


class NewClient(Body):
    """A client as a caller describes it; what the server sets itself is ignored."""

    id: str | None = None
    instance_id: str | None = None
    member_name: str | None = None
    member_class: str = Field(min_length=1, max_length=255)
    member_code: str = Field(min_length=1, max_length=255)
    subsystem_code: str | None = Field(default=None, min_length=1, max_length=255)
    subsystem_name: str | None = None
    connection_type: ConnectionType = ConnectionType.HTTPS


class ClientAdd(Body):
    """Body of a new client."""

    client: NewClient
    ignore_warnings: bool = False


class ConnectionTypeWrapper(Body):
    """Body of a change of the connection type."""

    connection_type: ConnectionType


class ClientName(Body):
    """Body of a change of a subsystem's name."""

    client_name: str = Field(min_length=1, max_length=255)


def _view(server: SecurityServer, record: ClientRecord) -> dict[str, Any]:
    client, parameters = record.client, server.last_configuration()
    view: dict[str, Any] = {
        "id": record.id,
        "instance_id": client.instance,
        "member_class": client.member_class,
        "member_code": client.member_code,
        "owner": client == server.owner,
        "has_valid_local_sign_cert": (server.active_certificate(Usage.SIGNING, client) is not None),
        "is_management_services_provider": (
            parameters is not None and parameters.management_service_provider == record.id
        ),
        "connection_type": record.connection_type,
        "status": record.status,
    }
    pending = server.pending.names.get(record.id)
    if pending is not None:
        view["rename_status"] = "NAME_SUBMITTED" if pending.submitted else "NAME_SET"
    member = None if parameters is None else parameters.member(client)
    if member is not None:
        view["member_name"] = member.name
    if client.subsystem_code is not None:
        view["subsystem_code"] = client.subsystem_code
        name = "" if parameters is None else subsystem_name(parameters, client)
        if pending is not None:
            name = pending.new
        if name:
            view["subsystem_name"] = name
    return view


@routes.get("/clients", dependencies=[allow(Permission.VIEW_CLIENTS)])
def find_clients(
    server: Security,
    name: str | None = None,
    instance: str | None = None,
    member_class: str | None = None,
    member_code: str | None = None,
    subsystem_code: str | None = None,
    show_members: bool = True,
    internal_search: bool = True,
    local_valid_sign_cert: bool | None = None,
    exclude_local: bool = False,
) -> list[dict[str, Any]]:
    """Clients that match every given filter: the server's own, or those of the whole instance."""
    local = server.store.all(ClientRecord)
    views = [] if exclude_local else [_view(server, record) for record in local]
    if not internal_search:
        known = {record.id for record in local}
        views += [view for view in _global_views(server) if view["id"] not in known]
    wanted = {
        "member_name": name,
        "instance_id": instance,
        "member_class": member_class,
        "member_code": member_code,
        "subsystem_code": subsystem_code,
    }
    return [
        view
        for view in views
        if all(
            text is None or text.lower() in str(view.get(field, "")).lower() for field, text in wanted.items()
        )
        and (show_members or "subsystem_code" in view)
        and (local_valid_sign_cert is None or view.get("has_valid_local_sign_cert") is local_valid_sign_cert)
    ]


def _global_views(server: SecurityServer) -> list[dict[str, Any]]:
    parameters = server.api_configuration()
    views: list[dict[str, Any]] = []
    for member in parameters.members:
        identifier = ClientId(parameters.instance, member.member_class, member.code)
        common = {
            "instance_id": identifier.instance,
            "member_class": identifier.member_class,
            "member_code": identifier.member_code,
            "member_name": member.name,
        }
        views.append({"id": str(identifier), **common})
        views += [
            {"id": f"{identifier}:{subsystem.code}", **common, "subsystem_code": subsystem.code}
            for subsystem in member.subsystems
        ]
    return views


@routes.post("/clients", dependencies=[allow(Permission.ADD_CLIENT)], status_code=201)
def add_client(server: Security, body: ClientAdd) -> dict[str, Any]:
    """Represent a client; it is registered at once if the central server has it here already."""
    wanted, owner = body.client, server.initialized_id().owner
    for field in ("member_class", "member_code", "subsystem_code"):
        value = getattr(wanted, field)
        if value is not None and not is_identifier_part(value):
            raise validation_failure(f"clientAdd.client.{field}", "IdentifierChars")
    identifier = ClientId(owner.instance, wanted.member_class, wanted.member_code, wanted.subsystem_code)
    parameters = server.api_configuration()
    if wanted.member_class not in {record.code for record in parameters.member_classes}:
        raise bad_request("invalid_member_class", wanted.member_class)
    with server.store.transaction():
        existing = server.store.all(ClientRecord)
        if any(record.id == str(identifier) for record in existing):
            raise conflict("client_already_exists", str(identifier))
        if identifier.subsystem_code is None and any(
            record.client.subsystem_code is None and record.client != owner for record in existing
        ):
            raise conflict("additional_member_already_exists")
        if parameters.member(identifier) is None and not body.ignore_warnings:
            raise warnings_detected(("unregistered_member", [str(identifier.member)]))
        registered = parameters.server(server.initialized_id())
        is_registered = registered is not None and str(identifier) in registered.clients
        record = ClientRecord(
            id=str(identifier),
            status=ClientStatus.REGISTERED if is_registered else ClientStatus.SAVED,
            connection_type=wanted.connection_type,
        )
        server.store.put(record)
    name = subsystem_name(parameters, identifier)
    if wanted.subsystem_name and wanted.subsystem_name != name:
        server.pending.names[record.id] = PendingName(name, wanted.subsystem_name, submitted=False)
    return _view(server, record)


@routes.get("/clients/{client_id}", dependencies=[allow(Permission.VIEW_CLIENT_DETAILS)])
def get_client(server: Security, client_id: str) -> dict[str, Any]:
    """One client."""
    return _view(server, server.client(client_id))


@routes.patch("/clients/{client_id}", dependencies=[allow(Permission.EDIT_CLIENT_INTERNAL_CONNECTION_TYPE)])
def change_client(server: Security, client_id: str, body: ConnectionTypeWrapper) -> dict[str, Any]:
    """Change how the client's information system has to connect."""
    with server.store.transaction():
        record = server.client(client_id).having(connection_type=body.connection_type)
        server.store.put(record)
    return _view(server, record)


@routes.delete("/clients/{client_id}", dependencies=[allow(Permission.DELETE_CLIENT)], status_code=204)
def delete_client(server: Security, client_id: str) -> None:
    """Remove a client that isn't registered, with everything that belongs to it."""
    with server.store.transaction():
        record = server.client(client_id)
        if record.client == server.owner:
            raise conflict("cannot_delete_owner")
        if record.status not in (
            ClientStatus.SAVED,
            ClientStatus.DELETION_IN_PROGRESS,
            ClientStatus.GLOBAL_ERROR,
        ):
            raise conflict("action_not_possible")
        registered = server.api_configuration().server(server.initialized_id())
        if registered is not None and record.id in registered.clients:
            raise conflict("action_not_possible")
        for description in server.store.all(DescriptionRecord):
            if description.client == record.id:
                remove_description(server, description)
        for group in server.store.all(LocalGroupRecord):
            if group.client == record.id:
                remove_group(server, group)
        for certificate in server.store.all(TlsCertificateRecord, f"{record.id}|"):
            server.store.delete(certificate)
        server.store.delete(record)


@routes.put(
    "/clients/{client_id}/register", dependencies=[allow(Permission.SEND_CLIENT_REG_REQ)], status_code=204
)
def register_client(server: Security, client_id: str) -> None:
    """Ask the central server to register the client: a message to the management services."""
    record = server.client(client_id)
    if record.client == server.owner:
        raise bad_request("cannot_register_owner")
    if record.status is not ClientStatus.SAVED:
        raise conflict("action_not_possible")
    pending = server.pending.names.get(record.id)
    named = {} if pending is None else {"subsystem_name": pending.new}
    management.send(server, "clientReg", client=record.id, **named)
    if pending is not None:
        pending.submitted = True
    server.store.put(record.having(status=ClientStatus.REGISTRATION_IN_PROGRESS))


@routes.put(
    "/clients/{client_id}/unregister", dependencies=[allow(Permission.SEND_CLIENT_DEL_REQ)], status_code=204
)
def unregister_client(server: Security, client_id: str) -> None:
    """Ask the central server to take the client off this server."""
    record = server.client(client_id)
    if record.status not in (
        ClientStatus.REGISTERED,
        ClientStatus.REGISTRATION_IN_PROGRESS,
        ClientStatus.DISABLED,
    ):
        raise conflict("action_not_possible")
    if record.client == server.owner:
        raise conflict("cannot_unregister_owner")
    management.send(server, "clientDeletion", client=record.id)
    server.store.put(record.having(status=ClientStatus.DELETION_IN_PROGRESS))


@routes.put("/clients/{client_id}/disable", dependencies=[allow(Permission.DISABLE_CLIENT)], status_code=204)
def disable_client(server: Security, client_id: str) -> None:
    """Ask the central server to leave the client out of the configuration for a while."""
    record = server.client(client_id)
    if record.status is not ClientStatus.REGISTERED:
        raise conflict("action_not_possible")
    if record.id == server.api_configuration().management_service_provider:
        raise conflict("forbidden_disable_management_service_client")
    management.send(server, "clientDisable", client=record.id)
    server.store.put(record.having(status=ClientStatus.DISABLING_IN_PROGRESS))


@routes.put("/clients/{client_id}/enable", dependencies=[allow(Permission.ENABLE_CLIENT)], status_code=204)
def enable_client(server: Security, client_id: str) -> None:
    """Ask the central server to put a disabled client back into the configuration."""
    record = server.client(client_id)
    if record.status is not ClientStatus.DISABLED:
        raise conflict("action_not_possible")
    management.send(server, "clientEnable", client=record.id)
    server.store.put(record.having(status=ClientStatus.ENABLING_IN_PROGRESS))


@routes.put("/clients/{client_id}/rename", dependencies=[allow(Permission.RENAME_SUBSYSTEM)], status_code=204)
def rename_client(server: Security, client_id: str, body: ClientName) -> None:
    """Name a subsystem: at once if it is registered, else together with its registration."""
    record = server.client(client_id)
    if record.client.subsystem_code is None:
        raise conflict("action_not_possible")
    old = subsystem_name(server.api_configuration(), record.client)
    if body.client_name == old:
        raise conflict("invalid_client_name")
    if record.status not in (ClientStatus.SAVED, ClientStatus.REGISTERED):
        raise conflict("action_not_possible")
    is_registered = record.status is ClientStatus.REGISTERED
    if is_registered:
        pending = server.pending.names.get(record.id)
        if pending is not None and pending.submitted:
            raise conflict("client_rename_already_submitted")
        management.send(server, "clientRename", client=record.id, subsystem_name=body.client_name)
    server.pending.names[record.id] = PendingName(old, body.client_name, submitted=is_registered)


@routes.put(
    "/clients/{client_id}/make-owner", dependencies=[allow(Permission.SEND_OWNER_CHANGE_REQ)], status_code=204
)
def make_owner(server: Security, client_id: str) -> None:
    """Ask the central server to give this server to another member; that waits for an approval."""
    record = server.client(client_id)
    if record.client.subsystem_code is not None:
        raise conflict("action_not_possible")
    if record.client == server.owner:
        raise conflict("member_already_owner")
    if record.status is not ClientStatus.REGISTERED:
        raise conflict("action_not_possible")
    management.send(server, "ownerChange", client=record.id)


@routes.get("/clients/{client_id}/orphans", dependencies=[allow(Permission.DELETE_CLIENT)])
def get_orphans(server: Security, client_id: str) -> dict[str, bool]:
    """Whether a deleted client left certificates behind."""
    if not _orphans(server, client_id):
        raise not_found("orphans_not_found")
    return {"orphans_exist": True}


@routes.delete("/clients/{client_id}/orphans", dependencies=[allow(Permission.DELETE_CLIENT)], status_code=204)
def delete_orphans(server: Security, client_id: str) -> None:
    """Remove what a deleted client left behind."""
    with server.store.transaction():
        orphans = _orphans(server, client_id)
        if not orphans:
            raise not_found("orphans_not_found")
        for record in orphans:
            server.store.delete(record)


def _orphans(server: SecurityServer, client_id: str) -> list[CertificateRecord]:
    member = ClientId.parse(client_id).member
    if any(record.client.member == member for record in server.store.all(ClientRecord)):
        return []
    return [
        record
        for record in server.store.all(CertificateRecord)
        if record.usage is Usage.SIGNING and record.owner == str(member)
    ]


@routes.get("/clients/{client_id}/sign-certificates", dependencies=[allow(Permission.VIEW_CLIENT_DETAILS)])
def list_sign_certificates(server: Security, client_id: str) -> list[dict[str, Any]]:
    """Signing certificates of the client's member."""
    member = str(server.client(client_id).client.member)
    return [
        {
            "certificate_details": details(decode(record.certificate)),
            "status": record.status,
            "active": record.active,
            "saved_to_configuration": True,
            "owner_id": record.owner,
            "ocsp_status": "OCSP_RESPONSE_GOOD" if record.active else "DISABLED",
        }
        for record in server.store.all(CertificateRecord)
        if record.usage is Usage.SIGNING and record.owner == member
    ]


@routes.get(
    "/clients/{client_id}/tls-certificates",
    dependencies=[allow(Permission.VIEW_CLIENT_INTERNAL_CERTS)],
)
def list_tls_certificates(server: Security, client_id: str) -> list[dict[str, Any]]:
    """TLS certificates of the client's information systems."""
    record = server.client(client_id)
    stored = server.store.all(TlsCertificateRecord, f"{record.id}|")
    return [details(decode(certificate.certificate)) for certificate in stored]


@routes.post(
    "/clients/{client_id}/tls-certificates",
    dependencies=[allow(Permission.ADD_CLIENT_INTERNAL_CERT)],
    status_code=201,
)
def add_tls_certificate(server: Security, client_id: str, content: RawBody) -> dict[str, Any]:
    """Know an information system by its TLS certificate."""
    try:
        certificate = parse_certificate(content)
    except CertificateError:
        raise bad_request("invalid_cert") from None
    with server.store.transaction():
        record = TlsCertificateRecord(
            client=server.client(client_id).id,
            hash=fingerprint(certificate),
            certificate=encode(certificate),
        )
        if server.store.get(TlsCertificateRecord, record.key) is not None:
            raise conflict("certificate_already_exists")
        server.store.put(record)
    server.trust_information_system(certificate)
    return details(certificate)


def _tls_certificate(server: SecurityServer, client_id: str, hash_: str) -> TlsCertificateRecord:
    found = server.store.get(TlsCertificateRecord, f"{server.client(client_id).id}|{hash_.upper()}")
    if found is None:
        raise not_found("certificate_not_found", hash_)
    return found


@routes.get(
    "/clients/{client_id}/tls-certificates/{hash_}",
    dependencies=[allow(Permission.VIEW_CLIENT_INTERNAL_CERT_DETAILS)],
)
def get_tls_certificate(server: Security, client_id: str, hash_: str) -> dict[str, Any]:
    """One TLS certificate of the client's information systems."""
    return details(decode(_tls_certificate(server, client_id, hash_).certificate))


@routes.delete(
    "/clients/{client_id}/tls-certificates/{hash_}",
    dependencies=[allow(Permission.DELETE_CLIENT_INTERNAL_CERT)],
    status_code=204,
)
def delete_tls_certificate(server: Security, client_id: str, hash_: str) -> None:
    """Forget a TLS certificate."""
    with server.store.transaction():
        server.store.delete(_tls_certificate(server, client_id, hash_))
