"""Admin API of the central server: initialization, system, tokens, signing keys, anchors."""

from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from xroad_simulator import VERSION, pin_policy
from xroad_simulator.authentication import allow
from xroad_simulator.central import configuration, views
from xroad_simulator.central.permissions import Permission
from xroad_simulator.central.records import (
    OWNERS_GROUP,
    GlobalGroupRecord,
    Identity,
    SigningKeyRecord,
    Source,
)
from xroad_simulator.central.server import Central, CentralServer
from xroad_simulator.clock import now
from xroad_simulator.errors import bad_request, conflict, internal_error, not_found
from xroad_simulator.faults import StepFailedError
from xroad_simulator.key_ring import KeyRingError
from xroad_simulator.software_token import (
    TOKEN_ID,
    TokenLockedError,
    TokenNotInitializedError,
    WrongPinError,
)

MAXIMUM_KEYS_OF_A_SOURCE = 2

routes = APIRouter()


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InitialServerConf(_Body):
    """Body of the initialization."""

    software_token_pin: str = Field(default="", max_length=255)
    instance_identifier: str = Field(default="", max_length=255, pattern=r"^[a-zA-Z0-9'()+,\-.=?]*$")
    central_server_address: str = ""


class CentralServerAddress(_Body):
    """Body of an address change."""

    central_server_address: str = Field(min_length=1)


class TokenPassword(_Body):
    """Body of a token log-in."""

    password: str = Field(min_length=1)


def _initialization(server: CentralServer) -> dict[str, Any]:
    identity = server.identity
    return {
        "instance_identifier": identity.instance or "",
        "central_server_address": identity.address or "",
        "software_token_init_status": ("INITIALIZED" if server.token.is_initialized else "NOT_INITIALIZED"),
    }


@routes.get("/initialization/status", dependencies=[allow()])
def initialization_status(server: Central) -> dict[str, Any]:
    """What has been initialized."""
    return _initialization(server)


# The definition says 201; X-Road answers 200 (TODO in its own setup.hurl).
@routes.post("/initialization", dependencies=[allow(Permission.INIT_CONFIG)])
def initialize(server: Central, body: InitialServerConf) -> Response:
    """Set the parts that are missing; 409 if none is.

    As in X-Road the token and the OpenPGP key aren't part of the transaction that holds the rest: if one of
    them fails the rest is undone, but a token that was made stays (`InitializationServiceImpl.java`).
    Tests may let `initialization.token` or `initialization.gpg` fail.
    """
    identity = server.identity
    missing = {
        "instance_identifier": identity.instance is None,
        "central_server_address": identity.address is None,
        "software_token_pin": not server.token.is_initialized,
    }
    if not any(missing.values()):
        raise conflict("init_already_initialized")
    absent = [name for name, is_missing in missing.items() if is_missing and not getattr(body, name)]
    if absent:
        raise bad_request("init_invalid_params", *absent)
    instance = identity.instance or body.instance_identifier
    if missing["software_token_pin"]:
        pin_policy.require(server.settings, body.software_token_pin, "token_invalid_characters")
        try:
            server.faults.step("initialization.token")
        except StepFailedError:
            raise conflict("init_software_token_failed") from None
        server.token.initialize(body.software_token_pin)
    try:
        server.faults.step("initialization.gpg")
        server.key_ring.generate(instance)
    except (StepFailedError, KeyRingError) as error:
        raise internal_error("gpg_key_generation_failed", str(error)) from None
    with server.store.transaction():
        server.store.put(Identity(instance=instance, address=identity.address or body.central_server_address))
        if server.store.get(GlobalGroupRecord, OWNERS_GROUP) is None:
            moment = now()
            server.store.put(
                GlobalGroupRecord(
                    code=OWNERS_GROUP,
                    description="Security server owners",
                    created_at=moment,
                    updated_at=moment,
                )
            )
    return Response(status_code=200)


