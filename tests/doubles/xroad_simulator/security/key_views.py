"""Tokens, keys and certificates as the security server's API shows them, and what can be done with each.

Possible actions follow X-Road's `PossibleActionsRuleEngine.java`.
"""

from __future__ import annotations

from typing import Any

from cryptography import x509

from xroad_simulator.certificates import decode, details, is_current, issuer_among
from xroad_simulator.errors import not_found
from xroad_simulator.ocsp import OcspError, Status
from xroad_simulator.security.records import CertificateRecord, CertificateStatus, CsrRecord, Usage
from xroad_simulator.security.server import SecurityServer
from xroad_simulator.software_token import TOKEN_ID, KeyRecord

NO_USAGE = ""
"""Of a key that has had no certificate request yet."""


def certificate_actions(record: CertificateRecord) -> list[str]:
    """What can be done with a certificate."""
    actions = ["DISABLE" if record.active else "ACTIVATE"]
    unregisters = record.usage is Usage.AUTHENTICATION and record.status in (
        CertificateStatus.REGISTRATION_IN_PROGRESS,
        CertificateStatus.REGISTERED,
    )
    actions.append("UNREGISTER" if unregisters else "DELETE")
    if record.usage is Usage.AUTHENTICATION and record.status is CertificateStatus.SAVED:
        actions.append("REGISTER")
    return actions


def ocsp_status(server: SecurityServer, record: CertificateRecord) -> str:
    """Where no responder is named for the CA, it follows from validity and issuer alone."""
    certificate = decode(record.certificate)
    if not record.active:
        return "DISABLED"
    if not is_current(certificate):
        return "EXPIRED"
    # By the last configuration, expired or not: an officer must see the keys when it has expired, too.
    parameters = server.last_configuration()
    if parameters is None or issuer_among(certificate, parameters.authorities()) is None:
        return Status.UNKNOWN
    return server.status(certificate)


def certificate_view(server: SecurityServer, record: CertificateRecord) -> dict[str, Any]:
    """`TokenCertificate`."""
    view: dict[str, Any] = {
        "certificate_details": details(decode(record.certificate)),
        "status": record.status,
        "active": record.active,
        "saved_to_configuration": True,
        "owner_id": record.owner,
        "ocsp_status": ocsp_status(server, record),
        "possible_actions": certificate_actions(record),
    }
    if record.activation_problem is not None:
        view["ocsp_verify_before_activation_error"] = record.activation_problem
    return view


def status_problem(server: SecurityServer, certificate: x509.Certificate) -> OcspError | None:
    """Why a certificate mustn't be activated, by its status now; None if it may be."""
    parameters = server.api_configuration()
    try:
        server.statuses.fetch(certificate, parameters)
        server.statuses.require_good(certificate, server.statuses.shown(certificate, parameters), parameters)
    except OcspError as error:
        return error
    return None


def key_actions(server: SecurityServer, key: KeyRecord) -> list[str]:
    """What can be done with a key.

    A key that has a certificate gets no further request unless `allow-csr-for-key-with-certificate` is set.
    """
    actions = ["EDIT_FRIENDLY_NAME"]
    if not server.token.is_logged_in:
        return actions
    actions.append("DELETE")
    has_certificate = any(r.key_id == key.id for r in server.store.all(CertificateRecord))
    if not has_certificate or server.settings.allow_request_for_key_with_certificate:
        if key.usage in (NO_USAGE, Usage.AUTHENTICATION):
            actions.append("GENERATE_AUTH_CSR")
        if key.usage in (NO_USAGE, Usage.SIGNING):
            actions.append("GENERATE_SIGN_CSR")
    return actions


REQUEST_ACTIONS = ["DELETE"]
"""What can be done with a certificate request."""


def key_view(server: SecurityServer, key: KeyRecord) -> dict[str, Any]:
    """`Key`."""
    certificates = [r for r in server.store.all(CertificateRecord) if r.key_id == key.id]
    view: dict[str, Any] = {
        "id": key.id,
        "name": key.name,
        "label": key.label or key.id,
        "key_algorithm": key.algorithm,
        "available": server.token.is_logged_in,
        "saved_to_configuration": bool(key.usage),
        "certificates": [certificate_view(server, record) for record in certificates],
        "certificate_signing_requests": [
            {
                "id": csr.id,
                "owner_id": csr.owner,
                "certificate_profile": csr.profile,
                "possible_actions": REQUEST_ACTIONS,
            }
            for csr in server.store.all(CsrRecord, f"{key.id}:")
        ],
        "possible_actions": key_actions(server, key),
    }
    if key.usage:
        view["usage"] = key.usage
    return view


def token_view(server: SecurityServer) -> dict[str, Any]:
    """`Token`: the software token."""
    record = server.token.record
    assert record is not None
    logged_in = server.token.is_logged_in
    actions = ["GENERATE_KEY", "LOGOUT", "TOKEN_CHANGE_PIN"] if logged_in else ["LOGIN"]
    return {
        "id": TOKEN_ID,
        "name": record.name,
        "type": "SOFTWARE",
        "keys": [key_view(server, key) for key in server.store.all(KeyRecord)],
        "status": server.token.status,
        "logged_in": logged_in,
        "available": True,
        "saved_to_configuration": True,
        "read_only": False,
        "serial_number": TOKEN_ID,
        "token_infos": [{"key": "Type", "value": "Software"}],
        "possible_actions": [*actions, "EDIT_FRIENDLY_NAME"],
    }


def find_key(server: SecurityServer, key_id: str) -> KeyRecord:
    """The key with this identifier; 404 if there is none."""
    found = server.store.get(KeyRecord, key_id)
    if found is None:
        raise not_found("key_not_found", key_id)
    return found


def require_token(server: SecurityServer, token_id: str) -> None:
    """404 unless it is the software token's identifier, and the token is there."""
    if token_id != TOKEN_ID or not server.token.is_initialized:
        raise not_found("token_not_found", token_id)
