"""The provider's side: port 5500, access rights, and the call of the service itself."""

from __future__ import annotations

import logging
import re
import ssl
from urllib.parse import urlsplit

import httpx
from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse
from starlette.types import Receive, Scope, Send

from xroad_simulator import management_protocol
from xroad_simulator.certificates import decode, der
from xroad_simulator.global_configuration import ConfigurationError
from xroad_simulator.identifiers import ClientId
from xroad_simulator.listeners import PEER_CERTIFICATE
from xroad_simulator.security.message import (
    REST_REQUEST,
    REST_RESPONSE,
    SOAP,
    Envelope,
    MessageError,
    Request,
    Response,
    forwarded,
)
from xroad_simulator.security.message_client import check_signature
from xroad_simulator.security.message_log import MessageLog, Side
from xroad_simulator.security.records import (
    ClientRecord,
    ClientStatus,
    EndpointRecord,
    ServiceRecord,
    TlsCertificateRecord,
    Usage,
)
from xroad_simulator.security.server import SecurityServer
from xroad_simulator.security.transport import check_peer
from xroad_simulator.software_token import TokenLoggedOutError

_LOG = logging.getLogger(__name__)
_SIDE = "Server.ServerProxy"


class MessageApplication:
    """Where other security servers deliver messages."""

    def __init__(self, server: SecurityServer) -> None:
        self._server = server
        self._log = MessageLog(server)
        self._trust: ssl.SSLContext | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one message."""
        if scope["type"] != "http":
            return
        http = HttpRequest(scope, receive)
        try:
            content_type, body = await self._answer(http)
        except MessageError as fault:
            content_type, body = _fault(fault)
        except ConfigurationError as problem:
            content_type, body = _fault(MessageError(f"{_SIDE}.OutdatedGlobalConf", str(problem)))
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets a fault
            _LOG.exception("message failed")
            content_type, body = _fault(MessageError(f"{_SIDE}.InternalError", type(error).__name__))
        answer = HttpResponse(body, headers={"content-type": content_type})
        await answer(scope, receive, send)

    async def _answer(self, http: HttpRequest) -> tuple[str, bytes]:
        try:
            sealed = Envelope.decode(http.headers.get("content-type", ""), await http.body())
        except ValueError as error:
            raise MessageError(f"{_SIDE}.InvalidMessage", str(error)) from error
        shown = http.scope.get(PEER_CERTIFICATE)
        peers = check_peer(self._server, shown, sealed.sender_status, "ServerProxy")
        try:
            request = Request.parse(sealed.content_type, sealed.head, sealed.body)
        except ValueError as error:
            raise MessageError(f"{_SIDE}.InvalidMessage", str(error)) from error
        if sealed.content_type not in (REST_REQUEST, SOAP):
            raise MessageError(f"{_SIDE}.InvalidMessage", f"Unexpected part {sealed.content_type}")
        self._check_sender(request.client, peers)
        check_signature(self._server, sealed, request.client, _SIDE)
        service = self._find_service(request)
        self._check_rights(request, service)
        self._log.write(Side.PROVIDER, request, sealed, is_response=False)
        response = await self._call(request, service)
        answer = self._seal(request, response)
        self._log.write(Side.PROVIDER, request, answer, is_response=True)
        return answer.encode()

    def _check_sender(self, client: ClientId, peers: list[str]) -> None:
        """The certificate that the peer showed must be of a server that represents the client."""
        hosts = {host.id for host in self._server.configuration().servers_of(client)}
        if not hosts.intersection(peers):
            raise MessageError(
                f"{_SIDE}.SslAuthenticationFailed",
                f"Client '{client}' is not registered at security server {', '.join(peers)}",
            )

    def _find_service(self, request: Request) -> ServiceRecord:
        store, provider = self._server.store, request.service.client
        client = store.get(ClientRecord, str(provider))
        if client is None or client.status is not ClientStatus.REGISTERED:
            raise MessageError(f"{_SIDE}.UnknownMember", f"Client '{provider}' not found")
        service = store.get(ServiceRecord, f"{provider}|{request.service.code}")
        if service is None:
            raise MessageError(f"{_SIDE}.UnknownService", f"Unknown service: {request.service}")
        description = self._server.description(service.description)
        if description.disabled:
            raise MessageError(
                f"{_SIDE}.ServiceDisabled",
                f"Service {request.service} is disabled: {description.disabled_notice}",
            )
        return service

    def _check_rights(self, request: Request, service: ServiceRecord) -> None:
        subjects = self._server.subjects_of(request.client)
        rights = {endpoint for endpoint, subject in self._server.rights_to(service) if subject in subjects}
        if not any(
            endpoint.id in rights and matches(endpoint, request.method, request.path)
            for endpoint in self._server.endpoints_of(service)
        ):
            raise MessageError(f"{_SIDE}.AccessDenied", f"Request is not allowed: {request.service}")

    def _context(self, service: ServiceRecord) -> ssl.SSLContext | bool:
        """System trust and the client's own list, or no check where the service wants none."""
        if not service.verify_tls:
            return False
        if self._trust is None:
            self._trust = _system_trust()
        listed = self._server.store.all(TlsCertificateRecord, f"{service.client}|")
        if not listed:
            return self._trust
        context = _system_trust()
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        for record in listed:
            context.load_verify_locations(cadata=der(decode(record.certificate)))
        return context

    async def _call(self, request: Request, service: ServiceRecord) -> Response:
        url = service.url.rstrip("/") + request.path if request.path else service.url
        url += f"?{request.query}" if request.query else ""
        headers = [*request.all_headers()] if request.content_type == REST_REQUEST else [*request.headers]
        try:
            async with httpx.AsyncClient(
                verify=self._context(service),
                timeout=service.timeout_seconds or None,
                follow_redirects=False,
                trust_env=False,
            ) as http:
                answer = await http.request(request.method, url, headers=headers, content=request.body or None)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            host = urlsplit(service.url).netloc
            raise MessageError(f"{_SIDE}.ServiceFailed.NetworkError", f"{host}: {error}") from error
        own = (
            ("X-Road-Client", request.client.path),
            ("X-Road-Service", request.service.path),
            ("X-Road-Id", request.message_id),
            ("X-Road-Request-Id", request.request_id),
            ("X-Road-Request-Hash", request.hash()),
        )
        return Response(answer.status_code, (*own, *forwarded(answer.headers.multi_items())), answer.content)

    def _seal(self, request: Request, response: Response) -> Envelope:
        record = self._server.active_certificate(Usage.SIGNING, request.service.client)
        if record is None:
            raise MessageError(
                f"{_SIDE}.CannotCreateSignature",
                f"Member '{request.service.client.member}' has no suitable certificates",
            )
        try:
            key = self._server.private_key(record)
        except TokenLoggedOutError as error:
            raise MessageError(f"{_SIDE}.TokenNotActive", "The token is logged out") from error
        certificate = decode(record.certificate)
        status = self._server.statuses.own(certificate)
        return Envelope.seal(REST_RESPONSE, response.head(), response.body, certificate, key, status)


def _system_trust() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    return context


def _fault(fault: MessageError) -> tuple[str, bytes]:
    _LOG.warning("%s [%s]", fault, fault.detail)
    return "text/xml", management_protocol.fault(fault.type, f"{fault.message} | {fault.detail}")


def matches(endpoint: EndpointRecord, method: str, path: str) -> bool:
    """Whether a call is one of an endpoint: `*` is one part of a path, `**` any number.

    Parameters of OpenAPI descriptions, `{name}`, are one part as well.
    """
    if endpoint.method not in ("*", method):
        return False
    if endpoint.path == "**":
        return True
    pattern = re.sub(r"\{[^/}]*\}", "*", endpoint.path)
    expression = "".join(
        ".*" if piece == "**" else "[^/]+" if piece == "*" else re.escape(piece)
        for piece in re.split(r"(\*\*|\*)", pattern)
    )
    return re.fullmatch(expression, path or "/") is not None
