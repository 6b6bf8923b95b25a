"""The consumer's side: ports 8080 and 8443, and the way of a request to the provider."""

from __future__ import annotations

import asyncio
import logging
import ssl
import uuid
from dataclasses import replace
from http import HTTPStatus

from cryptography.exceptions import InvalidSignature
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse
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
from xroad_simulator.identifiers import ClientId, ServerId, ServiceId
from xroad_simulator.listeners import PEER_CERTIFICATE
from xroad_simulator.management_protocol import ManagementError
from xroad_simulator.ocsp import OcspError
from xroad_simulator.security.certificate_status import ask_peer
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
from xroad_simulator.security.transport import Connection, Transport, authentication_certificate, check_peer
from xroad_simulator.software_token import TokenLoggedOutError

_LOG = logging.getLogger(__name__)
_SIDE = "Server.ClientProxy"
_PREFIX = "/r1/"


def send_and_wait(server: SecurityServer, request: Request) -> Response:
    """Send a request of the server's own from a thread without an event loop."""
    return asyncio.run(send(server, Transport(server), request))


async def send(server: SecurityServer, transport: Transport, request: Request) -> Response:
    """Sign, log, send, check and log the answer; MessageError if any of that fails."""
    try:
        parameters = server.configuration()
    except ConfigurationError as problem:
        raise MessageError(f"{_SIDE}.OutdatedGlobalConf", str(problem)) from problem
    envelope = _seal(server, request)
    addresses = _addresses(server, parameters, request)
    context = transport.refresh()
    if context is None:
        raise MessageError(
            f"{_SIDE}.SslAuthenticationFailed",
            "Security server has no valid authentication certificate",
        )
    log = MessageLog(server)
    own = authentication_certificate(server)
    if own is not None:
        envelope = replace(envelope, sender_status=server.statuses.own(decode(own.certificate)))
    log.write(Side.CONSUMER, request, envelope, is_response=False)
    try:
        connection = await Connection.open(addresses, context)
    except ssl.SSLError as error:
        raise MessageError(f"{_SIDE}.SslAuthenticationFailed", str(error)) from error
    except (OSError, TimeoutError) as error:
        raise MessageError(
            f"{_SIDE}.NetworkError",
            f"Could not connect to any target host ({', '.join(h for h, _ in addresses)}): {error}",
        ) from error
    try:
        peer = connection.peer_certificate
        status_of_peer = None if peer is None else await _peer_status(server, connection, peer)
        peers = check_peer(server, peer, status_of_peer, "ClientProxy")
        _check_provider(parameters, request.service.client, peers)
        content_type, body = envelope.encode()
        status, answer_type, answer = await asyncio.wait_for(
            connection.post(addresses[0][0], content_type, body), server.settings.client_timeout
        )
    except TimeoutError as error:
        raise MessageError(f"{_SIDE}.NetworkError", "The provider didn't answer in time") from error
    except (OSError, ssl.SSLError) as error:
        raise MessageError(f"{_SIDE}.NetworkError", str(error)) from error
    finally:
        await connection.close()
    sealed = _open(server, request, status, answer_type, answer)
    log.write(Side.CONSUMER, request, sealed, is_response=True)
    return Response.parse(sealed.head, sealed.body)


async def _peer_status(server: SecurityServer, connection: Connection, peer: bytes) -> bytes | None:
    return await ask_peer(server, connection.peer_address, parse_certificate(peer))


def _seal(server: SecurityServer, request: Request) -> Envelope:
    record = server.active_certificate(Usage.SIGNING, request.client)
    if record is None:
        raise MessageError(
            f"{_SIDE}.CannotCreateSignature",
            f"Member '{request.client.member}' has no suitable certificates",
        )
    try:
        key = server.private_key(record)
    except TokenLoggedOutError as error:
        raise MessageError(f"{_SIDE}.TokenNotActive", "The token is logged out") from error
    certificate = decode(record.certificate)
    status = server.statuses.own(certificate)
    return Envelope.seal(request.content_type, request.head(), request.body, certificate, key, status)


def _addresses(server: SecurityServer, parameters: Parameters, request: Request) -> list[tuple[str, int]]:
    hosts = parameters.servers_of(request.service.client)
    if request.security_server is not None:
        hosts = [host for host in hosts if host.id == str(request.security_server)]
    if not hosts:
        raise MessageError(
            f"{_SIDE}.UnknownMember",
            f"Could not find addresses for service provider '{request.service.client}'",
        )
    port = server.settings.listening.port(server.settings.message_port)
    return [(host.address, port) for host in hosts]


def _check_provider(parameters: Parameters, provider: ClientId, peers: list[str]) -> None:
    hosts = {host.id for host in parameters.servers_of(provider)}
    if not hosts.intersection(peers):
        raise MessageError(
            f"{_SIDE}.SslAuthenticationFailed",
            f"Client '{provider}' is not registered at security server {', '.join(peers)}",
        )


def _open(server: SecurityServer, request: Request, status: int, content_type: str, answer: bytes) -> Envelope:
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
    if response.header("X-Road-Request-Hash") != request.hash():
        raise MessageError(
            f"{_SIDE}.InconsistentResponse",
            "Request hash from the response does not match the request",
        )
    return sealed


def check_signature(server: SecurityServer, sealed: Envelope, signer: ClientId, side: str) -> None:
    """MessageError unless a member's certificate of an approved CA, with a good status, signed the message."""
    certificate = sealed.signature.certificate
    try:
        sealed.verify()
        if not is_signing(certificate) or not server.is_issued_by_approved(certificate):
            raise MessageError(f"{side}.InvalidSignatureValue", "Signing certificate is not of an approved CA")
        server.require_good(certificate, sealed.signature.status)
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
            answer = await self._answer(http)
        except MessageError as fault:
            answer = _fault_response(fault)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets a fault
            _LOG.exception("request failed")
            answer = _fault_response(MessageError(f"{_SIDE}.InternalError", type(error).__name__))
        await answer(scope, receive, send_)

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
            service = self._service(parts)
            pinned = http.headers.get("x-road-security-server")
            security_server = None if pinned is None else ServerId.parse(pinned, "/")
        except ValueError as error:
            raise MessageError("Client.BadRequest", str(error)) from error
        rest = parts[len(service.client.parts) + 1 :]
        headers = [
            (name, value)
            for name, value in http.headers.items()
            if not name.startswith("x-road-")
            or name in ("x-road-userid", "x-road-issue", "x-road-represented-party")
        ]
        return Request(
            client=client,
            service=service,
            message_id=http.headers.get("x-road-id") or f"{client.instance}-{uuid.uuid4()}",
            method=http.method,
            path="".join(f"/{part}" for part in rest),
            query=http.url.query,
            headers=forwarded(headers),
            body=body,
            security_server=security_server,
        )

    def _service(self, parts: list[str]) -> ServiceId:
        """The service that an address means; ValueError if it is too short.

        Five parts name a subsystem's service. A member's own service has four, which can't be told
        from a subsystem's with a path: as in X-Road's security server, subsystems are assumed.
        """
        if len(parts) < 5:
            raise ValueError("the address names no service of a subsystem")
        owner = ClientId.parse("/".join(parts[:4]), "/")
        return ServiceId.parse(f"{owner}:{parts[4]}")

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


def _fault_response(fault: MessageError) -> JSONResponse:
    _LOG.warning("%s [%s]", fault, fault.detail)
    return JSONResponse(fault.body(), fault.status, headers={"X-Road-Error": fault.type})
