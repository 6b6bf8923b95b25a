"""The consumer's side: ports 8080 and 8443, and the way of a request to the provider."""

from __future__ import annotations

import asyncio
import logging
import ssl
import uuid
from collections.abc import Sequence
from dataclasses import replace
from http import HTTPStatus
from xml.sax.saxutils import escape

from cryptography.exceptions import InvalidSignature
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.responses import Response as HttpResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from xroad_simulator import management_protocol
from xroad_simulator.certificates import (
    CertificateError,
    decode,
    fingerprint,
    is_signing,
    parse_certificate,
    signing_member,
)
from xroad_simulator.global_configuration import ConfigurationError, Parameters
from xroad_simulator.global_configuration import SecurityServer as RegisteredServer
from xroad_simulator.identifiers import ClientId, ServerId, ServiceId
from xroad_simulator.listeners import PEER_CERTIFICATE
from xroad_simulator.management_protocol import ManagementError
from xroad_simulator.ocsp import OcspError
from xroad_simulator.security import signed_documents
from xroad_simulator.security.certificate_status import ask_peer, carried_authorities
from xroad_simulator.security.message import (
    REST_RESPONSE,
    Envelope,
    MessageError,
    Request,
    Response,
    forwarded,
)
from xroad_simulator.security.message_log import MessageLog, Side
from xroad_simulator.security.records import (
    ClientRecord,
    ClientStatus,
    ConnectionType,
    TlsCertificateRecord,
    Usage,
)
from xroad_simulator.security.server import SecurityServer
from xroad_simulator.security.signatures import Opened, Signature
from xroad_simulator.security.signed_documents import PATHS, DocumentError
from xroad_simulator.security.time_stamping import log_message
from xroad_simulator.security.transport import (
    Address,
    Connection,
    Transport,
    authentication_certificate,
    check_peer,
)
from xroad_simulator.software_token import TokenLoggedOutError

_LOG = logging.getLogger(__name__)
_SIDE = "Server.ClientProxy"
_PREFIX = "/r1/"
_REPLACED = {
    "x-road-client",
    "x-road-service",
    "x-road-id",
    "x-road-request-id",
    "x-road-request-hash",
    "x-road-security-server",
}


def send_and_wait(server: SecurityServer, request: Request) -> Response:
    """Send a request of the server's own from a thread without an event loop."""
    return asyncio.run(send(server, Transport(server), request))


async def send(server: SecurityServer, transport: Transport, request: Request) -> Response:
    """Sign, log, send, check and log the answer; MessageError if any of that fails."""
    try:
        parameters = server.configuration()
    except ConfigurationError as problem:
        raise MessageError(f"{_SIDE}.OutdatedGlobalConf", str(problem)) from problem
    envelope = seal(
        server, parameters, request.client, request.content_type, (request.head(), request.body), _SIDE
    )
    addresses = _addresses(server, parameters, request)
    context, own = transport.refresh(), authentication_certificate(server)
    if context is None or own is None:
        raise MessageError(
            f"{_SIDE}.SslAuthenticationFailed",
            "Security server has no valid authentication certificate",
        )
    shown = server.statuses.shown(decode(own.certificate), parameters)
    envelope, log = replace(envelope, statuses=tuple(shown)), MessageLog(server)
    await log_message(server, log, Side.CONSUMER, request, envelope)
    status, answer_type, answer = await _exchange(server, transport, context, addresses, request, envelope)
    sealed = open_answer(server, request, status, answer_type, answer)
    response = Response.parse(sealed.head, sealed.body)
    await log_message(server, log, Side.CONSUMER, request, sealed, response)
    return response


