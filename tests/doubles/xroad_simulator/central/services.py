"""What security servers ask of the central server: configuration, registration, management."""

from __future__ import annotations

import base64
import logging

from cryptography.exceptions import InvalidSignature
from fastapi import FastAPI, HTTPException, Request, Response

from xroad_simulator import management_protocol, parameters_xml, software_token
from xroad_simulator.central import management_requests
from xroad_simulator.central.configuration import parameters, parts_of
from xroad_simulator.central.records import (
    GenerationRecord,
    RequestOrigin,
    RequestType,
    Source,
)
from xroad_simulator.central.server import Central, CentralServer
from xroad_simulator.certificates import (
    CertificateError,
    encode,
    is_authentication,
    is_signing,
    issuer_among,
    parse_certificate,
    signing_member,
)
from xroad_simulator.errors import ApiError
from xroad_simulator.identifiers import ClientId, ServerId
from xroad_simulator.management_protocol import CertificateRegistration, ManagementError
from xroad_simulator.signed_directory import content_type

_LOG = logging.getLogger(__name__)
_XML = "text/xml"


def configuration_application(server: CentralServer) -> FastAPI:
    """Ports 80 and 443: the signed configuration and the description of management services."""
    app = FastAPI(openapi_url=None)
    app.state.server = server

    @app.get("/internalconf")
    def internal(version: int = parameters_xml.OLDEST) -> Response:
        return _document(server, Source.INTERNAL, version)

    @app.get("/externalconf")
    def external(version: int = parameters_xml.OLDEST) -> Response:
        return _document(server, Source.EXTERNAL, version)

    @app.get("/managementservices.wsdl")
    def wsdl() -> Response:
        address = server.url("https", 4002, "/managementservice/manage/")
        return Response(management_protocol.description(address), media_type=_XML)

    @app.get("/V{version}/{folder}/{name}")
    def content(version: int, folder: str, name: str) -> Response:
        for part in parts_of(server, Source.INTERNAL, version):
            if part.location == f"/V{version}/{folder}/{name}":
                return Response(part.content, media_type=_XML)
        raise HTTPException(404)

    return app


def _document(server: CentralServer, source: Source, version: int) -> Response:
    record = server.store.get(GenerationRecord, f"{source}:{version}")
    if record is None:
        raise HTTPException(404)
    document = base64.b64decode(record.document)
    # The file begins with the type that the web server has to give it.
    return Response(document.partition(b"\r\n\r\n")[2], headers={"Content-Type": content_type(document)})


def registration_application(server: CentralServer) -> FastAPI:
    """Port 4001: registration of authentication certificates."""
    app = FastAPI(openapi_url=None)
    app.state.server = server

    @app.post("/managementservice/")
    async def register(request: Request, central: Central) -> Response:
        try:
            decoded = CertificateRegistration.decode(
                request.headers.get("content-type", ""), await request.body()
            )
            number = _register_certificate(central, decoded)
        except ManagementError as refusal:
            return Response(management_protocol.fault(refusal.code, refusal.text), 500, media_type=_XML)
        except ApiError as refusal:
            text = ", ".join(refusal.metadata)
            return Response(management_protocol.fault(refusal.code, text), 500, media_type=_XML)
        return Response(
            management_protocol.envelope("authCertRegResponse", {"requestId": str(number)}),
            media_type=_XML,
        )

    return app


def _register_certificate(server: CentralServer, decoded: CertificateRegistration) -> int:
    """Check both signatures and certificates as X-Road does, then take the request in."""
    try:
        identifier = ServerId.parse(decoded.server)
        authentication = parse_certificate(decoded.authentication_certificate)
        signing = parse_certificate(decoded.signing_certificate)
        software_token.verify(authentication.public_key(), decoded.authentication_signature, decoded.text())
        software_token.verify(signing.public_key(), decoded.signing_signature, decoded.text())
        owner = signing_member(signing, identifier.instance)
    except InvalidSignature as error:
        raise ManagementError("InvalidSignatureValue", "a signature doesn't match") from error
    except (CertificateError, ValueError) as error:
        raise ManagementError("InvalidRequest", str(error)) from error
    if not is_authentication(authentication) or not is_signing(signing):
        raise ManagementError("InvalidRequest", "a certificate has the wrong usage")
    authorities = parameters(server).authorities()
    for certificate in (authentication, signing):
        if issuer_among(certificate, authorities) is None:
            raise ManagementError("CannotCreateCertPath", "not issued by an approved CA")
    if owner != identifier.owner:
        raise ManagementError("InvalidClientIdentifier", "not signed by the server's owner")
    record = management_requests.submit(
        server,
        RequestType.AUTH_CERT_REGISTRATION,
        RequestOrigin.SECURITY_SERVER,
        str(identifier),
        address=decoded.address,
        certificate=encode(authentication),
    )
    return record.id


_TYPES = {
    "clientReg": RequestType.CLIENT_REGISTRATION,
    "clientDeletion": RequestType.CLIENT_DELETION,
    "clientDisable": RequestType.CLIENT_DISABLE,
    "clientEnable": RequestType.CLIENT_ENABLE,
    "clientRename": RequestType.CLIENT_RENAME,
    "ownerChange": RequestType.OWNER_CHANGE,
    "authCertDeletion": RequestType.AUTH_CERT_DELETION,
    "addressChange": RequestType.ADDRESS_CHANGE,
    "maintenanceModeEnable": RequestType.MAINTENANCE_MODE_ENABLE,
    "maintenanceModeDisable": RequestType.MAINTENANCE_MODE_DISABLE,
}


def management_application(server: CentralServer) -> FastAPI:
    """Port 4002: management services, called by the management security server only."""
    app = FastAPI(openapi_url=None)
    app.state.server = server

    @app.post("/managementservice/manage/")
    async def manage(request: Request, central: Central) -> Response:
        try:
            operation, fields = management_protocol.read_envelope(await request.body())
            number = _manage(central, operation, fields)
        except ManagementError as refusal:
            return Response(management_protocol.fault(refusal.code, refusal.text), 500, media_type=_XML)
        except ApiError as refusal:
            text = ", ".join(refusal.metadata)
            return Response(management_protocol.fault(refusal.code, text), 500, media_type=_XML)
        return Response(
            management_protocol.envelope(f"{operation}Response", {"requestId": str(number)}),
            media_type=_XML,
        )

    return app


def _manage(server: CentralServer, operation: str, fields: dict[str, str]) -> int:
    type_ = _TYPES.get(operation)
    if type_ is None:
        raise ManagementError("Server.ServerProxy.UnknownService", operation)
    try:
        target = ServerId.parse(fields.pop("server", ""))
        if "client" in fields:
            fields["client"] = str(ClientId.parse(fields["client"]))
        if "certificate" in fields:
            fields["certificate"] = encode(parse_certificate(base64.b64decode(fields["certificate"])))
    except (ValueError, CertificateError) as error:
        raise ManagementError("InvalidRequest", str(error)) from error
    if "message" in fields:
        fields["comments"] = fields.pop("message")
    unknown = set(fields) - {"client", "address", "certificate", "subsystem_name", "comments"}
    if unknown:
        raise ManagementError("InvalidRequest", f"unknown fields {sorted(unknown)}")
    # The sender is known to be the server's owner: its message was signed and its right checked
    # by the management security server, which alone may reach this port.
    record = management_requests.submit(server, type_, RequestOrigin.SECURITY_SERVER, str(target), **fields)
    _LOG.info("%s for %s is request %d, %s", operation, target, record.id, record.status)
    return record.id
