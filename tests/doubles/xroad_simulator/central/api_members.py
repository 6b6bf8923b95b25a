"""Admin API of the central server: member classes, members, subsystems, groups, clients."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from xroad_simulator.authentication import Role, allow
from xroad_simulator.central import views
from xroad_simulator.central.records import (
    OWNERS_GROUP,
    AuthenticationCertificateRecord,
    GlobalGroupRecord,
    GroupMember,
    MemberClassRecord,
    MemberRecord,
    ServerClientRecord,
    ServerRecord,
    SubsystemRecord,
)
from xroad_simulator.central.server import Central, CentralServer
from xroad_simulator.certificates import decode, details
from xroad_simulator.clock import now, timestamp
from xroad_simulator.errors import bad_request, conflict, not_found, validation_failure
from xroad_simulator.identifiers import ClientId, is_identifier_part
from xroad_simulator.paging import Page

_REGISTRATION = (Role.REGISTRATION_OFFICER,)
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


class GlobalGroup(_Body):
    """Body of a new global group."""

    code: str = Field(min_length=1, max_length=255)
    description: str = _DESCRIPTION


class Members(_Body):
    """Clients to add to a group."""

    items: tuple[str, ...]


class ServerAddress(_Body):
    """Body of a change of a server's address."""

    server_address: str = Field(min_length=1, max_length=255)


def _require_identifier(field: str, text: str) -> None:
    if not is_identifier_part(text):
        raise validation_failure(field, "IdentifierChars")


def _member_class(server: CentralServer, code: str) -> MemberClassRecord:
    found = server.store.get(MemberClassRecord, code)
    if found is None:
        raise not_found("member_class_not_found", code)
    return found


@routes.get("/member-classes", dependencies=[allow(Role.SECURITY_OFFICER, Role.REGISTRATION_OFFICER)])
def list_member_classes(server: Central) -> list[dict[str, str]]:
    """Every member class."""
    records = server.store.all(MemberClassRecord)
    return [{"code": record.code, "description": record.description} for record in records]


@routes.post("/member-classes", dependencies=[allow(Role.SECURITY_OFFICER)], status_code=201)
def add_member_class(server: Central, body: MemberClass) -> dict[str, str]:
    """A new member class; 409 if the code is taken."""
    _require_identifier("code", body.code)
    with server.store.transaction():
        if server.store.get(MemberClassRecord, body.code) is not None:
            raise conflict("member_class_exists", body.code)
        server.store.put(MemberClassRecord(code=body.code, description=body.description))
    return {"code": body.code, "description": body.description}


@routes.patch("/member-classes/{code}", dependencies=[allow(Role.SECURITY_OFFICER)])
def change_member_class(server: Central, code: str, body: Description) -> dict[str, str]:
    """Change the description."""
    with server.store.transaction():
        server.store.put(_member_class(server, code).having(description=body.description))
    return {"code": code, "description": body.description}


@routes.delete("/member-classes/{code}", dependencies=[allow(Role.SECURITY_OFFICER)], status_code=204)
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


@routes.post("/members", dependencies=[allow(*_REGISTRATION)], status_code=201)
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


@routes.get("/members/{member_id}", dependencies=[allow(*_REGISTRATION)])
def get_member(server: Central, member_id: str) -> dict[str, Any]:
    """One member."""
    return views.client(server, _identifier(server, server.member(member_id)))


@routes.patch("/members/{member_id}", dependencies=[allow(*_REGISTRATION)])
def change_member(server: Central, member_id: str, body: MemberName) -> dict[str, Any]:
    """Change the name."""
    with server.store.transaction():
        record = server.member(member_id).having(name=body.member_name)
        server.store.put(record)
    return views.client(server, _identifier(server, record))


@routes.delete("/members/{member_id}", dependencies=[allow(*_REGISTRATION)], status_code=204)
def delete_member(server: Central, member_id: str) -> None:
    """Remove a member with its subsystems, servers and registrations."""
    with server.store.transaction():
        record = server.member(member_id)
        server.store.delete(record)
        for owned in server.store.all(ServerRecord, f"{record.key}:"):
            _remove_server(server, owned)
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


