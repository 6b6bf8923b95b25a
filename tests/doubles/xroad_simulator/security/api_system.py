"""Admin API of the security server: initialization, anchor, system, diagnostics."""

import base64
from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Response
from pydantic import Field

from xroad_simulator import VERSION, parameters_xml
from xroad_simulator import global_configuration as gc
from xroad_simulator.authentication import allow
from xroad_simulator.bodies import Body, RawBody
from xroad_simulator.certificates import decode
from xroad_simulator.clock import now, timestamp
from xroad_simulator.errors import (
    bad_request,
    conflict,
    internal_error,
    not_found,
    validation_failure,
    warnings_detected,
)
from xroad_simulator.global_configuration import Anchor, ConfigurationError
from xroad_simulator.identifiers import ClientId, ServerId, is_identifier_part
from xroad_simulator.security import configuration_client, management
from xroad_simulator.security.contacts import Contact
from xroad_simulator.security.permissions import Permission
from xroad_simulator.security.records import (
    AnchorRecord,
    ClientRecord,
    ClientStatus,
    ConnectionType,
    ServerIdentity,
    TimestampingRecord,
)
from xroad_simulator.security.server import Security, SecurityServer

_MINIMUM_PIN_LENGTH, _MINIMUM_PIN_CLASSES = 10, 3
_JAVA = 21

routes = APIRouter()


class InitialServerConf(Body):
    """Body of the initialization; only what is missing is sent."""

    owner_member_class: str | None = Field(default=None, min_length=1, max_length=255)
    owner_member_code: str | None = Field(default=None, min_length=1, max_length=255)
    security_server_code: str | None = Field(default=None, min_length=1, max_length=255)
    software_token_pin: str | None = Field(default=None, min_length=1, max_length=255)
    ignore_warnings: bool = False


class TimestampingService(Body):
    """A time-stamping service as the configuration names it."""

    name: str = Field(min_length=1, max_length=255)
    url: str = Field(min_length=1, max_length=255)
    cost_type: str


class SecurityServerAddress(Body):
    """Body of an address change."""

    address: str = Field(min_length=1, max_length=255)


@routes.get("/initialization/status", dependencies=[allow()])
def initialization_status(server: Security) -> dict[str, Any]:
    """What has been initialized."""
    identity = server.identity
    return {
        "is_anchor_imported": server.anchor is not None,
        "is_server_code_initialized": identity.server_code is not None,
        "is_server_owner_initialized": identity.owner_code is not None,
        "software_token_init_status": ("INITIALIZED" if server.token.is_initialized else "NOT_INITIALIZED"),
        "enforce_token_pin_policy": server.settings.enforce_pin_policy,
    }


def require_pin_policy(server: SecurityServer, pin: str) -> None:
    """400 if the PIN is weaker than an enforced policy allows."""
    if not server.settings.enforce_pin_policy:
        return
    if not pin.isascii():
        raise bad_request("invalid_characters_pin")
    classes = sum(
        any(test(character) for character in pin)
        for test in (str.islower, str.isupper, str.isdigit, lambda c: not c.isalnum())
    )
    if len(pin) < _MINIMUM_PIN_LENGTH:
        raise bad_request("pin_min_length", str(_MINIMUM_PIN_LENGTH))
    if classes < _MINIMUM_PIN_CLASSES:
        raise bad_request("pin_min_char_classes_count", str(_MINIMUM_PIN_CLASSES))


@routes.post("/initialization", dependencies=[allow(Permission.INIT_CONFIG)], status_code=201)
def initialize(server: Security, body: InitialServerConf) -> Response:
    """Set the parts that are missing; 409 if none is, 400 if a part is missing or too many."""
    instance = server.instance
    with server.store.transaction():
        identity = server.identity
        needs = {
            "owner_member_class": identity.owner_class is None,
            "owner_member_code": identity.owner_code is None,
            "security_server_code": identity.server_code is None,
            "software_token_pin": not server.token.is_initialized,
        }
        if not any(needs.values()):
            raise conflict("server_already_fully_initialized")
        _check_parts(needs, body)
        owner = ClientId(
            instance,
            body.owner_member_class or identity.owner_class or "",
            body.owner_member_code or identity.owner_code or "",
        )
        code = body.security_server_code or identity.server_code or ""
        _check_warnings(server, owner, code, body.ignore_warnings)
        if needs["software_token_pin"]:
            require_pin_policy(server, body.software_token_pin or "")
            server.token.initialize(body.software_token_pin or "")
        server.store.put(
            ServerIdentity(owner_class=owner.member_class, owner_code=owner.member_code, server_code=code)
        )
        if server.store.get(ClientRecord, str(owner)) is None:
            server.store.put(
                ClientRecord(
                    id=str(owner),
                    status=ClientStatus.SAVED,
                    connection_type=ConnectionType.HTTPS,
                )
            )
    return Response(status_code=201)


