"""Admin API of the central server: member classes, members, subsystems, groups, clients."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from xroad_simulator.authentication import allow
from xroad_simulator.central import views
from xroad_simulator.central.api_servers import remove_server
from xroad_simulator.central.permissions import Permission
from xroad_simulator.central.records import (
    GroupMember,
    MemberClassRecord,
    MemberRecord,
    ServerClientRecord,
    ServerRecord,
    SubsystemRecord,
)
from xroad_simulator.central.server import Central, CentralServer
from xroad_simulator.clock import timestamp
from xroad_simulator.errors import conflict, not_found, validation_failure
from xroad_simulator.identifiers import ClientId, is_identifier_part
from xroad_simulator.paging import Page

_DESCRIPTION = Field(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9\-_,.;:!? ]*$")

routes = APIRouter()


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MemberClass(_Body):
    """Body of a new member class."""

    code: str = Field(min_length=1, max_length=255)
    description: str = _DESCRIPTION


class Description(_Body):
    """Body of a change of description."""

    description: str = _DESCRIPTION


class NewMemberId(_Body):
    """A member's class and code."""

    member_class: str = Field(min_length=1, max_length=255)
    member_code: str = Field(min_length=1, max_length=255)


class MemberName(_Body):
    """Body of a change of a member's name."""

    member_name: str = Field(min_length=1, max_length=255)


class MemberAdd(MemberName):
    """Body of a new member."""

    member_id: NewMemberId


class NewSubsystemId(NewMemberId):
    """A subsystem's member and code."""

    subsystem_code: str = Field(min_length=1, max_length=255)


class SubsystemName(_Body):
    """Body of a change of a subsystem's name."""

    subsystem_name: str = Field(default="", max_length=255)


class SubsystemAdd(SubsystemName):
    """Body of a new subsystem."""

    subsystem_id: NewSubsystemId


def _require_identifier(field: str, text: str) -> None:
    if not is_identifier_part(text):
        raise validation_failure(field, "IdentifierChars")


def _member_class(server: CentralServer, code: str) -> MemberClassRecord:
    found = server.store.get(MemberClassRecord, code)
    if found is None:
        raise not_found("member_class_not_found", code)
    return found


@routes.get("/member-classes", dependencies=[allow(Permission.VIEW_MEMBER_CLASSES)])
def list_member_classes(server: Central) -> list[dict[str, str]]:
    """Every member class."""
    records = server.store.all(MemberClassRecord)
    return [{"code": record.code, "description": record.description} for record in records]


@routes.post("/member-classes", dependencies=[allow(Permission.ADD_MEMBER_CLASS)], status_code=201)
def add_member_class(server: Central, body: MemberClass) -> dict[str, str]:
    """A new member class; 409 if the code is taken."""
    _require_identifier("code", body.code)
    with server.store.transaction():
        if server.store.get(MemberClassRecord, body.code) is not None:
            raise conflict("member_class_exists", body.code)
        server.store.put(MemberClassRecord(code=body.code, description=body.description))
    return {"code": body.code, "description": body.description}


@routes.patch("/member-classes/{code}", dependencies=[allow(Permission.EDIT_MEMBER_CLASS)])
def change_member_class(server: Central, code: str, body: Description) -> dict[str, str]:
    """Change the description."""
    with server.store.transaction():
        server.store.put(_member_class(server, code).having(description=body.description))
    return {"code": code, "description": body.description}


@routes.delete("/member-classes/{code}", dependencies=[allow(Permission.DELETE_MEMBER_CLASS)], status_code=204)
def delete_member_class(server: Central, code: str) -> None:
    """Remove a class that no member has."""
    with server.store.transaction():
        record = _member_class(server, code)
        if server.store.all(MemberRecord, f"{code}:"):
            raise conflict("member_class_is_in_use", code)
        server.store.delete(record)


def _identifier(server: CentralServer, record: MemberRecord) -> ClientId:
    return ClientId(server.instance, record.member_class, record.code)


def _subsystem_identifier(server: CentralServer, record: SubsystemRecord) -> ClientId:
    return ClientId(server.instance, record.member_class, record.member_code, record.code)


@routes.post("/members", dependencies=[allow(Permission.ADD_NEW_MEMBER)], status_code=201)
def add_member(server: Central, body: MemberAdd) -> dict[str, Any]:
    """A new member; 409 if the code is taken in its class."""
    identifier = ClientId(server.instance, body.member_id.member_class, body.member_id.member_code)
    _require_identifier("memberAdd.memberId.memberCode", identifier.member_code)
    with server.store.transaction():
        _member_class(server, identifier.member_class)
        if server.find_member(identifier) is not None:
            raise conflict("member_exists", str(identifier))
        server.store.put(
            MemberRecord(
                member_class=identifier.member_class,
                code=identifier.member_code,
                name=body.member_name,
            )
        )
    return views.client(server, identifier)


