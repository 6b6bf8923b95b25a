"""Admin API of the central server: initialization, system, tokens, signing keys, anchors."""

import base64
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from xroad_simulator import VERSION
from xroad_simulator import global_configuration as gc
from xroad_simulator.authentication import Role, allow
from xroad_simulator.central import configuration
from xroad_simulator.central.records import (
    OWNERS_GROUP,
    AnchorRecord,
    GlobalGroupRecord,
    Identity,
    SigningKeyRecord,
    Source,
)
from xroad_simulator.central.server import Central, CentralServer
from xroad_simulator.certificates import decode, encode, fingerprint
from xroad_simulator.clock import now, timestamp
from xroad_simulator.errors import bad_request, conflict, not_found
from xroad_simulator.software_token import (
    TOKEN_ID,
    KeyRecord,
    TokenLockedError,
    TokenNotInitializedError,
    WrongPinError,
)

MAXIMUM_KEYS_OF_A_SOURCE = 2
_SYSTEM_OR_SECURITY = (Role.SYSTEM_ADMINISTRATOR, Role.SECURITY_OFFICER)

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


class ConfigurationSigningKeyAdd(_Body):
    """Body of a new signing key."""

    key_label: str = Field(min_length=1, max_length=255)
    token_id: str | int
    """X-Road's own scripts send a number."""


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
@routes.post("/initialization", dependencies=[allow(*_SYSTEM_OR_SECURITY)])
def initialize(server: Central, body: InitialServerConf) -> Response:
    """Set the parts that are missing; 409 if none is."""
    with server.store.transaction():
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
        if missing["software_token_pin"]:
            server.token.initialize(body.software_token_pin)
        server.store.put(
            Identity(
                instance=identity.instance or body.instance_identifier,
                address=identity.address or body.central_server_address,
            )
        )
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


@routes.get("/system/status", dependencies=[allow()])
def system_status(server: Central) -> dict[str, Any]:
    """Initialization and availability."""
    return _status(server)


@routes.get("/system/version", dependencies=[allow()])
def system_version() -> dict[str, str]:
    """The version, marked as the simulator's."""
    return {"info": f"Central Server version {VERSION}"}


@routes.get("/system/high-availability-cluster/status", dependencies=[allow()])
def high_availability() -> dict[str, Any]:
    """One node, always."""
    return {"is_ha_configured": False, "node_name": "node_0", "nodes": [], "all_nodes_ok": True}


@routes.put("/system/server-address", dependencies=[allow(Role.SECURITY_OFFICER)])
def change_address(server: Central, body: CentralServerAddress) -> dict[str, Any]:
    """Change the address and write the anchors anew."""
    with server.store.transaction():
        server.store.put(server.identity.having(address=body.central_server_address))
        for source in Source:
            configuration.make_anchor(server, source)
    return _status(server)


def _signing_key(server: CentralServer, key: SigningKeyRecord) -> dict[str, Any]:
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
        "status": "USER_PIN_LOCKED" if server.token.is_locked else "OK",
        "possible_actions": actions,
        "configuration_signing_keys": [_signing_key(server, key) for key in keys],
        "serial_number": TOKEN_ID,
    }


@routes.get("/tokens", dependencies=[allow(*_SYSTEM_OR_SECURITY)])
def list_tokens(server: Central) -> list[dict[str, Any]]:
    """The software token, or nothing before initialization."""
    return [_token(server)] if server.token.is_initialized else []


def _require_token(token_id: str | int) -> None:
    if str(token_id) != TOKEN_ID:
        raise not_found("token_not_found", str(token_id))


@routes.put("/tokens/{token_id}/login", dependencies=[allow(*_SYSTEM_OR_SECURITY)])
def log_in_token(server: Central, token_id: str, body: TokenPassword) -> dict[str, Any]:
    """Enter the PIN."""
    _require_token(token_id)
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


@routes.put("/tokens/{token_id}/logout", dependencies=[allow(*_SYSTEM_OR_SECURITY)])
def log_out_token(server: Central, token_id: str) -> dict[str, Any]:
    """Forget the PIN; generation stops until the next log-in."""
    _require_token(token_id)
    if not server.token.is_logged_in:
        raise bad_request("token_action_not_possible")
    server.token.log_out()
    return _token(server)


