"""Who may call the admin APIs: API keys, accounts, cookies, the roles they carry, what roles permit.

Keys are stored as SHA-256. Key management takes HTTP basic authentication and only from the
addresses of `key-management-api-whitelist`; everything else takes `X-Road-ApiKey` or a log-in.
"""

import base64
import binascii
import ctypes
import ctypes.util
import grp
import hashlib
import hmac
import ipaddress
import secrets
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, ClassVar

from fastapi import APIRouter, Depends, Form, HTTPException, Request, Response
from pydantic import BaseModel

from xroad_simulator.errors import bad_request, not_found
from xroad_simulator.store import Record, Store


class Role(StrEnum):
    """Rights of an account or API key. Not X-Road members' rights to services."""

    SECURITY_OFFICER = "XROAD_SECURITY_OFFICER"
    REGISTRATION_OFFICER = "XROAD_REGISTRATION_OFFICER"
    SERVICE_ADMINISTRATOR = "XROAD_SERVICE_ADMINISTRATOR"
    SYSTEM_ADMINISTRATOR = "XROAD_SYSTEM_ADMINISTRATOR"
    OBSERVER = "XROAD_SECURITYSERVER_OBSERVER"
    MANAGEMENT_SERVICE = "XROAD_MANAGEMENT_SERVICE"


_UNIX_GROUPS = {
    "xroad-security-officer": Role.SECURITY_OFFICER,
    "xroad-registration-officer": Role.REGISTRATION_OFFICER,
    "xroad-service-administrator": Role.SERVICE_ADMINISTRATOR,
    "xroad-system-administrator": Role.SYSTEM_ADMINISTRATOR,
    "xroad-securityserver-observer": Role.OBSERVER,
}


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever made the request."""

    name: str
    roles: frozenset[Role]


class ApiKeyRecord(Record):
    """An API key as it lies on disk: its hash, never the key."""

    KIND: ClassVar[str] = "api_key"
    id: int
    key_hash: str
    roles: tuple[Role, ...]

    @property
    def key(self) -> str:
        """The key's number."""
        return f"{self.id:08d}"


class Accounts:
    """Names and passwords: the system's, or those of a file for trials."""

    def __init__(self, file: Path | None, server_roles: frozenset[Role]) -> None:
        self._file = file
        self._server_roles = server_roles

    def log_in(self, name: str, password: str) -> Principal | None:
        """The account's principal, or None if name or password are wrong."""
        if self._file is not None:
            return self._log_in_from_file(name, password)
        if not _system_password_matches(name, password):
            return None
        groups = {group.gr_name for group in grp.getgrall() if name in group.gr_mem}
        roles = frozenset(role for group, role in _UNIX_GROUPS.items() if group in groups)
        return Principal(name, roles & self._server_roles)

    def _log_in_from_file(self, name: str, password: str) -> Principal | None:
        assert self._file is not None
        for line in self._file.read_text(encoding="utf-8").splitlines():
            account, _, expected = line.partition(":")
            if account == name and hmac.compare_digest(expected.encode(), password.encode()):
                return Principal(name, self._server_roles)
        return None


