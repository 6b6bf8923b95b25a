"""Admin API of the security server: tokens, keys, requests, certificates, approved CAs."""

import base64
import uuid
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi import APIRouter, HTTPException, Response
from pydantic import Field

from xroad_simulator.authentication import Principal, Role, allow
from xroad_simulator.bodies import Body, RawBody
from xroad_simulator.certificates import (
    BASIC_PROFILE,
    CertificateError,
    decode,
    details,
    encode,
    fingerprint,
    is_authentication,
    is_current,
    is_signing,
    parse_certificate,
    signing_member,
)
from xroad_simulator.clock import timestamp
from xroad_simulator.errors import ApiError, bad_request, conflict, internal_error, not_found
from xroad_simulator.global_configuration import CertificationService
from xroad_simulator.identifiers import ClientId
from xroad_simulator.ocsp import OcspError, Status
from xroad_simulator.security import management, profiles
from xroad_simulator.security.api_system import require_pin_policy
from xroad_simulator.security.records import (
    CertificateRecord,
    CertificateStatus,
    ClientRecord,
    CsrRecord,
    Usage,
)
from xroad_simulator.security.server import Security, SecurityServer
from xroad_simulator.software_token import (
    TOKEN_ID,
    KeyRecord,
    PrivateKey,
    TokenLockedError,
    TokenLoggedOutError,
    TokenNotInitializedError,
    WrongPinError,
)

_KEY_VIEWERS = (
    Role.SECURITY_OFFICER,
    Role.REGISTRATION_OFFICER,
    Role.SYSTEM_ADMINISTRATOR,
    Role.OBSERVER,
)
_LOG_IN = (Role.SECURITY_OFFICER, Role.SYSTEM_ADMINISTRATOR)
_KEY_MAKERS = (Role.SECURITY_OFFICER, Role.REGISTRATION_OFFICER)

KeyMaker = Annotated[Principal, allow(*_KEY_MAKERS)]
"""A caller that may make keys of some kind."""

routes = APIRouter()


class TokenPassword(Body):
    """Body of a token log-in."""

    password: str = Field(min_length=1)


class TokenPinUpdate(Body):
    """Body of a PIN change."""

    old_pin: str = Field(min_length=1, max_length=255)
    new_pin: str = Field(min_length=1, max_length=255)


class CsrGenerate(Body):
    """What a certificate request is to contain."""

    key_usage_type: Usage
    ca_name: str = Field(min_length=1, max_length=255)
    csr_format: Literal["PEM", "DER"]
    member_id: str | None = None
    subject_field_values: dict[str, str]
    acme_order: bool = False


class KeyLabelWithCsrGenerate(Body):
    """Body of a new key with its certificate request."""

    key_label: str = Field(max_length=255)
    csr_generate_request: CsrGenerate


class KeyName(Body):
    """Body of a change of a key's name."""

    name: str = Field(min_length=1, max_length=255)


class SecurityServerAddress(Body):
    """Body of a registration: the address at which others reach the server."""

    address: str = Field(min_length=1, max_length=255)


def _require(principal: Principal, usage: Usage) -> None:
    """Authentication keys are the security officer's alone."""
    wanted = {Role.SECURITY_OFFICER}
    if usage is Usage.SIGNING:
        wanted.add(Role.REGISTRATION_OFFICER)
    if not principal.roles & wanted:
        raise HTTPException(HTTPStatus.FORBIDDEN)


def _certificate_actions(record: CertificateRecord) -> list[str]:
    actions = ["DISABLE" if record.active else "ACTIVATE"]
    unregisters = record.usage is Usage.AUTHENTICATION and record.status in (
        CertificateStatus.REGISTRATION_IN_PROGRESS,
        CertificateStatus.REGISTERED,
    )
    actions.append("UNREGISTER" if unregisters else "DELETE")
    if record.usage is Usage.AUTHENTICATION and record.status is CertificateStatus.SAVED:
        actions.append("REGISTER")
    return actions