def _remove_server(server: CentralServer, record: ServerRecord) -> None:
    for certificate in server.store.all(AuthenticationCertificateRecord, f"{record.key}:"):
        server.store.delete(certificate)
    for registration in server.store.all(ServerClientRecord, f"{record.key}|"):
        server.store.delete(registration)
    server.store.delete(record)
    owner = record.identifier(server.instance).owner
    if not server.store.all(ServerRecord, f"{record.member_class}:{record.member_code}:"):
        place = server.store.get(GroupMember, f"{OWNERS_GROUP}:{owner}")
        if place is not None:
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


@routes.get("/members/{member_id}/subsystems", dependencies=[allow(*_REGISTRATION)])
def list_subsystems(server: Central, member_id: str) -> list[dict[str, Any]]:
    """The member's subsystems and where they are registered."""
    owned = server.store.all(SubsystemRecord, f"{server.member(member_id).key}:")
    return [_subsystem_view(server, record) for record in owned]


@routes.get("/members/{member_id}/owned-servers", dependencies=[allow(*_REGISTRATION)])
def list_owned_servers(server: Central, member_id: str) -> list[dict[str, Any]]:
    """The servers that the member owns."""
    owned = server.store.all(ServerRecord, f"{server.member(member_id).key}:")
    return [views.security_server(server, record) for record in owned]


@routes.get("/members/{member_id}/global-groups", dependencies=[allow(*_REGISTRATION)])
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


@routes.post("/subsystems", dependencies=[allow(*_REGISTRATION)], status_code=201)
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


@routes.patch("/subsystems/{subsystem_id}", dependencies=[allow(*_REGISTRATION)])
def change_subsystem(server: Central, subsystem_id: str, body: SubsystemName) -> dict[str, Any]:
    """Change the name."""
    with server.store.transaction():
        record = server.subsystem(subsystem_id).having(name=body.subsystem_name or None)
        server.store.put(record)
    return views.client(server, _subsystem_identifier(server, record))


@routes.delete("/subsystems/{subsystem_id}", dependencies=[allow(*_REGISTRATION)], status_code=204)
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
    dependencies=[allow(*_REGISTRATION)],
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


@routes.get("/clients", dependencies=[allow(Role.SECURITY_OFFICER, Role.REGISTRATION_OFFICER)])
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


@routes.get("/security-servers", dependencies=[allow(*_REGISTRATION)])
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


@routes.get("/security-servers/{server_id}", dependencies=[allow(*_REGISTRATION)])
def get_security_server(server: Central, server_id: str) -> dict[str, Any]:
    """One registered server."""
    return views.security_server(server, server.server(server_id))


@routes.patch("/security-servers/{server_id}", dependencies=[allow(*_REGISTRATION)])
def change_security_server(server: Central, server_id: str, body: ServerAddress) -> dict[str, Any]:
    """Change the address at which others reach the server."""
    with server.store.transaction():
        record = server.server(server_id).having(address=body.server_address, updated_at=now())
        server.store.put(record)
    return views.security_server(server, record)


@routes.delete("/security-servers/{server_id}", dependencies=[allow(*_REGISTRATION)], status_code=204)
def delete_security_server(server: Central, server_id: str) -> None:
    """Remove a server with its certificates and registrations."""
    with server.store.transaction():
        _remove_server(server, server.server(server_id))


