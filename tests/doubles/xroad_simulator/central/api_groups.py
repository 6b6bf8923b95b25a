"""Admin API of the central server: global groups and their members."""

from dataclasses import dataclass
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from xroad_simulator.authentication import allow
from xroad_simulator.central import views
from xroad_simulator.central.permissions import Permission
from xroad_simulator.central.records import OWNERS_GROUP, GlobalGroupRecord, GroupMember
from xroad_simulator.central.server import Central, CentralServer
from xroad_simulator.clock import now, timestamp
from xroad_simulator.errors import bad_request, conflict, not_found, validation_failure
from xroad_simulator.identifiers import ClientId, is_identifier_part
from xroad_simulator.paging import Paging

_DESCRIPTION = Field(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9\-_,.;:!? ]*$")

routes = APIRouter()


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Description(_Body):
    """Body of a change of description."""

    description: str = _DESCRIPTION


class GlobalGroup(_Body):
    """Body of a new global group."""

    code: str = Field(min_length=1, max_length=255)
    description: str = _DESCRIPTION


class Members(_Body):
    """Clients to add to a group."""

    items: tuple[str, ...]


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


@routes.get("/global-groups", dependencies=[allow(Permission.VIEW_GLOBAL_GROUPS)])
def list_global_groups(server: Central) -> list[dict[str, Any]]:
    """Every global group."""
    return [_group_view(server, record) for record in server.store.all(GlobalGroupRecord)]


@routes.post("/global-groups", dependencies=[allow(Permission.ADD_GLOBAL_GROUP)], status_code=201)
def add_global_group(server: Central, body: GlobalGroup) -> dict[str, Any]:
    """A new group; 409 if the code is taken."""
    if not is_identifier_part(body.code):
        raise validation_failure("code", "IdentifierChars")
    moment = now()
    with server.store.transaction():
        if server.store.get(GlobalGroupRecord, body.code) is not None:
            raise conflict("global_group_exists", body.code)
        record = GlobalGroupRecord(
            code=body.code, description=body.description, created_at=moment, updated_at=moment
        )
        server.store.put(record)
    return _group_view(server, record)


@routes.get("/global-groups/{code}", dependencies=[allow(Permission.VIEW_GROUP_DETAILS)])
def get_global_group(server: Central, code: str) -> dict[str, Any]:
    """One group."""
    return _group_view(server, _group(server, code))


@routes.patch("/global-groups/{code}", dependencies=[allow(Permission.EDIT_GROUP_DESCRIPTION)])
def change_global_group(server: Central, code: str, body: Description) -> dict[str, Any]:
    """Change the description."""
    with server.store.transaction():
        record = _group(server, code).having(description=body.description, updated_at=now())
        server.store.put(record)
    return _group_view(server, record)


@routes.delete("/global-groups/{code}", dependencies=[allow(Permission.DELETE_GROUP)], status_code=204)
def delete_global_group(server: Central, code: str) -> None:
    """Remove a group; the owners' group can't be."""
    with server.store.transaction():
        record = _group(server, code)
        if code == OWNERS_GROUP:
            raise conflict("owners_global_group_cannot_be_deleted")
        for place in server.store.all(GroupMember, f"{code}:"):
            server.store.delete(place)
        server.store.delete(record)


@dataclass(frozen=True, slots=True)
class _Place:
    """A member of a group with what it can be told by."""

    record: GroupMember
    client: ClientId
    name: str

    @property
    def type(self) -> str:
        return "MEMBER" if self.client.subsystem_code is None else "SUBSYSTEM"

    def view(self) -> dict[str, Any]:
        """`GroupMemberListView`."""
        return {
            "id": self.record.id,
            "client_id": views.client_id(self.client),
            "created_at": timestamp(self.record.created_at),
            "name": self.name,
        }


def _members(server: CentralServer, code: str) -> list[_Place]:
    found = []
    for record in server.store.all(GroupMember, f"{code}:"):
        client = ClientId.parse(record.client)
        member = server.find_member(client)
        found.append(_Place(record, client, record.client if member is None else member.name))
    return found


class PagingSorting(_Body):
    """Which page of a list, in which order."""

    sort: str | None = None
    desc: bool = False
    limit: int = 25
    offset: int = 0


class GroupMembersFilter(_Body):
    """Body of a search among a group's members."""

    query: str | None = None
    member_class: str | None = None
    instance: str | None = None
    codes: tuple[str, ...] | None = None
    subsystems: tuple[str, ...] | None = None
    types: tuple[Literal["MEMBER", "SUBSYSTEM"], ...] | None = None
    paging_sorting: PagingSorting = PagingSorting()

    def paging(self) -> Paging:
        """400 if there can be no such page."""
        wanted = self.paging_sorting
        return Paging(wanted.sort, wanted.desc, wanted.limit, wanted.offset)

    def admits(self, place: _Place) -> bool:
        """Whether a member matches every given filter."""
        client, text = place.client, (self.query or "").lower()
        return (
            (text in str(client).lower() or text in place.name.lower())
            and self.member_class in (None, "", client.member_class)
            and self.instance in (None, "", client.instance)
            and (not self.codes or client.member_code in self.codes)
            and (not self.subsystems or client.subsystem_code in self.subsystems)
            and (not self.types or place.type in self.types)
        )


@routes.post(
    "/global-groups/{code}/members/add",
    dependencies=[allow(Permission.ADD_AND_REMOVE_GROUP_MEMBERS)],
    status_code=201,
)
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


@routes.post("/global-groups/{code}/members", dependencies=[allow(Permission.VIEW_GROUP_DETAILS)])
def list_group_members(server: Central, code: str, body: GroupMembersFilter) -> dict[str, Any]:
    """The group's members that match every given filter; `query` matches parts of name and identifier."""
    _group(server, code)
    places = [place for place in _members(server, code) if body.admits(place)]
    cut, metadata = body.paging().cut(
        places,
        {
            "name": lambda place: place.name,
            "type": lambda place: place.type,
            "instance": lambda place: place.client.instance,
            "class": lambda place: place.client.member_class,
            "code": lambda place: place.client.member_code,
            "subsystem": lambda place: place.client.subsystem_code or "",
            "created_at": lambda place: place.record.created_at,
        },
    )
    return {"items": [place.view() for place in cut], "paging_metadata": metadata}


@routes.get("/global-groups/{code}/members/filter-model", dependencies=[allow(Permission.VIEW_GROUP_DETAILS)])
def group_filter_model(server: Central, code: str) -> dict[str, list[str]]:
    """What the group's members can be filtered by."""
    _group(server, code)
    clients = [place.client for place in _members(server, code)]
    return {
        "instances": sorted({client.instance for client in clients}),
        "member_classes": sorted({client.member_class for client in clients}),
        "codes": sorted({client.member_code for client in clients}),
        "subsystems": sorted({client.subsystem_code for client in clients if client.subsystem_code}),
    }


@routes.delete(
    "/global-groups/{code}/members/{client_id}",
    dependencies=[allow(Permission.ADD_AND_REMOVE_GROUP_MEMBERS)],
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