def _ocsp_status(server: SecurityServer, record: CertificateRecord) -> str:
    """Where no responder is named for the CA, it follows from validity and issuer alone."""
    certificate = decode(record.certificate)
    if not record.active:
        return "DISABLED"
    if not is_current(certificate):
        return "EXPIRED"
    return server.status(certificate) if server.is_issued_by_approved(certificate) else Status.UNKNOWN


def _certificate_view(server: SecurityServer, record: CertificateRecord) -> dict[str, Any]:
    view: dict[str, Any] = {
        "certificate_details": details(decode(record.certificate)),
        "status": record.status,
        "active": record.active,
        "saved_to_configuration": True,
        "owner_id": record.owner,
        "ocsp_status": _ocsp_status(server, record),
        "possible_actions": _certificate_actions(record),
    }
    if record.activation_problem is not None:
        view["ocsp_verify_before_activation_error"] = record.activation_problem
    return view


def _status_problem(server: SecurityServer, certificate: x509.Certificate) -> OcspError | None:
    """Why a certificate mustn't be activated, by its status now; None if it may be."""
    parameters = server.api_configuration()
    try:
        server.statuses.fetch(certificate, parameters)
        server.statuses.require_good(certificate, server.statuses.own(certificate), parameters)
    except OcspError as error:
        return error
    return None


def _key_view(server: SecurityServer, key: KeyRecord) -> dict[str, Any]:
    logged_in = server.token.is_logged_in
    certificates = [r for r in server.store.all(CertificateRecord) if r.key_id == key.id]
    actions = ["EDIT_FRIENDLY_NAME"]
    if logged_in:
        actions.append("DELETE")
        signing = key.usage == Usage.SIGNING
        actions.append("GENERATE_SIGN_CSR" if signing else "GENERATE_AUTH_CSR")
    return {
        "id": key.id,
        "name": key.name,
        "label": key.label or key.id,
        "usage": key.usage,
        "key_algorithm": key.algorithm,
        "available": logged_in,
        "saved_to_configuration": True,
        "certificates": [_certificate_view(server, record) for record in certificates],
        "certificate_signing_requests": [
            {
                "id": csr.id,
                "owner_id": csr.owner,
                "certificate_profile": csr.profile,
                "possible_actions": ["DELETE"],
            }
            for csr in server.store.all(CsrRecord, f"{key.id}:")
        ],
        "possible_actions": actions,
    }


def _token_view(server: SecurityServer) -> dict[str, Any]:
    record = server.token.record
    assert record is not None
    logged_in = server.token.is_logged_in
    actions = ["GENERATE_KEY", "LOGOUT", "TOKEN_CHANGE_PIN"] if logged_in else ["LOGIN"]
    return {
        "id": TOKEN_ID,
        "name": record.name,
        "type": "SOFTWARE",
        "keys": [_key_view(server, key) for key in server.store.all(KeyRecord)],
        "status": "USER_PIN_LOCKED" if server.token.is_locked else "OK",
        "logged_in": logged_in,
        "available": True,
        "saved_to_configuration": True,
        "read_only": False,
        "serial_number": TOKEN_ID,
        "token_infos": [{"key": "Type", "value": "Software"}],
        "possible_actions": [*actions, "EDIT_FRIENDLY_NAME"],
    }


def _require_token(server: SecurityServer, token_id: str) -> None:
    if token_id != TOKEN_ID or not server.token.is_initialized:
        raise not_found("token_not_found", token_id)


@routes.get("/tokens", dependencies=[allow(*_KEY_VIEWERS)])
def list_tokens(server: Security) -> list[dict[str, Any]]:
    """The software token, or nothing before initialization."""
    return [_token_view(server)] if server.token.is_initialized else []


@routes.get("/tokens/{token_id}", dependencies=[allow(*_KEY_VIEWERS)])
def get_token(server: Security, token_id: str) -> dict[str, Any]:
    """One token."""
    _require_token(server, token_id)
    return _token_view(server)


def _wrong_pin(error: WrongPinError) -> ApiError:
    if error.tries_left == 0:
        return conflict("action_not_possible", "token_pin_locked")
    if error.tries_left == 1:
        return bad_request("pin_incorrect", "token_pin_final_try")
    return bad_request("pin_incorrect")


