"""Admin API of the security server: local groups of clients."""

from typing import Any

from fastapi import APIRouter
from pydantic import Field

from xroad_simulator.authentication import allow
from xroad_simulator.bodies import Body
from xroad_simulator.clock import now, timestamp
from xroad_simulator.errors import conflict, not_found
from xroad_simulator.identifiers import ClientId
from xroad_simulator.security.permissions import Permission
from xroad_simulator.security.records import AccessRightRecord, LocalGroupMemberRecord, LocalGroupRecord
from xroad_simulator.security.server import Security, SecurityServer

_DESCRIPTION = Field(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9\-_,.;:!? ]*$")

routes = APIRouter()


class LocalGroupAdd(Body):
    """Body of a new local group."""

    code: str = Field(min_length=1, max_length=255)
    description: str = _DESCRIPTION


class LocalGroupDescription(Body):
    """Body of a change of a local group."""

    description: str = _DESCRIPTION


class Members(Body):
    """Clients to add to a group or to take out."""

    items: tuple[str, ...]


def _group(server: SecurityServer, group_id: str) -> LocalGroupRecord:
    found = None
    if group_id.isdigit():
        found = server.store.get(LocalGroupRecord, f"{int(group_id):08d}")
    if found is None:
        raise not_found("local_group_not_found", group_id)
    return found


def _group_view(server: SecurityServer, record: LocalGroupRecord) -> dict[str, Any]:
    members = server.store.all(LocalGroupMemberRecord, f"{record.key}|")
    return {
        "id": str(record.id),
        "code": record.code,
        "description": record.description,
        "member_count": len(members),
        "updated_at": timestamp(record.updated_at),
        "members": [
            {
                "id": place.client,
                "member_name": _member_name(server, place.client),
                "created_at": timestamp(place.added_at),
            }
            for place in members
        ],
    }


def _member_name(server: SecurityServer, client: str) -> str:
    parameters = server.last_configuration()
    member = None if parameters is None else parameters.member(ClientId.parse(client))
    return client if member is None else member.name


@routes.get("/clients/{client_id}/local-groups", dependencies=[allow(Permission.VIEW_CLIENT_LOCAL_GROUPS)])
def list_local_groups(server: Security, client_id: str) -> list[dict[str, Any]]:
    """The client's groups."""
    record = server.client(client_id)
    groups = server.store.all(LocalGroupRecord)
    return [_group_view(server, group) for group in groups if group.client == record.id]


@routes.post(
    "/clients/{client_id}/local-groups", dependencies=[allow(Permission.ADD_LOCAL_GROUP)], status_code=201
)
def add_local_group(server: Security, client_id: str, body: LocalGroupAdd) -> dict[str, Any]:
    """A new group; 409 if the client has one with this code."""
    with server.store.transaction():
        record = server.client(client_id)
        for group in server.store.all(LocalGroupRecord):
            if (group.client, group.code) == (record.id, body.code):
                raise conflict("local_group_code_already_exists", body.code)
        group = LocalGroupRecord(
            id=server.store.next_number("local_group"),
            client=record.id,
            code=body.code,
            description=body.description,
            updated_at=now(),
        )
        server.store.put(group)
    return _group_view(server, group)


@routes.get("/local-groups/{group_id}", dependencies=[allow(Permission.VIEW_CLIENT_LOCAL_GROUPS)])
def get_local_group(server: Security, group_id: str) -> dict[str, Any]:
    """One group."""
    return _group_view(server, _group(server, group_id))


@routes.patch("/local-groups/{group_id}", dependencies=[allow(Permission.EDIT_LOCAL_GROUP_DESC)])
def change_local_group(server: Security, group_id: str, body: LocalGroupDescription) -> dict[str, Any]:
    """Change the description."""
    with server.store.transaction():
        group = _group(server, group_id).having(description=body.description, updated_at=now())
        server.store.put(group)
    return _group_view(server, group)


def remove_group(server: SecurityServer, group: LocalGroupRecord) -> None:
    """Remove a group, its members and its rights."""
    for place in server.store.all(LocalGroupMemberRecord, f"{group.key}|"):
        server.store.delete(place)
    for right in server.store.all(AccessRightRecord):
        if right.subject == str(group.id):
            server.store.delete(right)
    server.store.delete(group)


@routes.delete("/local-groups/{group_id}", dependencies=[allow(Permission.DELETE_LOCAL_GROUP)], status_code=204)
def delete_local_group(server: Security, group_id: str) -> None:
    """Remove a group and the rights that it had."""
    with server.store.transaction():
        remove_group(server, _group(server, group_id))


@routes.post(
    "/local-groups/{group_id}/members",
    dependencies=[allow(Permission.EDIT_LOCAL_GROUP_MEMBERS)],
    status_code=201,
)
def add_local_group_members(server: Security, group_id: str, body: Members) -> dict[str, list[str]]:
    """Add subsystems; 409 if one is inside already."""
    with server.store.transaction():
        group = _group(server, group_id)
        for text in body.items:
            place = LocalGroupMemberRecord(group=group.id, client=text, added_at=now())
            if server.store.get(LocalGroupMemberRecord, place.key) is not None:
                raise conflict("local_group_member_already_exists", text)
            server.store.put(place)
    return {"items": list(body.items)}


@routes.post(
    "/local-groups/{group_id}/members/delete",
    dependencies=[allow(Permission.EDIT_LOCAL_GROUP_MEMBERS)],
    status_code=204,
)
def delete_local_group_members(server: Security, group_id: str, body: Members) -> None:
    """Take subsystems out; 409 if one isn't inside."""
    with server.store.transaction():
        group = _group(server, group_id)
        for text in body.items:
            place = server.store.get(LocalGroupMemberRecord, f"{group.key}|{text}")
            if place is None:
                raise conflict("local_group_member_not_found", text)
            server.store.delete(place)
