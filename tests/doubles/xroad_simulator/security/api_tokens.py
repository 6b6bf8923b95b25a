"""Admin API of the security server: the token, its PIN, and its keys."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from xroad_simulator import pin_policy
from xroad_simulator.authentication import Principal, allow
from xroad_simulator.bodies import Body
from xroad_simulator.errors import ApiError, bad_request, conflict, not_found, warnings_detected
from xroad_simulator.security import management
from xroad_simulator.security.key_views import (
    NO_USAGE,
    certificate_actions,
    find_key,
    key_actions,
    key_view,
    require_token,
    token_view,
)
from xroad_simulator.security.permissions import Permission
from xroad_simulator.security.records import CertificateRecord, CertificateStatus, CsrRecord, Usage
from xroad_simulator.security.server import Security
from xroad_simulator.software_token import (
    KeyAlgorithm,
    TokenLockedError,
    TokenLoggedOutError,
    TokenNotInitializedError,
    WrongPinError,
)

_DELETE = {
    NO_USAGE: Permission.DELETE_KEY,
    Usage.AUTHENTICATION: Permission.DELETE_AUTH_KEY,
    Usage.SIGNING: Permission.DELETE_SIGN_KEY,
}

Deleter = Annotated[Principal, allow(*_DELETE.values())]
"""A caller that may delete keys of some kind."""

routes = APIRouter()


class TokenPassword(Body):
    """Body of a token log-in."""

    password: str = Field(min_length=1)


class TokenPinUpdate(Body):
    """Body of a PIN change."""

    old_pin: str = Field(min_length=1, max_length=255)
    new_pin: str = Field(min_length=1, max_length=255)


class TokenName(Body):
    """Body of a change of the token's name."""

    name: str = Field(min_length=1, max_length=255)


class KeyLabel(Body):
    """Body of a new key that is for nothing yet."""

    label: str = Field(default="", max_length=255)


class KeyName(Body):
    """Body of a change of a key's name."""

    name: str = Field(min_length=1, max_length=255)


@routes.get("/tokens", dependencies=[allow(Permission.VIEW_KEYS)])
def list_tokens(server: Security) -> list[dict[str, Any]]:
    """The software token, or nothing before initialization."""
    return [token_view(server)] if server.token.is_initialized else []


@routes.get("/tokens/{token_id}", dependencies=[allow(Permission.VIEW_KEYS)])
def get_token(server: Security, token_id: str) -> dict[str, Any]:
    """One token."""
    require_token(server, token_id)
    return token_view(server)


@routes.patch("/tokens/{token_id}", dependencies=[allow(Permission.EDIT_TOKEN_FRIENDLY_NAME)])
def rename_token(server: Security, token_id: str, body: TokenName) -> dict[str, Any]:
    """Change the friendly name."""
    require_token(server, token_id)
    with server.store.transaction():
        record = server.token.record
        assert record is not None
        server.store.put(record.having(name=body.name))
    return token_view(server)


@routes.delete(
    "/tokens/{token_id}", dependencies=[allow(Permission.DELETE_TOKEN)], status_code=HTTPStatus.NO_CONTENT
)
def delete_token(server: Security, token_id: str) -> None:
    """Never possible: the software token stays."""
    require_token(server, token_id)
    raise conflict("action_not_possible")


def _wrong_pin(error: WrongPinError) -> ApiError:
    if error.tries_left == 0:
        return conflict("action_not_possible", "token_pin_locked")
    if error.tries_left == 1:
        return bad_request("pin_incorrect", "token_pin_final_try")
    return bad_request("pin_incorrect")


@routes.put("/tokens/{token_id}/login", dependencies=[allow(Permission.ACTIVATE_DEACTIVATE_TOKEN)])
def log_in_token(server: Security, token_id: str, body: TokenPassword) -> dict[str, Any]:
    """Enter the PIN."""
    require_token(server, token_id)
    if server.token.is_logged_in:
        raise conflict("action_not_possible")
    try:
        server.token.log_in(body.password)
    except TokenNotInitializedError:
        raise not_found("token_not_found", token_id) from None
    except TokenLockedError:
        raise conflict("action_not_possible", "token_pin_locked") from None
    except WrongPinError as error:
        raise _wrong_pin(error) from None
    return token_view(server)