@routes.put("/tokens/{token_id}/login", dependencies=[allow(*_LOG_IN)])
def log_in_token(server: Security, token_id: str, body: TokenPassword) -> dict[str, Any]:
    """Enter the PIN."""
    _require_token(server, token_id)
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
    return _token_view(server)


@routes.put("/tokens/{token_id}/logout", dependencies=[allow(*_LOG_IN)])
def log_out_token(server: Security, token_id: str) -> dict[str, Any]:
    """Forget the PIN; messages stop."""
    _require_token(server, token_id)
    if not server.token.is_logged_in:
        raise conflict("action_not_possible")
    server.token.log_out()
    return _token_view(server)


@routes.put("/tokens/{token_id}/pin", dependencies=[allow(Role.SYSTEM_ADMINISTRATOR)], status_code=204)
def change_pin(server: Security, token_id: str, body: TokenPinUpdate) -> None:
    """Change the PIN of a token that is logged in."""
    _require_token(server, token_id)
    if not server.token.is_logged_in:
        raise conflict("action_not_possible")
    require_pin_policy(server, body.new_pin)
    try:
        server.token.change_pin(body.old_pin, body.new_pin)
    except TokenLockedError:
        raise conflict("action_not_possible", "token_pin_locked") from None
    except WrongPinError as error:
        raise _wrong_pin(error) from None


def _authority(server: SecurityServer, name: str) -> CertificationService:
    for service in server.api_configuration().certification_services:
        if service.name == name:
            return service
    raise bad_request("certificate_authority_not_found", name)


def _owner_of_request(server: SecurityServer, usage: Usage, member_id: str | None) -> ClientId:
    """The member that a certificate will name; signing needs a local client of that member."""
    owner = server.initialized_id().owner
    if usage is Usage.AUTHENTICATION:
        return owner
    if member_id is None:
        raise bad_request("missing_member_id")
    try:
        member = ClientId.parse(member_id).member
    except ValueError:
        raise bad_request("invalid_client_id", member_id) from None
    if not any(record.client.member == member for record in server.store.all(ClientRecord)):
        raise bad_request("client_not_found", member_id)
    return member


def _subject_fields(
    server: SecurityServer, authority: CertificationService, usage: Usage, member: ClientId
) -> list[profiles.Field]:
    if usage is Usage.SIGNING and authority.authentication_only:
        raise bad_request("sign_cert_not_supported")
    if authority.certificate_profile_info != BASIC_PROFILE:
        raise internal_error("certificate_profile_instantiation_failure")
    found = server.api_configuration().member(member)
    return profiles.fields(usage, member, str(member) if found is None else found.name)


# The definition says 201; X-Road answers 200 (TODO in its own setup.hurl).
@routes.post("/tokens/{token_id}/keys-with-csrs")
def add_key_with_csr(
    server: Security,
    token_id: str,
    body: KeyLabelWithCsrGenerate,
    principal: KeyMaker,
) -> dict[str, Any]:
    """A new key and its certificate request. A label may be used again: there is no check."""
    _require_token(server, token_id)
    wanted = body.csr_generate_request
    usage = wanted.key_usage_type
    _require(principal, usage)
    asked = _asked(server, wanted)
    settings = server.settings
    algorithm = (
        settings.authentication_key_algorithm
        if usage is Usage.AUTHENTICATION
        else settings.signing_key_algorithm
    )
    try:
        key, private = server.token.generate(body.key_label, usage, algorithm, settings.key_bits)
    except TokenLoggedOutError:
        raise conflict("action_not_possible") from None
    csr = _request(asked, key, private)
    with server.store.transaction():
        server.store.put(key)
        server.store.put(csr)
    return {"key": _key_view(server, key), "csr_id": csr.id}


@dataclass(frozen=True, slots=True)
class _Asked:
    """A certificate request that may be made."""

    usage: Usage
    owner: ClientId
    profile: str
    subject: x509.Name
    alternative: str | None


