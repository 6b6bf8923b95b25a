"""Admin API of the security server: initialization, anchor, system, diagnostics."""

import base64
from typing import Any

from fastapi import APIRouter, Response
from pydantic import Field

from xroad_simulator import VERSION, parameters_xml, pin_policy
from xroad_simulator import global_configuration as gc
from xroad_simulator.authentication import allow
from xroad_simulator.bodies import Body, RawBody
from xroad_simulator.errors import (
    bad_request,
    conflict,
    internal_error,
    not_found,
    validation_failure,
    warnings_detected,
)
from xroad_simulator.faults import StepFailedError
from xroad_simulator.global_configuration import Anchor, ConfigurationError
from xroad_simulator.identifiers import ClientId, ServerId, is_identifier_part
from xroad_simulator.key_ring import KeyRingError
from xroad_simulator.security import configuration_client, management
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


@routes.post("/initialization", dependencies=[allow(Permission.INIT_CONFIG)], status_code=201)
def initialize(server: Security, body: InitialServerConf) -> Response:
    """Set the parts that are missing; 409 if none is, 400 if a part is missing or too many.

    As in X-Road the token and the OpenPGP key aren't part of the transaction that holds the rest: if one of
    them fails the rest is undone, but a token that was made stays (`InitializationService.java`).
    Tests may let `initialization.token` or `initialization.gpg` fail.
    """
    instance, identity = server.instance, server.identity
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
    if not body.ignore_warnings:
        _check_warnings(server, owner, code, needs)
    if needs["software_token_pin"]:
        pin = body.software_token_pin or ""
        pin_policy.require(server.settings, pin, "invalid_characters_pin")
        try:
            server.faults.step("initialization.token")
        except StepFailedError:
            raise internal_error("software_token_init_failed") from None
        server.token.initialize(pin)
    try:
        server.faults.step("initialization.gpg")
        server.key_ring.generate(f"{owner.instance}/{owner.member_class}/{owner.member_code}/{code}")
    except (StepFailedError, KeyRingError) as error:
        raise internal_error("gpg_key_generation_failed", str(error)) from None
    with server.store.transaction():
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


def _check_warnings(server: SecurityServer, owner: ClientId, code: str, needs: dict[str, bool]) -> None:
    parameters = server.api_configuration()
    warnings: list[tuple[str, list[str]]] = []
    if not needs["security_server_code"]:
        warnings.append(("init_servercode_exists", []))
    if not needs["owner_member_code"]:
        warnings.append(("init_server_owner_exists", []))
    if not needs["software_token_pin"]:
        warnings.append(("init_software_token_initialized", []))
    if needs["owner_member_code"] and parameters.member(owner) is None:
        warnings.append(("init_unregistered_member", [str(owner)]))
    identifier = ServerId(owner.instance, owner.member_class, owner.member_code, code)
    if needs["security_server_code"] and parameters.server(identifier) is not None:
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


@routes.get("/system/server-address", dependencies=[allow(Permission.CHANGE_SS_ADDRESS)])
def get_address(server: Security) -> dict[str, Any]:
    """The registered address, and the one that was asked for."""
    known = {"current_address": server.address(), "requested_change": server.pending.address}
    return {name: {"address": address} for name, address in known.items() if address is not None}


@routes.put("/system/server-address", dependencies=[allow(Permission.CHANGE_SS_ADDRESS)], status_code=202)
def change_address(server: Security, body: SecurityServerAddress) -> Response:
    """Ask the central server to change the address."""
    if server.pending.address is not None:
        raise conflict("address_change_request_already_submitted")
    if body.address == server.address():
        raise conflict("same_address_change_request")
    management.send(server, "addressChange", address=body.address)
    server.pending.address = body.address
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


@routes.get("/system/timestamping-services/prioritization-strategy", dependencies=[allow(Permission.VIEW_TSPS)])
def timestamping_strategy() -> str:
    """Services are used in the order in which they were added."""
    return "NONE"


@routes.put("/language/{code}", dependencies=[allow()])
def language(code: str) -> dict[str, str]:
    """Accepted and of no effect: everything is in English."""
    return {"id": code}
