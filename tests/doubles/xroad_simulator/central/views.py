"""Objects of the central server as its API shows them."""

from __future__ import annotations

from typing import Any

from xroad_simulator.central.records import RequestRecord, ServerRecord, SigningKeyRecord
from xroad_simulator.central.server import CentralServer
from xroad_simulator.certificates import decode, fingerprint
from xroad_simulator.clock import timestamp
from xroad_simulator.identifiers import ClientId, ServerId
from xroad_simulator.software_token import TOKEN_ID


def client_id(client: ClientId) -> dict[str, Any]:
    """`ClientId`."""
    view = {
        "instance_id": client.instance,
        "type": "MEMBER" if client.subsystem_code is None else "SUBSYSTEM",
        "member_class": client.member_class,
        "member_code": client.member_code,
        "encoded_id": str(client),
    }
    if client.subsystem_code is not None:
        view["subsystem_code"] = client.subsystem_code
    return view


def server_id(identifier: ServerId) -> dict[str, Any]:
    """`SecurityServerId`."""
    return {
        "instance_id": identifier.instance,
        "type": "SERVER",
        "member_class": identifier.member_class,
        "member_code": identifier.member_code,
        "server_code": identifier.server_code,
        "encoded_id": str(identifier),
    }


def client(server: CentralServer, identifier: ClientId) -> dict[str, Any]:
    """`Client`: identifier and name of its member."""
    member = server.find_member(identifier)
    view: dict[str, Any] = {"client_id": client_id(identifier)}
    if member is not None:
        view["member_name"] = member.name
    return view


def security_server(server: CentralServer, record: ServerRecord) -> dict[str, Any]:
    """`SecurityServer`."""
    identifier = record.identifier(server.instance)
    owner = server.find_member(identifier.owner)
    view: dict[str, Any] = {
        "server_id": server_id(identifier),
        "owner_name": "" if owner is None else owner.name,
        "server_address": record.address,
        "in_maintenance_mode": record.in_maintenance,
        "created_at": timestamp(record.created_at),
        "updated_at": timestamp(record.updated_at),
    }
    if record.maintenance_message:
        view["maintenance_mode_message"] = record.maintenance_message
    return view


def _owner_name(server: CentralServer, request: RequestRecord) -> str:
    owner = server.find_member(request.server_id.owner)
    return "" if owner is None else owner.name


def request_in_list(server: CentralServer, request: RequestRecord) -> dict[str, Any]:
    """`ManagementRequestListView`."""
    view: dict[str, Any] = {
        "id": request.id,
        "type": request.type,
        "origin": request.origin,
        "status": request.status,
        "security_server_owner": _owner_name(server, request),
        "security_server_id": server_id(request.server_id),
        "created_at": timestamp(request.created_at),
    }
    if request.address:
        view["address"] = request.address
    client_of_request = request.client_id
    if client_of_request is not None:
        member = server.find_member(client_of_request)
        view["client_id"] = client_id(client_of_request)
        view["client_owner_name"] = "" if member is None else member.name
        if request.subsystem_name:
            view["client_subsystem_name"] = request.subsystem_name
    return view


def request(server: CentralServer, record: RequestRecord) -> dict[str, Any]:
    """`ManagementRequest` of the record's type."""
    view: dict[str, Any] = {
        "id": record.id,
        "type": record.type,
        "origin": record.origin,
        "status": record.status,
        "security_server_owner": _owner_name(server, record),
        "security_server_id": record.server,
        "created_at": timestamp(record.created_at),
        "updated_at": timestamp(record.updated_at),
    }
    if record.client is not None:
        view["client_id"] = record.client
    if record.address is not None:
        view["server_address"] = record.address
    if record.certificate is not None:
        view["authentication_certificate"] = record.certificate
    if record.subsystem_name is not None:
        view["subsystem_name"] = record.subsystem_name
    return view


def signing_key(server: CentralServer, key: SigningKeyRecord) -> dict[str, Any]:
    """`ConfigurationSigningKey`."""
    return {
        "id": key.id,
        "active": key.active,
        "available": server.token.is_logged_in,
        "created_at": timestamp(key.created_at),
        "key_hash": fingerprint(decode(key.certificate)),
        "token_id": TOKEN_ID,
        "label": {"label": key.label},
        "possible_actions": [] if key.active else ["ACTIVATE", "DELETE"],
        "source_type": key.source,
        "key_algorithm": key.algorithm,
    }
