"""Sending management requests to the central server.

All but the registration of an authentication certificate travel as X-Road messages through the
management security server: they fail until that one works.
"""

from __future__ import annotations

import base64
import ssl
from http import HTTPStatus

import httpx

from xroad_simulator import management_protocol
from xroad_simulator.certificates import decode, der
from xroad_simulator.errors import ApiError, conflict, internal_error
from xroad_simulator.identifiers import ClientId, ServiceId
from xroad_simulator.management_protocol import CertificateRegistration, ManagementError
from xroad_simulator.security import message_client
from xroad_simulator.security.message import MessageError, Request
from xroad_simulator.security.records import CertificateRecord, Usage
from xroad_simulator.security.server import SecurityServer
from xroad_simulator.software_token import TokenLoggedOutError, sign

_TIMEOUT_SECONDS = 30


def _refusal(problem: ManagementError) -> ApiError:
    return ApiError(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "management_request_sending_failed",
        (problem.code, problem.text),
    )


def _request_number(response: httpx.Response | bytes) -> int:
    body = response if isinstance(response, bytes) else response.content
    _, fields = management_protocol.read_envelope(body)
    return int(fields["requestId"])


def register_certificate(server: SecurityServer, certificate: CertificateRecord, address: str) -> int:
    """Send `authCertReg` to the registration service; returns the request's number.

    ApiError if the owner has no usable signing certificate or the central server refuses.
    """
    identifier, parameters = server.initialized_id(), server.api_configuration()
    signing = server.active_certificate(Usage.SIGNING, identifier.owner)
    if signing is None:
        raise conflict("sign_cert_not_found")
    encoded = base64.b64decode(certificate.certificate)
    text = CertificateRegistration.signed_text(str(identifier), address, encoded)
    try:
        request = CertificateRegistration(
            server=str(identifier),
            address=address,
            authentication_certificate=encoded,
            signing_certificate=base64.b64decode(signing.certificate),
            authentication_signature=sign(server.private_key(certificate), text),
            signing_signature=sign(server.private_key(signing), text),
        )
    except TokenLoggedOutError:
        raise conflict("token_not_active") from None
    content_type, body = request.encode()
    try:
        with httpx.Client(
            verify=pinned(parameters.registration_certificate),
            timeout=_TIMEOUT_SECONDS,
            trust_env=False,
        ) as http:
            response = http.post(
                parameters.registration_address,
                content=body,
                headers={"Content-Type": content_type},
            )
        return _request_number(response)
    except ManagementError as problem:
        raise _refusal(problem) from None
    except httpx.HTTPError as problem:
        raise internal_error("management_request_sending_failed", str(problem)) from None


def pinned(certificate: str) -> ssl.SSLContext:
    """Trust exactly the certificate that the configuration names, whatever its name is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=der(decode(certificate)))
    return context


def send(server: SecurityServer, operation: str, **fields: str) -> int:
    """Send a management request as a message of the server's owner; returns its number.

    ApiError if the message can't be sent or the central server refuses.
    """
    identifier, parameters = server.initialized_id(), server.api_configuration()
    if parameters.management_service_provider is None:
        raise internal_error("management_request_sending_failed", "no provider")
    provider = ClientId.parse(parameters.management_service_provider)
    body = management_protocol.envelope(operation, {"server": str(identifier), **fields})
    request = Request.management(identifier.owner, ServiceId(provider, operation), body)
    try:
        response = message_client.send_and_wait(server, request)
        return _request_number(response.body)
    except MessageError as problem:
        raise internal_error("management_request_sending_failed", problem.type, problem.message) from None
    except ManagementError as problem:
        raise _refusal(problem) from None