def _check_parts(needs: dict[str, bool], body: InitialServerConf) -> None:
    absent_codes = {
        "owner_member_class": "member_class_not_provided",
        "owner_member_code": "member_code_not_provided",
        "security_server_code": "server_code_not_provided",
        "software_token_pin": "pin_code_not_provided",
    }
    surplus_codes = {
        "owner_member_class": "member_class_exists",
        "owner_member_code": "member_code_exists",
        "security_server_code": "server_code_exists",
        "software_token_pin": "pin_code_exists",
    }
    problems = [
        (absent_codes if is_needed else surplus_codes)[name]
        for name, is_needed in needs.items()
        if is_needed is (getattr(body, name) is None)
    ]
    if problems:
        raise bad_request("invalid_init_params", *problems)
    for name in ("owner_member_class", "owner_member_code", "security_server_code"):
        value = getattr(body, name)
        if value is not None and not is_identifier_part(value):
            raise validation_failure(f"initialServerConf.{name}", "IdentifierChars")


def _check_warnings(server: SecurityServer, owner: ClientId, code: str, ignore: bool) -> None:
    if ignore:
        return
    parameters = server.api_configuration()
    warnings: list[tuple[str, list[str]]] = []
    if parameters.member(owner) is None:
        warnings.append(("init_unregistered_member", [str(owner)]))
    identifier = ServerId(owner.instance, owner.member_class, owner.member_code, code)
    if parameters.server(identifier) is not None:
        warnings.append(("init_server_id_exists", [str(identifier)]))
    if warnings:
        raise warnings_detected(*warnings)


def _anchor_view(content: bytes, anchor: Anchor) -> dict[str, str]:
    return {"hash": gc.anchor_hash(content), "created_at": anchor.generated_at}


def _parse_anchor(content: bytes) -> Anchor:
    try:
        return Anchor.parse(content)
    except ConfigurationError as problem:
        raise bad_request(problem.code) from None


def _import_anchor(server: SecurityServer, content: bytes, anchor: Anchor) -> None:
    try:
        configuration_client.download(anchor)
    except ConfigurationError as problem:
        if problem.code == "conf_download_failed":
            raise internal_error(problem.code, problem.detail) from None
        raise conflict(problem.code, problem.detail) from None
    with server.store.transaction():
        server.store.put(AnchorRecord(content=base64.b64encode(content).decode()))
    configuration_client.update(server)


@routes.get("/system/anchor", dependencies=[allow(Permission.VIEW_ANCHOR)])
def get_anchor(server: Security) -> dict[str, str]:
    """Hash and time of the imported anchor."""
    record = server.store.get(AnchorRecord, "anchor")
    if record is None:
        raise not_found("anchor_not_found")
    content = base64.b64decode(record.content)
    return _anchor_view(content, Anchor.parse(content))


@routes.post("/system/anchor", dependencies=[allow(Permission.INIT_CONFIG)], status_code=201)
def import_anchor(server: Security, content: RawBody) -> Response:
    """Import the first anchor, once a configuration could be fetched with it."""
    if server.anchor is not None:
        raise conflict("anchor_already_exists")
    _import_anchor(server, content, _parse_anchor(content))
    return Response(status_code=201)


