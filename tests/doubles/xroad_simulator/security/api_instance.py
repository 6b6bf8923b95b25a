"""Admin API of the security server: what the configuration tells of the instance."""

from typing import Any

from fastapi import APIRouter

from xroad_simulator.authentication import allow
from xroad_simulator.errors import bad_request, not_found
from xroad_simulator.identifiers import ClientId, ServerId
from xroad_simulator.security.permissions import Permission
from xroad_simulator.security.server import Security, SecurityServer

routes = APIRouter()


@routes.get("/xroad-instances", dependencies=[allow(Permission.VIEW_XROAD_INSTANCES)])
def list_instances(server: Security) -> list[dict[str, Any]]:
    """The own instance."""
    return [{"identifier": server.instance, "local": True}]


@routes.get("/member-classes", dependencies=[allow(Permission.VIEW_MEMBER_CLASSES)])
def list_member_classes(server: Security) -> list[str]:
    """Member classes of the configuration."""
    return [record.code for record in server.api_configuration().member_classes]


@routes.get("/member-names", dependencies=[allow(Permission.INIT_CONFIG)])
def member_name(server: Security, member_class: str, member_code: str) -> dict[str, str]:
    """A member's name."""
    member = server.api_configuration().member(ClientId(server.instance, member_class, member_code))
    if member is None:
        raise not_found("member_name_not_found")
    return {"member_name": member.name}


@routes.get("/security-servers", dependencies=[allow(Permission.VIEW_SECURITY_SERVERS)])
def list_security_servers(server: Security, current_server: bool = False) -> list[dict[str, str]]:
    """Servers of the configuration, or the own one."""
    if current_server:
        return [_security_server_view(server, server.initialized_id())]
    identifiers = [ServerId.parse(s.id) for s in server.api_configuration().security_servers]
    return [_security_server_view(server, identifier) for identifier in identifiers]


def _security_server_view(server: SecurityServer, identifier: ServerId) -> dict[str, str]:
    parameters = server.last_configuration()
    registered = None if parameters is None else parameters.server(identifier)
    view = {
        "id": str(identifier),
        "instance_id": identifier.instance,
        "member_class": identifier.member_class,
        "member_code": identifier.member_code,
        "server_code": identifier.server_code,
    }
    if registered is not None:
        view["server_address"] = registered.address
    return view


@routes.get("/security-servers/{identifier}", dependencies=[allow(Permission.INIT_CONFIG)])
def get_security_server(server: Security, identifier: str) -> dict[str, str]:
    """One server of the configuration."""
    try:
        parsed = ServerId.parse(identifier)
    except ValueError:
        raise bad_request("invalid_security_server_id", identifier) from None
    if server.api_configuration().server(parsed) is None:
        raise not_found("security_server_not_found", identifier)
    return _security_server_view(server, parsed)


@routes.get("/member-classes/{instance}", dependencies=[allow(Permission.VIEW_MEMBER_CLASSES)])
def list_member_classes_of_instance(server: Security, instance: str) -> list[str]:
    """Member classes of an instance; 404 for any but the own."""
    if instance != server.instance:
        raise not_found("instance_identifier_not_found", instance)
    return list_member_classes(server)


@routes.get("/clients/{client_id}/security-servers", dependencies=[allow(Permission.VIEW_SECURITY_SERVERS)])
def list_servers_of_client(server: Security, client_id: str) -> list[dict[str, str]]:
    """Servers where a client is registered."""
    try:
        client = ClientId.parse(client_id)
    except ValueError:
        raise bad_request("invalid_client_id", client_id) from None
    found = server.api_configuration().servers_of(client)
    return [_security_server_view(server, ServerId.parse(other.id)) for other in found]