async def _exchange(
    server: SecurityServer,
    transport: Transport,
    context: ssl.SSLContext,
    addresses: list[Address],
    request: Request,
    envelope: Envelope,
) -> tuple[int, str, bytes]:
    """Status, content type and body of what the provider's server answers, once it has shown who it is."""
    try:
        connection = await transport.connect(addresses, context)
    except ssl.SSLError as error:
        raise MessageError(f"{_SIDE}.SslAuthenticationFailed", str(error)) from error
    except (OSError, TimeoutError) as error:
        raise MessageError(
            f"{_SIDE}.NetworkError",
            f"Could not connect to any target host ({', '.join(h for h, _ in addresses)}): {error}",
        ) from error
    try:
        peer = connection.peer_certificate
        statuses = () if peer is None else await _peer_statuses(server, connection, peer)
        peers = check_peer(server, peer, statuses, "ClientProxy")
        _check_provider(server.configuration(), request.service.client, peers)
        content_type, body = envelope.encode()
        return await asyncio.wait_for(
            connection.post(request.request_id, content_type, body), server.settings.answer_timeout
        )
    except TimeoutError as error:
        raise MessageError(f"{_SIDE}.NetworkError", "The provider didn't answer in time") from error
    except (OSError, ssl.SSLError) as error:
        raise MessageError(f"{_SIDE}.NetworkError", str(error)) from error
    finally:
        await connection.close()


async def _peer_statuses(server: SecurityServer, connection: Connection, peer: bytes) -> Sequence[bytes]:
    return await ask_peer(server, connection.peer_address, parse_certificate(peer))


def seal(
    server: SecurityServer,
    parameters: Parameters,
    signer: ClientId,
    content_type: str,
    message: tuple[bytes, bytes],
    side: str,
) -> Envelope:
    """A message of head and body that a client of this server signs; MessageError if it can't."""
    record = server.active_certificate(Usage.SIGNING, signer)
    if record is None:
        raise MessageError(
            f"{side}.CannotCreateSignature", f"Member '{signer.member}' has no suitable certificates"
        )
    try:
        key = server.private_key(record)
    except TokenLoggedOutError as error:
        raise MessageError(f"{side}.TokenNotActive", "The token is logged out") from error
    certificate = decode(record.certificate)
    signature = Signature.make(
        certificate,
        key,
        [part for part in message if part],
        server.statuses.shown(certificate, parameters),
        carried_authorities(certificate, parameters),
    )
    return Envelope(content_type, *message, signature)


def _addresses(server: SecurityServer, parameters: Parameters, request: Request) -> list[tuple[str, int]]:
    hosts = parameters.servers_of(request.service.client)
    if request.security_server is not None:
        hosts = [host for host in hosts if host.id == str(request.security_server)]
    if not hosts:
        raise MessageError(
            f"{_SIDE}.UnknownMember",
            f"Could not find addresses for service provider '{request.service.client}'",
        )
    available = [host for host in hosts if not host.in_maintenance]
    if not available:
        raise MessageError(f"{_SIDE}.maintenance_mode", _in_maintenance(hosts[0]))
    port = server.settings.listening.port(server.settings.message_port)
    return [(host.address, port) for host in available]


def _in_maintenance(host: RegisteredServer) -> str:
    """What a consumer is told of a provider's server (`AbstractClientMessageProcessor.java`)."""
    text = f'Security server with address "{host.address}" is in maintenance mode'
    if not host.maintenance_message:
        return text
    return f'{text}. Message from "{host.address}" administrator: {host.maintenance_message}'


def _check_provider(parameters: Parameters, provider: ClientId, peers: list[str]) -> None:
    hosts = {host.id for host in parameters.servers_of(provider)}
    if not hosts.intersection(peers):
        raise MessageError(
            f"{_SIDE}.SslAuthenticationFailed",
            f"Client '{provider}' is not registered at security server {', '.join(peers)}",
        )