@routes.get("/members/{member_id}", dependencies=[allow(Permission.VIEW_MEMBER_DETAILS)])
def get_member(server: Central, member_id: str) -> dict[str, Any]:
    """One member."""
    return views.client(server, _identifier(server, server.member(member_id)))


@routes.patch("/members/{member_id}", dependencies=[allow(Permission.EDIT_MEMBER_NAME)])
def change_member(server: Central, member_id: str, body: MemberName) -> dict[str, Any]:
    """Change the name."""
    with server.store.transaction():
        record = server.member(member_id).having(name=body.member_name)
        server.store.put(record)
    return views.client(server, _identifier(server, record))


@routes.delete("/members/{member_id}", dependencies=[allow(Permission.DELETE_MEMBER)], status_code=204)
def delete_member(server: Central, member_id: str) -> None:
    """Remove a member with its subsystems, servers and registrations."""
    with server.store.transaction():
        record = server.member(member_id)
        server.store.delete(record)
        for owned in server.store.all(ServerRecord, f"{record.key}:"):
            remove_server(server, owned)
        for subsystem in server.store.all(SubsystemRecord, f"{record.key}:"):
            _remove_client(server, _subsystem_identifier(server, subsystem))
            server.store.delete(subsystem)
        _remove_client(server, _identifier(server, record))


def _remove_client(server: CentralServer, client: ClientId) -> None:
    local = ":".join(client.parts[1:])
    for registration in server.store.all(ServerClientRecord):
        if registration.client == local:
            server.store.delete(registration)
    for place in server.store.all(GroupMember):
        if place.client == str(client):
            server.store.delete(place)


def _subsystem_view(server: CentralServer, record: SubsystemRecord) -> dict[str, Any]:
    identifier = _subsystem_identifier(server, record)
    used = [
        {
            "encoded_id": str(host.identifier(server.instance)),
            "server_code": host.code,
            "server_owner": host.member_code,
            "status": "APPROVED",
        }
        for host in server.store.all(ServerRecord)
        if identifier in server.clients_of(host)
    ]
    view: dict[str, Any] = {
        "subsystem_id": views.client_id(identifier),
        "used_security_servers": used,
    }
    if record.name:
        view["subsystem_name"] = record.name
    return view


@routes.get("/members/{member_id}/subsystems", dependencies=[allow(Permission.VIEW_MEMBER_DETAILS)])
def list_subsystems(server: Central, member_id: str) -> list[dict[str, Any]]:
    """The member's subsystems and where they are registered."""
    owned = server.store.all(SubsystemRecord, f"{server.member(member_id).key}:")
    return [_subsystem_view(server, record) for record in owned]


@routes.get("/members/{member_id}/owned-servers", dependencies=[allow(Permission.VIEW_MEMBER_DETAILS)])
def list_owned_servers(server: Central, member_id: str) -> list[dict[str, Any]]:
    """The servers that the member owns."""
    owned = server.store.all(ServerRecord, f"{server.member(member_id).key}:")
    return [views.security_server(server, record) for record in owned]


@routes.get("/members/{member_id}/used-servers", dependencies=[allow(Permission.VIEW_MEMBER_DETAILS)])
def list_used_servers(server: Central, member_id: str) -> list[dict[str, Any]]:
    """Servers of others to which the member itself is registered as a client."""
    client = _identifier(server, server.member(member_id))
    return [
        views.security_server(server, host)
        for host in server.store.all(ServerRecord)
        if server.registration(host, client) is not None
    ]


@routes.delete(
    "/members/{member_id}/servers/{server_id}",
    dependencies=[allow(Permission.UNREGISTER_MEMBER)],
    status_code=204,
)
def unregister_member(server: Central, member_id: str, server_id: str) -> None:
    """Take a member off a server that isn't its own."""
    with server.store.transaction():
        client = _identifier(server, server.member(member_id))
        registration = server.registration(server.server(server_id), client)
        if registration is None:
            raise not_found("member_not_registered_to_security_server", member_id, server_id)
        server.store.delete(registration)


@routes.get("/members/{member_id}/global-groups", dependencies=[allow(Permission.VIEW_MEMBER_DETAILS)])
def list_groups_of_member(server: Central, member_id: str) -> list[dict[str, Any]]:
    """Groups that the member or one of its subsystems belongs to."""
    member = _identifier(server, server.member(member_id))
    return [
        {
            "group_code": place.group,
            "subsystem": ClientId.parse(place.client).subsystem_code or "",
            "added_to_group": timestamp(place.created_at),
        }
        for place in server.store.all(GroupMember)
        if ClientId.parse(place.client).member == member
    ]