@routes.put("/tokens/{token_id}/logout", dependencies=[allow(Permission.ACTIVATE_DEACTIVATE_TOKEN)])
def log_out_token(server: Security, token_id: str) -> dict[str, Any]:
    """Forget the PIN; messages stop."""
    require_token(server, token_id)
    if not server.token.is_logged_in:
        raise conflict("action_not_possible")
    server.token.log_out()
    return token_view(server)


@routes.put("/tokens/{token_id}/pin", dependencies=[allow(Permission.UPDATE_TOKEN_PIN)], status_code=204)
def change_pin(server: Security, token_id: str, body: TokenPinUpdate) -> None:
    """Change the PIN of a token that is logged in."""
    require_token(server, token_id)
    if not server.token.is_logged_in:
        raise conflict("action_not_possible")
    pin_policy.require(server.settings, body.new_pin, "invalid_characters_pin")
    try:
        server.token.change_pin(body.old_pin, body.new_pin)
    except TokenLockedError:
        raise conflict("action_not_possible", "token_pin_locked") from None
    except WrongPinError as error:
        raise _wrong_pin(error) from None


@routes.post(
    "/tokens/{token_id}/keys",
    dependencies=[allow(Permission.GENERATE_KEY)],
    status_code=HTTPStatus.CREATED,
)
def add_key(server: Security, token_id: str, body: KeyLabel) -> dict[str, Any]:
    """A new RSA key that is for nothing until its first certificate request."""
    require_token(server, token_id)
    try:
        key, _ = server.token.generate(body.label, NO_USAGE, KeyAlgorithm.RSA, server.settings.key_bits)
    except TokenLoggedOutError:
        raise conflict("action_not_possible") from None
    server.store.put(key)
    return key_view(server, key)


@routes.get("/keys/{key_id}", dependencies=[allow(Permission.VIEW_KEYS)])
def get_key(server: Security, key_id: str) -> dict[str, Any]:
    """One key."""
    return key_view(server, find_key(server, key_id))


@routes.patch("/keys/{key_id}", dependencies=[allow(Permission.EDIT_KEY_FRIENDLY_NAME)])
def rename_key(server: Security, key_id: str, body: KeyName) -> dict[str, Any]:
    """Change the friendly name."""
    with server.store.transaction():
        key = find_key(server, key_id).having(name=body.name)
        server.store.put(key)
    return key_view(server, key)


@routes.delete("/keys/{key_id}", status_code=HTTPStatus.NO_CONTENT)
def delete_key(
    server: Security,
    key_id: str,
    principal: Deleter,
    ignore_warnings: bool = False,
) -> None:
    """Delete a key with its requests and certificates.

    Registered authentication certificates are a warning; if that is ignored the central server is asked first
    to take them off its list (`KeyService.java`).
    """
    key = find_key(server, key_id)
    server.gate.require(principal, _DELETE[key.usage])
    if "DELETE" not in key_actions(server, key):
        raise conflict("action_not_possible")
    certificates = [r for r in server.store.all(CertificateRecord) if r.key_id == key_id]
    registered = [r for r in certificates if "UNREGISTER" in certificate_actions(r)]
    if registered and not ignore_warnings:
        raise warnings_detected(("auth_key_with_registered_cert_warning", [key_id]))
    for record in registered:
        server.gate.require(principal, Permission.SEND_AUTH_CERT_DEL_REQ)
        management.send(server, "authCertDeletion", certificate=record.certificate)
        unregistered = record.having(status=CertificateStatus.DELETION_IN_PROGRESS, active=False)
        server.store.put(unregistered)
    with server.store.transaction():
        for owned in [*certificates, *server.store.all(CsrRecord, f"{key_id}:"), key]:
            server.store.delete(owned)


@routes.get("/keys/{key_id}/possible-actions", dependencies=[allow(Permission.VIEW_KEYS)])
def list_key_actions(server: Security, key_id: str) -> list[str]:
    """What can be done with a key."""
    return key_actions(server, find_key(server, key_id))