@routes.get(
    "/security-servers/{server_id}/authentication-certificates",
    dependencies=[allow(*_REGISTRATION)],
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
    dependencies=[allow(*_REGISTRATION)],
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


@routes.get("/security-servers/{server_id}/clients", dependencies=[allow(*_REGISTRATION)])
def list_clients_of_server(server: Central, server_id: str) -> list[dict[str, Any]]:
    """Clients that are registered to the server."""
    clients = server.clients_of(server.server(server_id))
    return [views.client(server, client) for client in clients]


def _group(server: CentralServer, code: str) -> GlobalGroupRecord:
    found = server.store.get(GlobalGroupRecord, code)
    if found is None:
        raise not_found("global_group_not_found", code)
    return found


def _group_view(server: CentralServer, record: GlobalGroupRecord) -> dict[str, Any]:
    return {
        "code": record.code,
        "description": record.description,
        "member_count": len(server.store.all(GroupMember, f"{record.code}:")),
        "created_at": timestamp(record.created_at),
        "updated_at": timestamp(record.updated_at),
    }


@routes.get("/global-groups", dependencies=[allow(*_REGISTRATION)])
def list_global_groups(server: Central) -> list[dict[str, Any]]:
    """Every global group."""
    return [_group_view(server, record) for record in server.store.all(GlobalGroupRecord)]


@routes.post("/global-groups", dependencies=[allow(*_REGISTRATION)], status_code=201)
def add_global_group(server: Central, body: GlobalGroup) -> dict[str, Any]:
    """A new group; 409 if the code is taken."""
    _require_identifier("code", body.code)
    moment = now()
    with server.store.transaction():
        if server.store.get(GlobalGroupRecord, body.code) is not None:
            raise conflict("global_group_exists", body.code)
        record = GlobalGroupRecord(
            code=body.code, description=body.description, created_at=moment, updated_at=moment
        )
        server.store.put(record)
    return _group_view(server, record)


@routes.get("/global-groups/{code}", dependencies=[allow(*_REGISTRATION)])
def get_global_group(server: Central, code: str) -> dict[str, Any]:
    """One group."""
    return _group_view(server, _group(server, code))


@routes.patch("/global-groups/{code}", dependencies=[allow(*_REGISTRATION)])
def change_global_group(server: Central, code: str, body: Description) -> dict[str, Any]:
    """Change the description."""
    with server.store.transaction():
        record = _group(server, code).having(description=body.description, updated_at=now())
        server.store.put(record)
    return _group_view(server, record)


@routes.delete("/global-groups/{code}", dependencies=[allow(*_REGISTRATION)], status_code=204)
def delete_global_group(server: Central, code: str) -> None:
    """Remove a group; the owners' group can't be."""
    with server.store.transaction():
        record = _group(server, code)
        if code == OWNERS_GROUP:
            raise conflict("owners_global_group_cannot_be_deleted")
        for place in server.store.all(GroupMember, f"{code}:"):
            server.store.delete(place)
        server.store.delete(record)


@routes.post("/global-groups/{code}/members/add", dependencies=[allow(*_REGISTRATION)], status_code=201)
def add_group_members(server: Central, code: str, body: Members) -> dict[str, list[str]]:
    """Add clients; those inside already stay. Returns those that were added."""
    with server.store.transaction():
        _group(server, code)
        if code == OWNERS_GROUP:
            raise bad_request("cannot_add_member_to_owners_group")
        added = []
        for text in body.items:
            client = ClientId.parse(text)
            if server.store.get(GroupMember, f"{code}:{client}") is None:
                server.add_to_group(code, client)
                added.append(text)
    return {"items": added}


@routes.post("/global-groups/{code}/members", dependencies=[allow(*_REGISTRATION)])
def list_group_members(server: Central, code: str) -> dict[str, Any]:
    """The group's members, all on one page: the filters of the body aren't applied."""
    _group(server, code)
    items = []
    for place in server.store.all(GroupMember, f"{code}:"):
        client = ClientId.parse(place.client)
        member = server.find_member(client)
        items.append(
            {
                "id": place.id,
                "client_id": views.client_id(client),
                "created_at": timestamp(place.created_at),
                "name": str(client) if member is None else member.name,
            }
        )
    count = len(items)
    metadata = {"total_items": count, "items": count, "limit": max(count, 1), "offset": 0}
    return {"items": items, "paging_metadata": metadata}


@routes.delete(
    "/global-groups/{code}/members/{client_id}",
    dependencies=[allow(*_REGISTRATION)],
    status_code=204,
)
def delete_group_member(server: Central, code: str, client_id: str) -> None:
    """Take a client out of a group."""
    with server.store.transaction():
        _group(server, code)
        if code == OWNERS_GROUP:
            raise conflict("owners_global_group_member_cannot_be_deleted")
        place = server.store.get(GroupMember, f"{code}:{client_id}")
        if place is None:
            raise not_found("member_not_found", client_id)
        server.store.delete(place)