def open_answer(
    server: SecurityServer, request: Request, status: int, content_type: str, answer: bytes
) -> Envelope:
    """The provider's message, its signature checked; MessageError if it is a fault or is wrong."""
    if content_type.startswith("text/xml"):
        try:
            management_protocol.read_envelope(answer)
        except ManagementError as fault:
            text, _, detail = fault.text.rpartition(" | ")
            raise MessageError(fault.code, text, detail) from None
    if status != HTTPStatus.OK:
        raise MessageError(f"{_SIDE}.InvalidMessage", f"The provider's server answered {status}")
    try:
        sealed = Envelope.decode(content_type, answer)
        response = Response.parse(sealed.head, sealed.body)
    except ValueError as error:
        raise MessageError(f"{_SIDE}.InvalidMessage", str(error)) from error
    if sealed.content_type != REST_RESPONSE:
        raise MessageError(f"{_SIDE}.InvalidMessage", f"Unexpected part {sealed.content_type}")
    check_signature(server, sealed, request.service.client, _SIDE)
    expected = {
        "client id": ("X-Road-Client", request.client.path),
        "message id": ("X-Road-Id", request.message_id),
        "service id": ("X-Road-Service", request.service.path),
        "message request id": ("X-Road-Request-Id", request.request_id),
        "message hash": ("X-Road-Request-Hash", request.hash()),
    }
    for name, (header, value) in expected.items():
        if response.header(header) != value:
            raise MessageError(
                f"{_SIDE}.InconsistentResponse", f"Response {name} does not match request message"
            )
    return sealed


def check_signature(server: SecurityServer, sealed: Envelope, signer: ClientId, side: str) -> None:
    """MessageError unless a member's certificate of an approved CA, with a good status, signed the message."""
    try:
        certificate = sealed.signature.verify(sealed.parts)
        if not is_signing(certificate) or not server.is_issued_by_approved(certificate):
            raise MessageError(f"{side}.InvalidSignatureValue", "Signing certificate is not of an approved CA")
        server.require_good(certificate, Opened.read(sealed.signature.xml).statuses)
        member = signing_member(certificate, signer.instance)
    except OcspError as error:
        raise MessageError(f"{side}.InvalidSignatureValue", error.detail) from error
    except InvalidSignature as error:
        raise MessageError(f"{side}.InvalidSignatureValue", "Signature does not match the message") from error
    except CertificateError as error:
        raise MessageError(f"{side}.IncorrectCertificate", str(error)) from error
    if member != signer.member:
        raise MessageError(
            f"{side}.InvalidSignatureValue",
            "Name in certificate does not match name in message",
        )


def _service(parts: Sequence[str]) -> ServiceId:
    """The service that an address means; ValueError if it is too short.

    Five parts name a subsystem's service. A member's own service has four, which can't be told
    from a subsystem's with a path: as in X-Road's security server, subsystems are assumed.
    """
    if len(parts) < 5:
        raise ValueError("the address names no service of a subsystem")
    return ServiceId.read(parts[:5])


