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
from xroad_simulator.security import access_rights, metaservices
from xroad_simulator.security.message import (
    REST_REQUEST,
    REST_RESPONSE,
    SOAP,
    Envelope,
    MessageError,
    Request,
    Response,
)
from xroad_simulator.security.message_client import check_signature, seal
from xroad_simulator.security.message_log import MessageLog, Side
from xroad_simulator.security.records import (
    ClientRecord,
    ClientStatus,
    ServiceRecord,
    ServiceType,
    TlsCertificateRecord,
)
from xroad_simulator.security.server import SecurityServer
from xroad_simulator.security.time_stamping import log_message
from xroad_simulator.security.transport import PROXY_VERSION, check_peer

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
        self._check_version(http.headers.get(PROXY_VERSION))
        try:
            sealed = Envelope.decode(http.headers.get("content-type", ""), await http.body())
            request = Request.parse(sealed.content_type, sealed.head, sealed.body)
        except ValueError as error:
            raise MessageError(f"{_SIDE}.InvalidMessage", str(error)) from error
        if sealed.content_type not in (REST_REQUEST, SOAP):
            raise MessageError(f"{_SIDE}.InvalidMessage", f"Unexpected part {sealed.content_type}")
        self._check_provider(request.service.client)
        peers = check_peer(self._server, http.scope.get(PEER_CERTIFICATE), sealed.statuses, "ServerProxy")
        self._check_sender(request.client, peers)
        service = None if metaservices.is_metaservice(request) else self._find_service(request)
        check_signature(self._server, sealed, request.client, _SIDE)
        await log_message(self._server, self._log, Side.PROVIDER, request, sealed)
        if service is None:
            response = await metaservices.answer(self._server, request)
        else:
            response = await self._call(request, service)
        parameters = self._server.configuration()
        parts = (response.head(), response.body)
        answer = seal(self._server, parameters, request.service.client, REST_RESPONSE, parts, _SIDE)
        await log_message(self._server, self._log, Side.PROVIDER, request, answer, response)
        return answer.encode()

    def _check_version(self, told: str | None) -> None:
        """A server that doesn't tell its version is older than any."""
        wanted = self._server.settings.minimum_client_version
        if wanted is not None and _version(told or "") < _version(wanted):
            raise MessageError(
                f"{_SIDE}.ClientProxyVersionNotSupported",
                f"The minimum supported version for client security server is: {wanted}",
            )

    def _check_provider(self, provider: ClientId) -> None:
        client = self._server.store.get(ClientRecord, str(provider))
        if client is None or client.status is not ClientStatus.REGISTERED:
            raise MessageError(f"{_SIDE}.UnknownMember", f"Client '{provider}' not found")

    def _check_sender(self, client: ClientId, peers: list[str]) -> None:
        """The certificate that the peer showed must be of a server that represents the client."""
        hosts = {host.id for host in self._server.configuration().servers_of(client)}
        if not hosts.intersection(peers):
            raise MessageError(
                f"{_SIDE}.SslAuthenticationFailed",
                f"Client '{client}' is not registered at security server {', '.join(peers)}",
            )

    def _find_service(self, request: Request) -> ServiceRecord:
        """The service, if it is there, the client has a right to the call, and it isn't disabled."""
        service = self._server.store.get(ServiceRecord, f"{request.service.client}|{request.service.code}")
        if service is None:
            raise MessageError(f"{_SIDE}.UnknownService", f"Unknown service: {request.service}")
        description = self._server.description(service.description)
        if request.content_type == REST_REQUEST and description.type is ServiceType.WSDL:
            raise MessageError(
                f"{_SIDE}.InvalidServiceType",
                "Service is a SOAP service and cannot be called using REST interface",
            )
        if not access_rights.is_allowed(self._server, request, service):
            raise MessageError(f"{_SIDE}.AccessDenied", f"Request is not allowed: {request.service}")
        if description.disabled:
            raise MessageError(
                f"{_SIDE}.ServiceDisabled",
                f"Service {request.service} is disabled: {description.disabled_notice}",
            )
        return service

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
        url = _joined(service.url, request.path)
        url += f"?{request.query}" if request.query else ""
        headers = [*request.all_headers()] if request.content_type == REST_REQUEST else [*request.headers]
        try:
            async with httpx.AsyncClient(
                verify=self._context(service),
                timeout=service.timeout_seconds or None,
                follow_redirects=False,
                trust_env=False,
            ) as http:
                http.headers.clear()  # nothing of the library's own: what the caller accepts is the caller's
                async with http.stream(
                    request.method, url, headers=headers, content=request.body or None
                ) as answer:
                    body = b"".join([chunk async for chunk in answer.aiter_raw()])
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            host = urlsplit(service.url).netloc
            raise MessageError(f"{_SIDE}.ServiceFailed.NetworkError", f"{host}: {error}") from error
        told = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.headers.raw)
        return Response.answering(request, answer.status_code, answer.reason_phrase, told, body)


def _joined(address: str, path: str) -> str:
    """An address with a path behind it, with one slash between them (X-Road's `concatPath`)."""
    return address + (path[1:] if address.endswith("/") and path.startswith("/") else path)


def _version(text: str) -> tuple[int, ...]:
    """A version's numbers, so that they can be compared; nothing where it has none."""
    return tuple(int(number) for number in re.findall(r"\d+", text.partition("-")[0]))


def _system_trust() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    return context


def _fault(fault: MessageError) -> tuple[str, bytes]:
    _LOG.warning("%s [%s]", fault, fault.detail)
    return "text/xml", management_protocol.fault(fault.type, f"{fault.message} | {fault.detail}")