@routes.put("/system/anchor", dependencies=[allow(Permission.UPLOAD_ANCHOR)], status_code=201)
def replace_anchor(server: Security, content: RawBody) -> Response:
    """Replace the anchor by another of the same instance."""
    current = server.anchor
    if current is None:
        raise conflict("anchor_not_found")
    anchor = _parse_anchor(content)
    if anchor.instance != current.instance:
        raise bad_request("internal_anchor_upload_invalid_instance_id")
    _import_anchor(server, content, anchor)
    return Response(status_code=201)


# The definition says 201; X-Road answers 200 (`SystemApiController.java`).
@routes.post("/system/anchor/previews", dependencies=[allow(Permission.UPLOAD_ANCHOR)])
def preview_anchor(server: Security, content: RawBody, validate_instance: bool = True) -> dict[str, str]:
    """Hash and time of an anchor that isn't imported yet."""
    anchor = _parse_anchor(content)
    current = server.anchor
    if validate_instance and current is not None and anchor.instance != current.instance:
        raise bad_request("internal_anchor_upload_invalid_instance_id")
    return _anchor_view(content, anchor)


@routes.get("/system/anchor/download", dependencies=[allow(Permission.DOWNLOAD_ANCHOR)])
def download_anchor(server: Security) -> Response:
    """The imported anchor file."""
    record = server.store.get(AnchorRecord, "anchor")
    if record is None:
        raise not_found("anchor_not_found")
    return Response(
        base64.b64decode(record.content),
        media_type="application/xml",
        headers={"Content-Disposition": 'attachment; filename="configuration_anchor.xml"'},
    )


@routes.get("/system/version", dependencies=[allow(Permission.VIEW_VERSION)])
def system_version() -> dict[str, Any]:
    """The version, marked as the simulator's; the Java that X-Road 7.8 wants."""
    return {
        "info": f"Security Server version {VERSION}",
        "java_version": _JAVA,
        "min_java_version": _JAVA,
        "max_java_version": _JAVA,
        "using_supported_java_version": True,
        "java_vendor": "none: simulator",
        "java_runtime_version": "none: simulator",
        "global_configuration_version": parameters_xml.NEWEST,
    }


@routes.get("/system/node-type", dependencies=[allow(Permission.VIEW_NODE_TYPE)])
def node_type() -> dict[str, str]:
    """Not part of a cluster."""
    return {"node_type": "STANDALONE"}


@routes.get("/system/maintenance-mode", dependencies=[allow(Permission.TOGGLE_MAINTENANCE_MODE)])
def maintenance_mode(server: Security) -> dict[str, Any]:
    """Never in maintenance."""
    parameters, identifier = server.last_configuration(), server.server_id
    provider = None if parameters is None else parameters.management_service_provider
    registered = None if parameters is None or identifier is None else parameters.server(identifier)
    return {
        "status": "DISABLED_MAINTENANCE_MODE",
        "is_management_services_provider": (registered is not None and provider in registered.clients),
    }


@routes.get("/system/server-address", dependencies=[allow(Permission.CHANGE_SS_ADDRESS)])
def get_address(server: Security) -> dict[str, Any]:
    """The registered address."""
    address = server.address()
    return {} if address is None else {"current_address": {"address": address}}


@routes.put("/system/server-address", dependencies=[allow(Permission.CHANGE_SS_ADDRESS)], status_code=202)
def change_address(server: Security, body: SecurityServerAddress) -> Response:
    """Ask the central server to change the address."""
    if body.address == server.address():
        raise conflict("same_address_change_request")
    management.send(server, "addressChange", address=body.address)
    return Response(status_code=202)


@routes.get("/system/timestamping-services", dependencies=[allow(Permission.VIEW_TSPS)])
def list_used_timestamping_services(server: Security) -> list[dict[str, str]]:
    """Services that this server was told to use."""
    return [record.model_dump() for record in server.store.all(TimestampingRecord)]


@routes.post(
    "/system/timestamping-services",
    dependencies=[allow(Permission.ADD_TSP)],
    status_code=201,
)
def use_timestamping_service(server: Security, body: TimestampingService) -> dict[str, str]:
    """Use a service that the configuration names exactly so."""
    approved = [
        (service.name, service.url, service.cost_type)
        for service in server.api_configuration().timestamping_services
    ]
    if (body.name, body.url, body.cost_type) not in approved:
        raise not_found("timestamping_service_not_found", body.name)
    record = TimestampingRecord(**body.model_dump())
    with server.store.transaction():
        if server.store.get(TimestampingRecord, record.key) is not None:
            raise conflict("timestamping_service_already_configured")
        server.store.put(record)
    return record.model_dump()