def _asked(server: SecurityServer, wanted: CsrGenerate) -> _Asked:
    usage = wanted.key_usage_type
    authority = _authority(server, wanted.ca_name)
    owner = _owner_of_request(server, usage, wanted.member_id)
    values = wanted.subject_field_values
    try:
        subject = profiles.subject(_subject_fields(server, authority, usage, owner), values)
    except profiles.SubjectError as error:
        raise bad_request("invalid_dn_parameter", str(error)) from None
    alternative = values.get("subjectAltName")
    return _Asked(usage, owner, authority.certificate_profile_info, subject, alternative)


def _request(asked: _Asked, key: KeyRecord, private: PrivateKey) -> CsrRecord:
    builder = x509.CertificateSigningRequestBuilder().subject_name(asked.subject)
    if asked.alternative:
        names = x509.SubjectAlternativeName([x509.DNSName(asked.alternative)])
        builder = builder.add_extension(names, critical=False)
    return CsrRecord(
        id=uuid.uuid4().hex.upper(),
        key_id=key.id,
        usage=asked.usage,
        owner=str(asked.owner),
        profile=asked.profile,
        request=base64.b64encode(builder.sign(private, hashes.SHA256()).public_bytes(Encoding.DER)).decode(),
    )


def _key(server: SecurityServer, key_id: str) -> KeyRecord:
    found = server.store.get(KeyRecord, key_id)
    if found is None:
        raise not_found("key_not_found", key_id)
    return found


@routes.get("/keys/{key_id}", dependencies=[allow(*_KEY_VIEWERS)])
def get_key(server: Security, key_id: str) -> dict[str, Any]:
    """One key."""
    return _key_view(server, _key(server, key_id))


@routes.patch("/keys/{key_id}", dependencies=[allow(*_KEY_VIEWERS[:3])])
def rename_key(server: Security, key_id: str, body: KeyName) -> dict[str, Any]:
    """Change the friendly name."""
    with server.store.transaction():
        key = _key(server, key_id).having(name=body.name)
        server.store.put(key)
    return _key_view(server, key)


@routes.delete("/keys/{key_id}", status_code=204)
def delete_key(
    server: Security,
    key_id: str,
    principal: KeyMaker,
    ignore_warnings: bool = False,
) -> None:
    """Delete a key with its requests and certificates."""
    with server.store.transaction():
        key = _key(server, key_id)
        _require(principal, Usage(key.usage))
        certificates = [r for r in server.store.all(CertificateRecord) if r.key_id == key_id]
        if any("UNREGISTER" in _certificate_actions(record) for record in certificates):
            if not ignore_warnings:
                raise ApiError(
                    HTTPStatus.BAD_REQUEST,
                    "warnings_detected",
                    warnings=[("auth_key_with_registered_cert_warning", [key_id])],
                )
            raise conflict("action_not_possible")
        for record in [*certificates, *server.store.all(CsrRecord, f"{key_id}:"), key]:
            server.store.delete(record)


def _csr(server: SecurityServer, key_id: str, csr_id: str) -> CsrRecord:
    _key(server, key_id)
    found = server.store.get(CsrRecord, f"{key_id}:{csr_id}")
    if found is None:
        raise not_found("csr_not_found", csr_id)
    return found


@routes.post("/keys/{key_id}/csrs", status_code=HTTPStatus.CREATED)
def add_csr(server: Security, key_id: str, body: CsrGenerate, principal: KeyMaker) -> Response:
    """A further request for a key, which may have certificates already."""
    key = _key(server, key_id)
    _require(principal, body.key_usage_type)
    if key.usage != body.key_usage_type:
        raise bad_request("wrong_key_usage")
    asked = _asked(server, body)
    try:
        csr = _request(asked, key, server.token.private_key(key))
    except TokenLoggedOutError:
        raise conflict("action_not_possible") from None
    server.store.put(csr)
    answer = _csr_file(csr, body.csr_format)
    answer.status_code = HTTPStatus.CREATED
    return answer