def _system_password_matches(name: str, password: str) -> bool:
    """Compare with /etc/shadow, which the service's account reads through the group shadow.

    X-Road asks PAM; libcrypt is what PAM's unix module asks.
    """
    library = ctypes.CDLL(ctypes.util.find_library("crypt") or "libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    for line in Path("/etc/shadow").read_text(encoding="utf-8").splitlines():
        account, expected, *_ = line.split(":")
        if account == name and expected.startswith("$"):
            computed = library.crypt(password.encode(), expected.encode())
            return computed is not None and hmac.compare_digest(computed, expected.encode())
    return False


def _is_among(address: str, networks: str) -> bool:
    candidate = ipaddress.ip_address(address)
    return any(
        candidate in ipaddress.ip_network(network.strip(), strict=False) for network in networks.split(",")
    )


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


class Gate:
    """Decides who a request is from. One per server."""

    def __init__(
        self,
        store: Store,
        accounts: Accounts,
        server_roles: frozenset[Role],
        permissions: Mapping[str, frozenset[Role]],
        key_management_whitelist: str,
        regular_whitelist: str,
    ) -> None:
        self._store = store
        self._accounts = accounts
        self.server_roles = server_roles
        self._permissions = permissions
        self._key_management_whitelist = key_management_whitelist
        self._regular_whitelist = regular_whitelist
        self._sessions: dict[str, tuple[Principal, str]] = {}

    def permissions_of(self, principal: Principal) -> list[str]:
        """What a caller may do."""
        return [name for name, roles in self._permissions.items() if roles & principal.roles]

    def may(self, principal: Principal, *permissions: str) -> bool:
        """Whether a caller has one of these permissions."""
        return any(self._permissions[name] & principal.roles for name in permissions)

    def require(self, principal: Principal, *permissions: str) -> None:
        """403 unless the caller has one of these permissions."""
        if not self.may(principal, *permissions):
            raise HTTPException(HTTPStatus.FORBIDDEN)

    def all_keys(self) -> list[ApiKeyRecord]:
        """Every API key."""
        return self._store.all(ApiKeyRecord)

    def key(self, number: int) -> ApiKeyRecord:
        """The key with this number; 404 if there is none."""
        record = self._store.get(ApiKeyRecord, f"{number:08d}")
        if record is None:
            raise not_found("api_key_not_found", str(number))
        return record

    def create_key(self, roles: Iterable[Role]) -> tuple[ApiKeyRecord, str]:
        """A new key; the text is returned here and nowhere again."""
        text = str(uuid.uuid4())
        with self._store.transaction():
            record = ApiKeyRecord(
                id=self._store.next_number("api_key"), key_hash=_hash(text), roles=tuple(roles)
            )
            self._store.put(record)
        return record, text

    def change_key(self, number: int, roles: Iterable[Role]) -> ApiKeyRecord:
        """Give a key other roles."""
        with self._store.transaction():
            record = self.key(number).having(roles=tuple(roles))
            self._store.put(record)
        return record

    def revoke_key(self, number: int) -> None:
        """Remove a key."""
        with self._store.transaction():
            self._store.delete(self.key(number))

    def open_session(self, name: str, password: str) -> tuple[str, str] | None:
        """Log in: session and XSRF token, or None if refused."""
        principal = self._accounts.log_in(name, password)
        if principal is None:
            return None
        session, token = secrets.token_hex(16), str(uuid.uuid4())
        self._sessions[session] = (principal, token)
        return session, token

    def close_session(self, session: str) -> None:
        """Log out."""
        self._sessions.pop(session, None)

    def close_sessions(self) -> None:
        """Log everybody out."""
        self._sessions.clear()

    def caller(self, request: Request) -> Principal:
        """Who a regular request is from: 401 if unknown, 403 from a refused address."""
        if request.client is None or not _is_among(request.client.host, self._regular_whitelist):
            raise HTTPException(HTTPStatus.FORBIDDEN)
        scheme, _, rest = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "x-road-apikey":
            name, _, text = rest.strip().partition("=")
            principal = self._key_holder(text.strip()) if name.lower() == "token" else None
            if principal is not None:
                return principal
        session = self._sessions.get(request.cookies.get("JSESSIONID", ""))
        if session is not None:
            principal, token = session
            # The definitions' UI log-in protects every change with this header.
            if request.method == "GET" or request.headers.get("x-xsrf-token") == token:
                return principal
        raise HTTPException(HTTPStatus.UNAUTHORIZED)

    def _key_holder(self, text: str) -> Principal | None:
        wanted = _hash(text)
        for record in self.all_keys():
            if hmac.compare_digest(record.key_hash, wanted):
                return Principal(f"api-key-{record.id}", frozenset(record.roles))
        return None

    def key_manager(self, request: Request) -> Principal:
        """Who a key management request is from: local, with basic authentication."""
        if request.client is None or not _is_among(request.client.host, self._key_management_whitelist):
            raise HTTPException(HTTPStatus.FORBIDDEN)
        scheme, _, rest = request.headers.get("authorization", "").partition(" ")
        challenge = {"WWW-Authenticate": 'Basic realm="Realm"'}
        if scheme.lower() != "basic":
            raise HTTPException(HTTPStatus.UNAUTHORIZED, headers=challenge)
        try:
            name, _, password = base64.b64decode(rest).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise HTTPException(HTTPStatus.UNAUTHORIZED, headers=challenge) from None
        principal = self._accounts.log_in(name, password)
        if principal is None:
            raise HTTPException(HTTPStatus.UNAUTHORIZED, headers=challenge)
        if Role.SYSTEM_ADMINISTRATOR not in principal.roles:
            raise HTTPException(HTTPStatus.FORBIDDEN)
        return principal


def gate(request: Request) -> Gate:
    """The gate of the server that got the request."""
    found: Gate = request.app.state.gate
    return found


def allow(*permissions: str) -> Any:
    """Dependency of a route: callers with one of these permissions, or any known caller if there is none."""

    def check(request: Request) -> Principal:
        of_server = gate(request)
        principal = of_server.caller(request)
        if permissions:
            of_server.require(principal, *permissions)
        return principal

    check.__doc__ = "Refuse callers without the permission."
    dependency: Callable[[Request], Principal] = check
    return Depends(dependency)


class ApiKeyView(BaseModel):
    """An API key without its text."""

    id: int
    roles: tuple[Role, ...]


class NewApiKeyView(ApiKeyView):
    """An API key, the only time that its text is shown."""

    key: str


def _manager(request: Request) -> Principal:
    return gate(request).key_manager(request)


def _known_roles(request: Request, names: list[str]) -> list[Role]:
    known = {role.value: role for role in gate(request).server_roles}
    if not names or any(name not in known for name in names):
        raise bad_request("invalid_role")
    return [known[name] for name in dict.fromkeys(names)]


api_keys = APIRouter(prefix="/api/v1/api-keys", dependencies=[Depends(_manager)])
"""Key management. In neither OpenAPI definition; X-Road answers as here."""


@api_keys.post("")
def create_api_key(request: Request, roles: list[str]) -> NewApiKeyView:
    """A new key with these roles."""
    record, text = gate(request).create_key(_known_roles(request, roles))
    return NewApiKeyView(id=record.id, roles=record.roles, key=text)


@api_keys.get("")
def list_api_keys(request: Request) -> list[ApiKeyView]:
    """Every key."""
    return [ApiKeyView(id=key.id, roles=key.roles) for key in gate(request).all_keys()]


@api_keys.get("/{number}")
def get_api_key(request: Request, number: int) -> ApiKeyView:
    """One key."""
    key = gate(request).key(number)
    return ApiKeyView(id=key.id, roles=key.roles)


@api_keys.put("/{number}")
def change_api_key(request: Request, number: int, roles: list[str]) -> ApiKeyView:
    """Replace the roles of a key."""
    key = gate(request).change_key(number, _known_roles(request, roles))
    return ApiKeyView(id=key.id, roles=key.roles)


@api_keys.delete("/{number}")
def revoke_api_key(request: Request, number: int) -> None:
    """Revoke a key. It ends at once.

    X-Road's cache of 60 s is emptied by the node that changes a key (`ApiKeyRepository.java`): a revoked key
    lives on at other nodes only, and a simulator is one node.
    """
    gate(request).revoke_key(number)


sessions = APIRouter()
"""Log-in of people and of scripts that stand for them."""


@sessions.post("/login")
def log_in(request: Request, response: Response, username: str = Form(), password: str = Form()) -> None:
    """Set the session's cookies; 401 if name or password are wrong."""
    opened = gate(request).open_session(username, password)
    if opened is None:
        raise HTTPException(HTTPStatus.UNAUTHORIZED)
    session, token = opened
    response.set_cookie("JSESSIONID", session, httponly=True, secure=True, samesite="strict")
    response.set_cookie("XSRF-TOKEN", token, secure=True, samesite="strict")


@sessions.post("/logout")
def log_out(request: Request) -> None:
    """End the session."""
    gate(request).close_session(request.cookies.get("JSESSIONID", ""))


@sessions.get("/api/v1/user")
def user(request: Request, principal: Annotated[Principal, allow()]) -> dict[str, Any]:
    """The caller as the API sees it."""
    roles = sorted(role.value for role in principal.roles)
    permissions = gate(request).permissions_of(principal)
    return {"username": principal.name, "roles": roles, "permissions": permissions}
