"""Admin API of the security server: the certificates of its keys, from import to deletion."""

import base64
from typing import Annotated, Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi import APIRouter
from pydantic import Field

from xroad_simulator.authentication import Principal, allow
from xroad_simulator.bodies import Body, RawBody
from xroad_simulator.certificates import (
    CertificateError,
    decode,
    encode,
    fingerprint,
    is_authentication,
    is_signing,
    parse_certificate,
    signing_member,
)
from xroad_simulator.errors import bad_request, conflict, internal_error, not_found
from xroad_simulator.identifiers import ClientId
from xroad_simulator.security import management
from xroad_simulator.security.key_views import certificate_actions, certificate_view, status_problem
from xroad_simulator.security.permissions import Permission
from xroad_simulator.security.records import (
    CertificateRecord,
    CertificateStatus,
    ClientRecord,
    CsrRecord,
    Usage,
)
from xroad_simulator.security.server import Security, SecurityServer
from xroad_simulator.software_token import KeyRecord

_IMPORT = {Usage.AUTHENTICATION: Permission.IMPORT_AUTH_CERT, Usage.SIGNING: Permission.IMPORT_SIGN_CERT}
_SWITCH = {
    Usage.AUTHENTICATION: Permission.ACTIVATE_DISABLE_AUTH_CERT,
    Usage.SIGNING: Permission.ACTIVATE_DISABLE_SIGN_CERT,
}
_DELETE = {Usage.AUTHENTICATION: Permission.DELETE_AUTH_CERT, Usage.SIGNING: Permission.DELETE_SIGN_CERT}
_VIEW = {Usage.AUTHENTICATION: Permission.VIEW_AUTH_CERT, Usage.SIGNING: Permission.VIEW_SIGN_CERT}

Viewer = Annotated[Principal, allow(*_VIEW.values())]
Importer = Annotated[Principal, allow(*_IMPORT.values())]
Switcher = Annotated[Principal, allow(*_SWITCH.values())]
Deleter = Annotated[Principal, allow(*_DELETE.values())]
"""Callers that may do it to certificates of some kind; the operation asks again for the kind at hand."""

routes = APIRouter()


class SecurityServerAddress(Body):
    """Body of a registration: the address at which others reach the server."""

    address: str = Field(min_length=1, max_length=255)


@routes.post("/token-certificates", status_code=201)
def import_certificate(server: Security, content: RawBody, principal: Importer) -> dict[str, Any]:
    """Import a certificate for one of the keys; needs a valid global configuration."""
    try:
        certificate = parse_certificate(content)
    except CertificateError:
        raise bad_request("invalid_cert") from None
    usage = _usage(certificate)
    server.gate.require(principal, _IMPORT[usage])
    server.api_configuration()
    if not server.is_issued_by_approved(certificate):
        raise bad_request("ca_cert_status_processing_failure", "not issued by an approved CA")
    key = _key_of(server, certificate)
    if key.usage != usage:
        raise bad_request("cert_wrong_usage")
    owner = server.initialized_id().owner
    problem = None
    if usage is Usage.SIGNING:
        owner = _signing_owner(server, certificate)
        problem = status_problem(server, certificate)
    with server.store.transaction():
        if server.store.get(CertificateRecord, fingerprint(certificate)) is not None:
            raise conflict("certificate_already_exists")
        record = CertificateRecord(
            hash=fingerprint(certificate),
            key_id=key.id,
            usage=usage,
            owner=str(owner),
            certificate=encode(certificate),
            status=(CertificateStatus.REGISTERED if usage is Usage.SIGNING else CertificateStatus.SAVED),
            # Activated at once only if it is for signing and its status is good, as in X-Road.
            active=usage is Usage.SIGNING and problem is None,
            activation_problem=None if problem is None else problem.detail,
        )
        server.store.put(record)
        for csr in server.store.all(CsrRecord, f"{key.id}:"):
            server.store.delete(csr)
    return certificate_view(server, record)


def _usage(certificate: x509.Certificate) -> Usage:
    signing, authentication = is_signing(certificate), is_authentication(certificate)
    if signing and authentication:
        raise bad_request("wrong_cert_usage.both")
    if not signing and not authentication:
        raise bad_request("cert_wrong_usage")
    return Usage.SIGNING if signing else Usage.AUTHENTICATION


def _key_of(server: SecurityServer, certificate: x509.Certificate) -> KeyRecord:
    public = base64.b64encode(
        certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ).decode()
    for key in server.store.all(KeyRecord):
        if key.public_key == public:
            return key
    raise bad_request("key_not_found")


def _signing_owner(server: SecurityServer, certificate: x509.Certificate) -> ClientId:
    try:
        member = signing_member(certificate, server.instance)
    except CertificateError as error:
        raise bad_request("invalid_cert", str(error)) from None
    if not any(record.client.member == member for record in server.store.all(ClientRecord)):
        raise bad_request("client_not_found", str(member))
    return member