def _status(server: CentralServer) -> dict[str, Any]:
    return {
        "initialization_status": _initialization(server),
        "high_availability_status": {"is_ha_configured": False, "node_name": "node_0"},
    }


@routes.get("/system/status", dependencies=[allow(Permission.VIEW_VERSION)])
def system_status(server: Central) -> dict[str, Any]:
    """Initialization and availability."""
    return _status(server)


@routes.get("/system/version", dependencies=[allow(Permission.VIEW_VERSION)])
def system_version() -> dict[str, str]:
    """The version, marked as the simulator's."""
    return {"info": f"Central Server version {VERSION}"}


@routes.get("/system/high-availability-cluster/status", dependencies=[allow(Permission.VIEW_VERSION)])
def high_availability() -> dict[str, Any]:
    """One node, always."""
    return {"is_ha_configured": False, "node_name": "node_0", "nodes": [], "all_nodes_ok": True}


@routes.put("/system/server-address", dependencies=[allow(Permission.EDIT_CENTRAL_SERVER_ADDRESS)])
def change_address(server: Central, body: CentralServerAddress) -> dict[str, Any]:
    """Change the address and write the anchors anew."""
    with server.store.transaction():
        server.store.put(server.identity.having(address=body.central_server_address))
        for source in Source:
            configuration.make_anchor(server, source)
    return _status(server)


def _token(server: CentralServer) -> dict[str, Any]:
    record = server.token.record
    assert record is not None
    keys = server.store.all(SigningKeyRecord)
    logged_in = server.token.is_logged_in
    actions = ["LOGOUT" if logged_in else "LOGIN"]
    for source in Source:
        own = sum(key.source is source for key in keys)
        if logged_in and own < MAXIMUM_KEYS_OF_A_SOURCE:
            actions.append(f"GENERATE_{source}_KEY")
    return {
        "id": TOKEN_ID,
        "name": record.name,
        "active": logged_in,
        "available": True,
        "logged_in": logged_in,
        "status": server.token.status,
        "possible_actions": actions,
        "configuration_signing_keys": [views.signing_key(server, key) for key in keys],
        "serial_number": TOKEN_ID,
    }


@routes.get(
    "/tokens",
    dependencies=[
        allow(Permission.VIEW_INTERNAL_CONFIGURATION_SOURCE, Permission.VIEW_EXTERNAL_CONFIGURATION_SOURCE)
    ],
)
def list_tokens(server: Central) -> list[dict[str, Any]]:
    """The software token, or nothing before initialization."""
    return [_token(server)] if server.token.is_initialized else []


def require_token(token_id: str | int) -> None:
    """404 unless it is the software token's identifier."""
    if str(token_id) != TOKEN_ID:
        raise not_found("token_not_found", str(token_id))


@routes.put("/tokens/{token_id}/login", dependencies=[allow(Permission.ACTIVATE_TOKEN)])
def log_in_token(server: Central, token_id: str, body: TokenPassword) -> dict[str, Any]:
    """Enter the PIN."""
    require_token(token_id)
    if server.token.is_logged_in:
        raise bad_request("token_action_not_possible")
    try:
        server.token.log_in(body.password)
    except TokenNotInitializedError:
        raise not_found("token_not_found", token_id) from None
    except TokenLockedError:
        raise bad_request("token_pin_locked") from None
    except WrongPinError as error:
        if error.tries_left == 0:
            raise bad_request("token_pin_locked") from None
        if error.tries_left == 1:
            raise bad_request("token_pin_final_try") from None
        raise bad_request("pin_incorrect") from None
    return _token(server)


@routes.put("/tokens/{token_id}/logout", dependencies=[allow(Permission.DEACTIVATE_TOKEN)])
def log_out_token(server: Central, token_id: str) -> dict[str, Any]:
    """Forget the PIN; generation stops until the next log-in."""
    require_token(token_id)
    if not server.token.is_logged_in:
        raise bad_request("token_action_not_possible")
    server.token.log_out()
    return _token(server)