@routes.post("/subsystems", dependencies=[allow(Permission.ADD_MEMBER_SUBSYSTEM)], status_code=201)
def add_subsystem(server: Central, body: SubsystemAdd) -> dict[str, Any]:
    """A new subsystem; 409 if the code is taken at its member."""
    wanted = body.subsystem_id
    identifier = ClientId(server.instance, wanted.member_class, wanted.member_code, wanted.subsystem_code)
    _require_identifier("subsystemAdd.subsystemId.subsystemCode", wanted.subsystem_code)
    with server.store.transaction():
        if server.find_member(identifier) is None:
            raise not_found("member_not_found", str(identifier.member))
        if server.find_subsystem(identifier) is not None:
            raise conflict("subsystem_exists", str(identifier))
        server.store.put(
            SubsystemRecord(
                member_class=wanted.member_class,
                member_code=wanted.member_code,
                code=wanted.subsystem_code,
                name=body.subsystem_name or None,
            )
        )
    return views.client(server, identifier)


@routes.patch("/subsystems/{subsystem_id}", dependencies=[allow(Permission.EDIT_MEMBER_SUBSYSTEM)])
def change_subsystem(server: Central, subsystem_id: str, body: SubsystemName) -> dict[str, Any]:
    """Change the name."""
    with server.store.transaction():
        record = server.subsystem(subsystem_id).having(name=body.subsystem_name or None)
        server.store.put(record)
    return views.client(server, _subsystem_identifier(server, record))


@routes.delete(
    "/subsystems/{subsystem_id}", dependencies=[allow(Permission.REMOVE_MEMBER_SUBSYSTEM)], status_code=204
)
def delete_subsystem(server: Central, subsystem_id: str) -> None:
    """Remove a subsystem that is registered nowhere."""
    with server.store.transaction():
        record = server.subsystem(subsystem_id)
        if _subsystem_view(server, record)["used_security_servers"]:
            raise conflict("subsystem_registered_and_cannot_be_deleted", subsystem_id)
        _remove_client(server, _subsystem_identifier(server, record))
        server.store.delete(record)


@routes.delete(
    "/subsystems/{subsystem_id}/servers/{server_id}",
    dependencies=[allow(Permission.UNREGISTER_SUBSYSTEM)],
    status_code=204,
)
def unregister_subsystem(server: Central, subsystem_id: str, server_id: str) -> None:
    """Take a subsystem off a server."""
    with server.store.transaction():
        subsystem = server.subsystem(subsystem_id)
        record = ServerClientRecord(server=server.server(server_id).key, client=subsystem.key)
        if server.store.get(ServerClientRecord, record.key) is None:
            raise not_found("subsystem_not_registered_to_security_server", subsystem_id, server_id)
        server.store.delete(record)


@routes.get("/clients", dependencies=[allow(Permission.SEARCH_MEMBERS, Permission.VIEW_MEMBERS)])
def find_clients(
    server: Central,
    page: Page,
    q: str = "",
    name: str = "",
    instance: str = "",
    member_class: str = "",
    member_code: str = "",
    subsystem_code: str = "",
    client_type: str | None = None,
    security_server: str | None = None,
    excluding_group: str | None = None,
) -> dict[str, Any]:
    """Members and subsystems that match every given filter; texts match parts."""
    members = server.store.all(MemberRecord)
    names = {member.key: member.name for member in members}
    found = [_identifier(server, record) for record in members]
    found += [_subsystem_identifier(server, r) for r in server.store.all(SubsystemRecord)]

    def has(part: str | None, wanted: str) -> bool:
        return wanted.lower() in (part or "").lower()

    def name_of(client: ClientId) -> str:
        return names.get(f"{client.member_class}:{client.member_code}", "")

    if security_server is not None:
        hosted = set(server.clients_of(server.server(security_server)))
        found = [client for client in found if client in hosted]
    if excluding_group is not None:
        inside = {place.client for place in server.store.all(GroupMember, f"{excluding_group}:")}
        found = [client for client in found if str(client) not in inside]
    if client_type is not None:
        wants_member = client_type == "MEMBER"
        found = [client for client in found if (client.subsystem_code is None) is wants_member]
    found = [
        client
        for client in found
        if has(name_of(client), name)
        and has(client.instance, instance)
        and has(client.member_class, member_class)
        and has(client.member_code, member_code)
        and has(client.subsystem_code, subsystem_code)
        and (has(str(client), q) or has(name_of(client), q))
    ]
    cut, metadata = page.cut(
        sorted(found, key=str),
        {
            "id": str,
            "client_id.member_class": lambda client: client.member_class,
            "client_id.member_code": lambda client: client.member_code,
            "client_id.subsystem_code": lambda client: client.subsystem_code or "",
            "member_name": name_of,
        },
    )
    return {"clients": [views.client(server, c) for c in cut], "paging_metadata": metadata}