class ClientApplication:
    """Where information systems call: REST messages of local clients."""

    def __init__(self, server: SecurityServer, transport: Transport, *, is_tls: bool) -> None:
        self._server = server
        self._transport = transport
        self._is_tls = is_tls

    async def __call__(self, scope: Scope, receive: Receive, send_: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        http = HttpRequest(scope, receive)
        answer: ASGIApp
        try:
            answer = await (self._beside(http) if http.url.path in PATHS else self._answer(http))
        except DocumentError as refusal:
            _LOG.warning("%s: %s", http.url.path, refusal.text)
            answer = PlainTextResponse(refusal.text, refusal.status)
        except MessageError as fault:
            answer = _fault_response(fault, http)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets a fault
            _LOG.exception("request failed")
            answer = _fault_response(MessageError(f"{_SIDE}.InternalError", type(error).__name__), http)
        await answer(scope, receive, send_)

    async def _beside(self, http: HttpRequest) -> HttpResponse:
        """What the port offers beside messages."""
        if http.method != "GET":
            raise MessageError("Client.BadRequest", f"{http.url.path} is for GET")
        if http.url.path == "/verificationconf":
            return signed_documents.verification_configuration(self._server)
        if http.url.path == "/listClients":
            try:
                return signed_documents.clients(self._server.configuration(), http)
            except ConfigurationError as problem:
                raise MessageError(f"{_SIDE}.OutdatedGlobalConf", str(problem)) from problem
        client = signed_documents.wanted_client(http.query_params)
        try:
            self._check_client(http, client)
        except MessageError as fault:
            raise DocumentError(HTTPStatus.UNAUTHORIZED, fault.message) from fault
        return await signed_documents.documents(self._server, client, http.query_params)

    async def _answer(self, http: HttpRequest) -> HttpResponse:
        raw = bytes(http.scope["raw_path"]).decode("ascii").partition("?")[0]
        if not raw.startswith(_PREFIX):
            raise MessageError("Client.BadRequest", "The address doesn't begin with /r1/")
        request = self._read(http, raw, await http.body())
        self._check_client(http, request.client)
        response = await send(self._server, self._transport, request)
        made = HttpResponse(response.body, status_code=response.status)
        made.raw_headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.headers
        ]
        made.raw_headers.append((b"content-length", str(len(response.body)).encode()))
        return made

    def _read(self, http: HttpRequest, raw: str, body: bytes) -> Request:
        parts = raw.removeprefix(_PREFIX).split("/")
        caller = http.headers.get("x-road-client")
        if not caller:
            raise MessageError("Client.BadRequest", "Required header X-Road-Client is missing")
        try:
            client = ClientId.parse(caller, "/")
            service = _service(parts)
            pinned = http.headers.get("x-road-security-server")
            security_server = None if pinned is None else ServerId.parse(pinned, "/")
        except ValueError as error:
            raise MessageError("Client.BadRequest", str(error)) from error
        return Request(
            client=client,
            service=service,
            message_id=http.headers.get("x-road-id") or f"{client.instance}-{uuid.uuid4()}",
            method=http.method,
            path="".join(f"/{part}" for part in parts[5:]),
            query=http.url.query,
            headers=forwarded(item for item in http.headers.items() if item[0] not in _REPLACED),
            body=body,
            security_server=security_server,
        )

    def _check_client(self, http: HttpRequest, client: ClientId) -> None:
        record = self._server.store.get(ClientRecord, str(client))
        if record is None or record.status is not ClientStatus.REGISTERED:
            raise MessageError(f"{_SIDE}.UnknownMember", f"Client '{client}' not found")
        if record.connection_type is ConnectionType.HTTP:
            return
        if not self._is_tls:
            raise MessageError(
                f"{_SIDE}.SslAuthenticationFailed",
                f"Client (INFORMATION SYSTEM) of '{client}' made a plaintext connection",
            )
        if record.connection_type is ConnectionType.HTTPS:
            shown = http.scope.get(PEER_CERTIFICATE)
            hash_ = "" if shown is None else fingerprint(parse_certificate(shown))
            if self._server.store.get(TlsCertificateRecord, f"{record.id}|{hash_}") is None:
                raise MessageError(
                    f"{_SIDE}.SslAuthenticationFailed",
                    f"Client '{client}' did not show a TLS certificate that it has registered",
                )


def _fault_response(fault: MessageError, http: HttpRequest) -> HttpResponse:
    """The error as JSON, or as XML for who accepts that (X-Road's `ClientRestMessageHandler`)."""
    _LOG.warning("%s [%s]", fault, fault.detail)
    headers = {"X-Road-Error": fault.type}
    accepted = [item.split(";")[0].strip().lower() for item in http.headers.get("accept", "").split(",")]
    kind = next((item for item in accepted if item in ("text/xml", "application/xml", "text/*")), None)
    if kind is None:
        return JSONResponse(fault.body(), fault.status, headers=headers)
    fields = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in fault.body().items())
    document = f'<?xml version="1.0" encoding="UTF-8"?><error>{fields}</error>'
    media_type = "text/xml" if kind == "text/*" else kind
    return HttpResponse(document, fault.status, headers=headers, media_type=media_type)