@routes.post(
    "/system/timestamping-services/delete",
    dependencies=[allow(Permission.DELETE_TSP)],
    status_code=204,
)
def stop_using_timestamping_service(server: Security, body: TimestampingService) -> None:
    """Stop using a service."""
    with server.store.transaction():
        record = server.store.get(TimestampingRecord, f"{body.name}|{body.url}")
        if record is None:
            raise not_found("timestamping_service_not_found", body.name)
        server.store.delete(record)


@routes.get("/timestamping-services", dependencies=[allow(Permission.VIEW_TSPS)])
def list_timestamping_services(server: Security) -> list[dict[str, str]]:
    """Services that the configuration approves."""
    return [
        {"name": service.name, "url": service.url, "cost_type": service.cost_type}
        for service in server.api_configuration().timestamping_services
    ]


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


@routes.get("/diagnostics/globalconf", dependencies=[allow(Permission.DIAGNOSTICS)])
def globalconf_diagnostics(server: Security) -> dict[str, Any]:
    """When the configuration was fetched last, and why a later fetch failed."""
    record = server.fetched()
    fetched = now() if record is None else record.fetched_at
    next_update = fetched + timedelta(seconds=server.settings.update_interval)
    view: dict[str, Any] = {
        "status_class": "OK",
        "prev_update_at": timestamp(fetched),
        "next_update_at": timestamp(next_update),
    }
    if record is not None:
        view["last_successful_url"] = record.url
    if record is None:
        view["status_class"] = "WAITING"
    if server.last_problem is not None or (record is not None and now() > record.expires):
        view["status_class"] = "FAIL"
    if server.last_problem is not None:
        problem = server.last_problem
        view["error"] = {"code": problem.code, "metadata": [problem.detail]}
    return view


@routes.get("/diagnostics/timestamping-services", dependencies=[allow(Permission.DIAGNOSTICS)])
def timestamping_diagnostics(server: Security) -> list[dict[str, Any]]:
    """The used services, and how asking each went last."""
    return [
        {
            "url": record.url,
            "cost_type": record.cost_type,
            **_contact_view(server.stamping.contacts.get(record.url), "mlog.timestamper_failed"),
        }
        for record in server.store.all(TimestampingRecord)
    ]


def _contact_view(contact: Contact | None, code: str) -> dict[str, Any]:
    if contact is None:
        return {"status_class": "WAITING", "prev_update_at": timestamp(now())}
    view: dict[str, Any] = {"status_class": "OK", "prev_update_at": timestamp(contact.at)}
    if contact.problem is not None:
        view |= {"status_class": "FAIL", "error": {"code": code, "metadata": [contact.problem]}}
    return view


@routes.get("/diagnostics/ocsp-responders", dependencies=[allow(Permission.DIAGNOSTICS)])
def ocsp_diagnostics(server: Security) -> list[dict[str, Any]]:
    """Approved CAs, and how asking each of their responders went last."""
    interval = timedelta(seconds=server.settings.ocsp_fetch_interval)
    found = []
    for service in server.api_configuration().certification_services:
        responders = []
        for responder in service.responders:
            contact = server.statuses.contacts.get(responder.url)
            next_update = (now() if contact is None else contact.at) + interval
            responders.append(
                {
                    "url": responder.url,
                    "cost_type": responder.cost_type,
                    **_contact_view(contact, "ocsp_connection_error"),
                    "next_update_at": timestamp(next_update),
                }
            )
        name = decode(service.certificate).subject.rfc4514_string()
        found.append({"distinguished_name": name, "ocsp_responders": responders})
    return found


@routes.get("/diagnostics/addon-status", dependencies=[allow(Permission.DIAGNOSTICS, Permission.VIEW_TSPS)])
def addon_status() -> dict[str, bool]:
    """The message log is on, operational monitoring isn't there."""
    return {"messagelog_enabled": True, "opmonitoring_enabled": False}