@routes.get("/keys/{key_id}/csrs/{csr_id}")
def download_csr(
    server: Security,
    key_id: str,
    csr_id: str,
    principal: KeyMaker,
    csr_format: Literal["PEM", "DER"] = "PEM",
) -> Response:
    """The certificate request. X-Road answers 200 where the definition says 201."""
    csr = _csr(server, key_id, csr_id)
    _require(principal, csr.usage)
    return _csr_file(csr, csr_format)


def _csr_file(csr: CsrRecord, csr_format: Literal["PEM", "DER"]) -> Response:
    request = x509.load_der_x509_csr(base64.b64decode(csr.request))
    encoding = Encoding.PEM if csr_format == "PEM" else Encoding.DER
    name = f"{csr.usage.lower()}_csr_{csr.id}.{csr_format.lower()}"
    return Response(
        request.public_bytes(encoding),
        media_type="application/octet-stream",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@routes.delete("/keys/{key_id}/csrs/{csr_id}", status_code=204)
def delete_csr(server: Security, key_id: str, csr_id: str, principal: KeyMaker) -> None:
    """Delete a certificate request; its key stays."""
    with server.store.transaction():
        csr = _csr(server, key_id, csr_id)
        _require(principal, csr.usage)
        server.store.delete(csr)


@routes.post("/token-certificates", status_code=201)
def import_certificate(server: Security, content: RawBody, principal: KeyMaker) -> dict[str, Any]:
    """Import a certificate for one of the keys; needs a valid global configuration."""
    try:
        certificate = parse_certificate(content)
    except CertificateError:
        raise bad_request("invalid_cert") from None
    usage = _usage(certificate)
    _require(principal, usage)
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
        problem = _status_problem(server, certificate)
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
    return _certificate_view(server, record)


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


@routes.get(
    "/token-certificates/{hash_}",
    dependencies=[allow(*_KEY_VIEWERS, Role.SERVICE_ADMINISTRATOR)],
)
def get_certificate(server: Security, hash_: str) -> dict[str, Any]:
    """One certificate."""
    return _certificate_view(server, _certificate(server, hash_))


@routes.get(
    "/token-certificates/{hash_}/possible-actions",
    dependencies=[allow(*_KEY_VIEWERS, Role.SERVICE_ADMINISTRATOR)],
)
def list_certificate_actions(server: Security, hash_: str) -> list[str]:
    """What can be done with a certificate."""
    return _certificate_actions(_certificate(server, hash_))


def _checked(server: SecurityServer, hash_: str, action: str, principal: Principal) -> CertificateRecord:
    record = _certificate(server, hash_)
    _require(principal, record.usage)
    if action not in _certificate_actions(record):
        raise conflict("action_not_possible")
    return record


@routes.put("/token-certificates/{hash_}/activate", status_code=204)
def activate_certificate(server: Security, hash_: str, principal: KeyMaker) -> None:
    """Use a certificate, if its status is good."""
    record = _checked(server, hash_, "ACTIVATE", principal)
    problem = _status_problem(server, decode(record.certificate))
    with server.store.transaction():
        record = _checked(server, hash_, "ACTIVATE", principal)
        told = None if problem is None else problem.detail
        server.store.put(record.having(active=problem is None, activation_problem=told))
    if problem is not None:
        raise internal_error(problem.code, problem.detail)


@routes.put("/token-certificates/{hash_}/disable", status_code=204)
def disable_certificate(server: Security, hash_: str, principal: KeyMaker) -> None:
    """Stop using a certificate."""
    with server.store.transaction():
        record = _checked(server, hash_, "DISABLE", principal)
        server.store.put(record.having(active=False))


# The definition says 200; X-Road answers 204 (TODO in its own setup.hurl).
@routes.put("/token-certificates/{hash_}/register", status_code=204)
def register_certificate(
    server: Security,
    hash_: str,
    body: SecurityServerAddress,
    principal: Annotated[Principal, allow(Role.SECURITY_OFFICER)],
) -> None:
    """Ask the central server to register an authentication certificate."""
    record = _certificate(server, hash_)
    if record.usage is not Usage.AUTHENTICATION:
        raise conflict("sign_cert_not_supported")
    _checked(server, hash_, "REGISTER", principal)
    management.register_certificate(server, record, body.address)
    server.store.put(record.having(status=CertificateStatus.REGISTRATION_IN_PROGRESS))


@routes.put(
    "/token-certificates/{hash_}/unregister",
    dependencies=[allow(Role.SECURITY_OFFICER)],
    status_code=204,
)
def unregister_certificate(server: Security, hash_: str) -> None:
    """Ask the central server to take an authentication certificate off its list."""
    record = _certificate(server, hash_)
    if "UNREGISTER" not in _certificate_actions(record):
        raise conflict("action_not_possible")
    management.send(server, "authCertDeletion", certificate=record.certificate)
    server.store.put(record.having(status=CertificateStatus.DELETION_IN_PROGRESS, active=False))


@routes.put(
    "/token-certificates/{hash_}/mark-for-deletion",
    dependencies=[allow(Role.SECURITY_OFFICER)],
    status_code=204,
)
def mark_for_deletion(server: Security, hash_: str) -> None:
    """Let a certificate be deleted although the central server couldn't be asked."""
    record = _certificate(server, hash_)
    if "UNREGISTER" not in _certificate_actions(record):
        raise conflict("action_not_possible")
    server.store.put(record.having(status=CertificateStatus.DELETION_IN_PROGRESS, active=False))


@routes.delete("/token-certificates/{hash_}", status_code=204)
def delete_certificate(server: Security, hash_: str, principal: KeyMaker) -> None:
    """Delete a certificate that isn't registered any more; its key stays."""
    with server.store.transaction():
        server.store.delete(_checked(server, hash_, "DELETE", principal))


_CA_VIEWERS = (
    Role.REGISTRATION_OFFICER,
    Role.SECURITY_OFFICER,
    Role.OBSERVER,
    Role.SYSTEM_ADMINISTRATOR,
)


@routes.get("/certificate-authorities", dependencies=[allow(*_CA_VIEWERS)])
def list_authorities(
    server: Security,
    key_usage_type: Usage | None = None,
    include_intermediate_cas: bool = False,
) -> list[dict[str, Any]]:
    """Approved CAs; for signing, without those that only authenticate."""
    del include_intermediate_cas  # there are none: an approved CA is one certificate here
    return [
        _authority_view(service)
        for service in server.api_configuration().certification_services
        if not (key_usage_type is Usage.SIGNING and service.authentication_only)
    ]


def _authority_view(service: CertificationService) -> dict[str, Any]:
    certificate = decode(service.certificate)
    return {
        "name": service.name,
        "subject_distinguished_name": certificate.subject.rfc4514_string(),
        "issuer_distinguished_name": certificate.issuer.rfc4514_string(),
        "ocsp_response": "NOT_AVAILABLE",
        "not_after": timestamp(certificate.not_valid_after_utc),
        "top_ca": True,
        "path": certificate.subject.rfc4514_string(),
        "authentication_only": service.authentication_only,
        "certificate_profile_info": service.certificate_profile_info,
        "default_csr_format": service.default_csr_format,
        "acme_capable": False,
        "acme_server_ip_addresses": [],
        "ocsp_responders": [
            {"url": responder.url, "cost_type": responder.cost_type} for responder in service.responders
        ],
    }


@routes.get("/certificate-authorities/{ca_name}/csr-subject-fields", dependencies=[allow(*_KEY_MAKERS)])
def list_subject_fields(
    server: Security,
    ca_name: str,
    key_usage_type: Usage,
    key_id: str | None = None,
    member_id: str | None = None,
    is_new_member: bool = False,
) -> list[dict[str, Any]]:
    """Fields of a request's subject, with the values that the profile gives them."""
    authority = _authority(server, ca_name)
    if key_id is not None and _key(server, key_id).usage != key_usage_type:
        raise bad_request("wrong_key_usage")
    if is_new_member and member_id is not None:
        member = ClientId.parse(member_id).member
    else:
        member = _owner_of_request(server, key_usage_type, member_id)
    return [field.view() for field in _subject_fields(server, authority, key_usage_type, member)]
