"""Admin API of the security server: certificate requests, and the approved CAs that they are for."""

import base64
import uuid
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from fastapi import APIRouter, Response
from pydantic import Field

from xroad_simulator.authentication import Principal, allow
from xroad_simulator.bodies import Body
from xroad_simulator.certificates import BASIC_PROFILE, decode
from xroad_simulator.clock import timestamp
from xroad_simulator.errors import bad_request, conflict, internal_error, not_found
from xroad_simulator.global_configuration import CertificationService
from xroad_simulator.identifiers import ClientId
from xroad_simulator.security import profiles
from xroad_simulator.security.key_views import (
    NO_USAGE,
    REQUEST_ACTIONS,
    find_key,
    key_actions,
    key_view,
    require_token,
)
from xroad_simulator.security.permissions import Permission
from xroad_simulator.security.records import ClientRecord, CsrRecord, Usage
from xroad_simulator.security.server import Security, SecurityServer
from xroad_simulator.software_token import KeyRecord, PrivateKey, TokenLoggedOutError

_GENERATE = {
    Usage.AUTHENTICATION: Permission.GENERATE_AUTH_CERT_REQ,
    Usage.SIGNING: Permission.GENERATE_SIGN_CERT_REQ,
}
_DELETE = {Usage.AUTHENTICATION: Permission.DELETE_AUTH_CERT, Usage.SIGNING: Permission.DELETE_SIGN_CERT}
_IMPORT = {Usage.AUTHENTICATION: Permission.IMPORT_AUTH_CERT, Usage.SIGNING: Permission.IMPORT_SIGN_CERT}
_ACTION = {Usage.AUTHENTICATION: "GENERATE_AUTH_CSR", Usage.SIGNING: "GENERATE_SIGN_CSR"}

Requester = Annotated[Principal, allow(*_GENERATE.values())]
Deleter = Annotated[Principal, allow(*_DELETE.values())]
"""Callers that may do it for certificates of some kind; the operation asks again for the kind at hand."""

routes = APIRouter()


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


def find_authority(server: SecurityServer, name: str) -> CertificationService:
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
    principal: Requester,
) -> dict[str, Any]:
    """A new key and its certificate request. A label may be used again: there is no check."""
    require_token(server, token_id)
    wanted = body.csr_generate_request
    usage = wanted.key_usage_type
    server.gate.require(principal, _GENERATE[usage])
    server.gate.require(principal, Permission.GENERATE_KEY)
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
    return {"key": key_view(server, key), "csr_id": csr.id}


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
    authority = find_authority(server, wanted.ca_name)
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


def _csr(server: SecurityServer, key_id: str, csr_id: str) -> CsrRecord:
    find_key(server, key_id)
    found = server.store.get(CsrRecord, f"{key_id}:{csr_id}")
    if found is None:
        raise not_found("csr_not_found", csr_id)
    return found


@routes.post("/keys/{key_id}/csrs", status_code=HTTPStatus.CREATED)
def add_csr(server: Security, key_id: str, body: CsrGenerate, principal: Requester) -> Response:
    """A further request for a key; the first one says what the key is for.

    A key that has a certificate gets none unless `allow-csr-for-key-with-certificate` is set.
    """
    key = find_key(server, key_id)
    server.gate.require(principal, _GENERATE[body.key_usage_type])
    if key.usage not in (NO_USAGE, body.key_usage_type):
        raise bad_request("wrong_key_usage")
    if _ACTION[body.key_usage_type] not in key_actions(server, key):
        raise conflict("action_not_possible")
    asked = _asked(server, body)
    try:
        csr = _request(asked, key, server.token.private_key(key))
    except TokenLoggedOutError:
        raise conflict("action_not_possible") from None
    with server.store.transaction():
        server.store.put(key.having(usage=body.key_usage_type))
        server.store.put(csr)
    answer = _csr_file(csr, body.csr_format)
    answer.status_code = HTTPStatus.CREATED
    return answer


@routes.get("/keys/{key_id}/csrs/{csr_id}")
def download_csr(
    server: Security,
    key_id: str,
    csr_id: str,
    principal: Requester,
    csr_format: Literal["PEM", "DER"] = "PEM",
) -> Response:
    """The certificate request. X-Road answers 200 where the definition says 201."""
    csr = _csr(server, key_id, csr_id)
    server.gate.require(principal, _GENERATE[csr.usage])
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
def delete_csr(server: Security, key_id: str, csr_id: str, principal: Deleter) -> None:
    """Delete a certificate request; its key stays."""
    with server.store.transaction():
        csr = _csr(server, key_id, csr_id)
        server.gate.require(principal, _DELETE[csr.usage])
        server.store.delete(csr)


@routes.get("/keys/{key_id}/csrs/{csr_id}/possible-actions", dependencies=[allow(Permission.VIEW_KEYS)])
def list_request_actions(server: Security, key_id: str, csr_id: str) -> list[str]:
    """What can be done with a certificate request."""
    _csr(server, key_id, csr_id)
    return REQUEST_ACTIONS


@routes.get(
    "/certificate-authorities",
    dependencies=[
        allow(
            Permission.VIEW_APPROVED_CERTIFICATE_AUTHORITIES,
            Permission.GENERATE_AUTH_CERT_REQ,
            Permission.GENERATE_SIGN_CERT_REQ,
        )
    ],
)
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


@routes.get(
    "/certificate-authorities/ocsp-prioritization-strategy",
    dependencies=[allow(Permission.VIEW_APPROVED_CERTIFICATE_AUTHORITIES)],
)
def ocsp_strategy() -> str:
    """Responders are asked in the order of the configuration."""
    return "NONE"


@routes.get(
    "/certificate-authorities/{ca_name}/csr-subject-fields",
    dependencies=[allow(Permission.GENERATE_AUTH_CERT_REQ, Permission.GENERATE_SIGN_CERT_REQ)],
)
def list_subject_fields(
    server: Security,
    ca_name: str,
    key_usage_type: Usage,
    key_id: str | None = None,
    member_id: str | None = None,
    is_new_member: bool = False,
) -> list[dict[str, Any]]:
    """Fields of a request's subject, with the values that the profile gives them."""
    authority = find_authority(server, ca_name)
    if key_id is not None and find_key(server, key_id).usage != key_usage_type:
        raise bad_request("wrong_key_usage")
    if is_new_member and member_id is not None:
        member = ClientId.parse(member_id).member
    else:
        member = _owner_of_request(server, key_usage_type, member_id)
    return [field.view() for field in _subject_fields(server, authority, key_usage_type, member)]