def _certificate(server: SecurityServer, hash_: str) -> CertificateRecord:
    found = server.store.get(CertificateRecord, hash_.upper())
    if found is None:
        raise not_found("certificate_not_found", hash_)
    return found


@routes.get("/token-certificates/{hash_}")
def get_certificate(server: Security, hash_: str, principal: Viewer) -> dict[str, Any]:
    """One certificate."""
    record = _certificate(server, hash_)
    server.gate.require(principal, _VIEW[record.usage])
    return certificate_view(server, record)


@routes.get(
    "/token-certificates/{hash_}/possible-actions",
    dependencies=[
        allow(
            Permission.VIEW_KEYS,
            Permission.VIEW_SIGN_CERT,
            Permission.VIEW_AUTH_CERT,
            Permission.VIEW_UNKNOWN_CERT,
        )
    ],
)
def list_certificate_actions(server: Security, hash_: str) -> list[str]:
    """What can be done with a certificate."""
    return certificate_actions(_certificate(server, hash_))


def _require_action(record: CertificateRecord, action: str) -> None:
    if action not in certificate_actions(record):
        raise conflict("action_not_possible")


@routes.put("/token-certificates/{hash_}/activate", status_code=204)
def activate_certificate(server: Security, hash_: str, principal: Switcher) -> None:
    """Use a certificate, if its status is good."""
    record = _certificate(server, hash_)
    server.gate.require(principal, _SWITCH[record.usage])
    _require_action(record, "ACTIVATE")
    problem = status_problem(server, decode(record.certificate))
    with server.store.transaction():
        record = _certificate(server, hash_)
        _require_action(record, "ACTIVATE")
        told = None if problem is None else problem.detail
        server.store.put(record.having(active=problem is None, activation_problem=told))
    if problem is not None:
        raise internal_error(problem.code, problem.detail)


@routes.put("/token-certificates/{hash_}/disable", status_code=204)
def disable_certificate(server: Security, hash_: str, principal: Switcher) -> None:
    """Stop using a certificate."""
    with server.store.transaction():
        record = _certificate(server, hash_)
        server.gate.require(principal, _SWITCH[record.usage])
        _require_action(record, "DISABLE")
        server.store.put(record.having(active=False))


# The definition says 200; X-Road answers 204 (TODO in its own setup.hurl).
@routes.put(
    "/token-certificates/{hash_}/register",
    dependencies=[allow(Permission.SEND_AUTH_CERT_REG_REQ)],
    status_code=204,
)
def register_certificate(server: Security, hash_: str, body: SecurityServerAddress) -> None:
    """Ask the central server to register an authentication certificate."""
    record = _certificate(server, hash_)
    if record.usage is not Usage.AUTHENTICATION:
        raise conflict("sign_cert_not_supported")
    _require_action(record, "REGISTER")
    management.register_certificate(server, record, body.address)
    server.store.put(record.having(status=CertificateStatus.REGISTRATION_IN_PROGRESS))


@routes.put(
    "/token-certificates/{hash_}/unregister",
    dependencies=[allow(Permission.SEND_AUTH_CERT_DEL_REQ)],
    status_code=204,
)
def unregister_certificate(server: Security, hash_: str) -> None:
    """Ask the central server to take an authentication certificate off its list."""
    record = _certificate(server, hash_)
    if "UNREGISTER" not in certificate_actions(record):
        raise conflict("action_not_possible")
    management.send(server, "authCertDeletion", certificate=record.certificate)
    server.store.put(record.having(status=CertificateStatus.DELETION_IN_PROGRESS, active=False))


@routes.put(
    "/token-certificates/{hash_}/mark-for-deletion",
    dependencies=[allow(Permission.SEND_AUTH_CERT_DEL_REQ)],
    status_code=204,
)
def mark_for_deletion(server: Security, hash_: str) -> None:
    """Let a certificate be deleted although the central server couldn't be asked."""
    record = _certificate(server, hash_)
    if "UNREGISTER" not in certificate_actions(record):
        raise conflict("action_not_possible")
    server.store.put(record.having(status=CertificateStatus.DELETION_IN_PROGRESS, active=False))


@routes.delete("/token-certificates/{hash_}", status_code=204)
def delete_certificate(server: Security, hash_: str, principal: Deleter) -> None:
    """Delete a certificate that isn't registered any more; its key stays."""
    with server.store.transaction():
        record = _certificate(server, hash_)
        server.gate.require(principal, _DELETE[record.usage])
        _require_action(record, "DELETE")
        server.store.delete(record)


@routes.post(
    "/token-certificates/{hash_}/import",
    dependencies=[allow(*_IMPORT.values(), Permission.IMPORT_UNKNOWN_CERT)],
    status_code=201,
)
def import_certificate_from_token(server: Security, hash_: str) -> None:
    """Never possible: a software token holds no certificate that isn't in the configuration already."""
    _require_action(_certificate(server, hash_), "IMPORT_FROM_TOKEN")