# The definition says 201; X-Road answers 200 (TODO in its own setup.hurl).
@routes.post(
    "/configuration-sources/{source}/signing-keys",
    dependencies=[allow(Role.SECURITY_OFFICER)],
    status_code=200,
)
def add_signing_key(server: Central, source: Source, body: ConfigurationSigningKeyAdd) -> dict[str, Any]:
    """A new key each time, two at most; the first of a source is active at once."""
    _require_token(body.token_id)
    settings = server.settings
    internal = source is Source.INTERNAL
    algorithm = settings.internal_key_algorithm if internal else settings.external_key_algorithm
    if not server.token.is_logged_in:
        raise bad_request("token_action_not_possible")
    stored, private = server.token.generate(body.key_label, "SIGNING", algorithm, settings.key_bits)
    certificate = configuration.signing_certificate(private)
    with server.store.transaction():
        others = server.store.all(SigningKeyRecord, f"{source}:")
        if len(others) >= MAXIMUM_KEYS_OF_A_SOURCE:
            raise bad_request("token_action_not_possible")
        key = SigningKeyRecord(
            id=stored.id,
            source=source,
            label=body.key_label,
            algorithm=algorithm,
            certificate=encode(certificate),
            active=not others,
            created_at=now(),
        )
        server.store.put(stored)
        server.store.put(key)
        configuration.make_anchor(server, source)
    return _signing_key(server, key)


def _find_signing_key(server: CentralServer, identifier: str) -> SigningKeyRecord:
    for key in server.store.all(SigningKeyRecord):
        if key.id == identifier:
            return key
    raise not_found("signing_key_not_found", identifier)


@routes.put(
    "/signing-keys/{identifier}/activate",
    dependencies=[allow(Role.SECURITY_OFFICER)],
    status_code=204,
)
def activate_signing_key(server: Central, identifier: str) -> None:
    """Sign with this key from the next generation on."""
    with server.store.transaction():
        chosen = _find_signing_key(server, identifier)
        if chosen.active:
            raise bad_request("signing_key_action_not_possible")
        for key in server.store.all(SigningKeyRecord, f"{chosen.source}:"):
            server.store.put(key.having(active=key.id == identifier))


@routes.delete("/signing-keys/{identifier}", dependencies=[allow(Role.SECURITY_OFFICER)], status_code=204)
def delete_signing_key(server: Central, identifier: str) -> None:
    """Delete a key that isn't active, and write the anchor anew."""
    with server.store.transaction():
        key = _find_signing_key(server, identifier)
        if key.active:
            raise bad_request("signing_key_action_not_possible")
        server.store.delete(key)
        stored = server.store.get(KeyRecord, identifier)
        if stored is not None:
            server.store.delete(stored)
        configuration.make_anchor(server, key.source)


def _anchor(record: AnchorRecord | None) -> dict[str, Any]:
    if record is None:
        return {}
    content = base64.b64decode(record.content)
    made = timestamp(record.created_at)
    # The central server writes the hash with colons, the security server without.
    digits = gc.anchor_hash(content)
    pairs = ":".join(digits[i : i + 2] for i in range(0, len(digits), 2))
    return {"hash": pairs, "created_at": made, "updated_at": made}


@routes.get("/configuration-sources/{source}/anchor", dependencies=[allow(*_SYSTEM_OR_SECURITY)])
def get_anchor(server: Central, source: Source) -> dict[str, Any]:
    """Hash and time of the anchor, an empty object while there is none."""
    record = server.store.get(AnchorRecord, source)
    return {} if record is None else {"anchor": _anchor(record)}


@routes.get(
    "/configuration-sources/{source}/anchor/download",
    dependencies=[allow(Role.SECURITY_OFFICER, Role.SYSTEM_ADMINISTRATOR)],
)
def download_anchor(server: Central, source: Source) -> Response:
    """The anchor file."""
    record = server.store.get(AnchorRecord, source)
    if record is None:
        raise not_found("configuration_not_found")
    name = f"configuration_anchor_UTC_{record.created_at:%Y-%m-%d_%H_%M_%S}.xml"
    return Response(
        base64.b64decode(record.content),
        media_type="application/xml",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@routes.put(
    "/configuration-sources/{source}/anchor/re-create",
    dependencies=[allow(Role.SECURITY_OFFICER)],
)
def recreate_anchor(server: Central, source: Source) -> dict[str, Any]:
    """Write the anchor anew."""
    record = configuration.make_anchor(server, source)
    if record is None:
        raise bad_request("no_configuration_signing_keys_configured")
    return _anchor(record)


@routes.get("/configuration-sources/{source}/download-url", dependencies=[allow(*_SYSTEM_OR_SECURITY)])
def get_download_url(server: Central, source: Source) -> dict[str, str]:
    """Where the configuration is served."""
    return {"url": configuration.download_url(server, source)}
