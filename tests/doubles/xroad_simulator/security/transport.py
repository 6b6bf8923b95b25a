"""Mutual TLS between security servers, with the authentication certificates they registered."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import ssl
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import h11
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from xroad_simulator.certificates import decode, der, encode, is_authentication, parse_certificate
from xroad_simulator.global_configuration import ConfigurationError, Parameters
from xroad_simulator.ocsp import OcspError
from xroad_simulator.security.message import MessageError
from xroad_simulator.security.records import CertificateRecord, Usage
from xroad_simulator.security.server import SecurityServer
from xroad_simulator.software_token import PrivateKey, TokenLoggedOutError

PROXY_VERSION = "x-proxy-version"
"""The header in which a consumer's server tells its version."""

VERSION = "7.8.0"
"""The version of X-Road that the simulator is compatible with."""

Address = tuple[str, int]
_MAXIMUM_BYTES = 64 * 1024 * 1024


def authentication_certificate(server: SecurityServer) -> CertificateRecord | None:
    """The server's authentication certificate in use, None without one."""
    owner = server.owner
    return None if owner is None else server.active_certificate(Usage.AUTHENTICATION, owner)


def _load_identity(
    context: ssl.SSLContext, directory: Path, certificate: x509.Certificate, key: PrivateKey
) -> None:
    """Give a context its certificate. OpenSSL reads files only: the key is encrypted in its."""
    password = secrets.token_hex(32)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password.encode()))
    with tempfile.NamedTemporaryFile(dir=directory) as file:
        file.write(certificate.public_bytes(Encoding.PEM) + pem)
        file.flush()
        context.load_cert_chain(file.name, password=password)


class Transport:
    """The TLS contexts of a server, kept up with its certificate and the approved CAs."""

    def __init__(self, server: SecurityServer) -> None:
        self._server = server
        self.listening = self._context(ssl.PROTOCOL_TLS_SERVER)
        """Of the message listener. It has no certificate until one is active."""
        self._outgoing: ssl.SSLContext | None = None
        self._known: tuple[str, bool, tuple[str, ...]] | None = None
        self._fastest: dict[frozenset[Address], tuple[float, Address]] = {}

    async def connect(self, addresses: Sequence[Address], context: ssl.SSLContext) -> Connection:
        """Connect to one of a provider's servers; OSError or ssl.SSLError if none answers.

        Of several the one that answers first is used, and used again for a while
        (`client-fastest-connecting-ssl-uri-cache-period`); while it doesn't answer, any other.
        """
        key, moment = frozenset(addresses), time.monotonic()
        until, fastest = self._fastest.get(key, (0.0, addresses[0]))
        if len(key) > 1 and moment < until:
            with contextlib.suppress(OSError, ssl.SSLError, TimeoutError):
                return await Connection.open([fastest], context, self._server.settings.connect_timeout)
        connection = await Connection.open(addresses, context, self._server.settings.connect_timeout)
        if len(key) > 1:
            self._fastest[key] = (moment + self._server.settings.fastest_server_period, connection.address)
        return connection

    @staticmethod
    def _context(protocol: int) -> ssl.SSLContext:
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        # An approved CA may be an intermediate one: it is the end of the chain here.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return context

    def refresh(self) -> ssl.SSLContext | None:
        """Bring the contexts up to date; returns the outgoing one, None while there can't be one.

        CAs that were removed stay in the listening context until a restart: every message's peer
        is checked against the current configuration as well.
        """
        record = authentication_certificate(self._server)
        try:
            authorities = self._server.configuration().authorities()
        except ConfigurationError:
            return None
        if record is None or not self._server.token.is_logged_in:
            return None
        known = (record.hash, True, tuple(encode(authority) for authority in authorities))
        if known == self._known:
            return self._outgoing
        try:
            key = self._server.private_key(record)
        except TokenLoggedOutError:
            return None
        certificate = decode(record.certificate)
        outgoing = self._context(ssl.PROTOCOL_TLS_CLIENT)
        for context in (outgoing, self.listening):
            for authority in authorities:
                with contextlib.suppress(ssl.SSLError):  # it is there already
                    context.load_verify_locations(cadata=der(authority))
            _load_identity(context, self._server.settings.state, certificate, key)
        self._outgoing, self._known = outgoing, known
        return outgoing


def servers_with_certificate(parameters: Parameters, certificate: bytes) -> list[str]:
    """Identifiers of the servers to which an authentication certificate is registered."""
    encoded = encode(parse_certificate(certificate))
    return [server.id for server in parameters.security_servers if server.has(encoded)]


def check_peer(
    server: SecurityServer, certificate: bytes | None, statuses: Sequence[bytes], side: str
) -> list[str]:
    """Identifiers of the peer's server; MessageError if the peer's certificate isn't good.

    `statuses` are the OCSP responses that the peer showed; `side` is who is checking: `ClientProxy` or
    `ServerProxy`.
    """
    failed = f"Server.{side}.SslAuthenticationFailed"
    if certificate is None:
        raise MessageError(failed, "Security server has no valid authentication certificate")
    parsed = parse_certificate(certificate)
    if not is_authentication(parsed) or not server.is_issued_by_approved(parsed):
        raise MessageError(failed, "Peer certificate is not issued by an approved CA")
    try:
        server.require_good(parsed, statuses)
    except OcspError as error:
        raise MessageError(failed, error.detail) from error
    identifiers = servers_with_certificate(server.configuration(), certificate)
    if not identifiers:
        raise MessageError(failed, "Peer certificate is not registered to any security server")
    return identifiers


class Connection:
    """One request over one TLS connection, whose peer can be looked at before anything is sent."""

    def __init__(self, address: Address, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.address = address
        """Which of the addresses answered."""
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, addresses: Sequence[Address], context: ssl.SSLContext, timeout: float) -> Connection:
        """Connect to whichever address answers first, within seconds; OSError or ssl.SSLError if none does."""
        attempts = [asyncio.create_task(cls._attempt(address, context, timeout)) for address in addresses]
        problem: BaseException = OSError("no address")
        first: Connection | None = None
        try:
            for attempt in asyncio.as_completed(attempts):
                try:
                    first = await attempt
                    return first
                except (OSError, ssl.SSLError, TimeoutError) as error:
                    problem = error
        finally:
            await cls._drop(attempts, first)
        raise problem

    @classmethod
    async def _attempt(cls, address: Address, context: ssl.SSLContext, timeout: float) -> Connection:
        opening = asyncio.open_connection(*address, ssl=context, server_hostname="")
        try:
            return cls(address, *await asyncio.wait_for(opening, timeout))
        except TimeoutError:
            raise TimeoutError(f"no connection within {timeout:g} s") from None

    @staticmethod
    async def _drop(attempts: Sequence[asyncio.Task[Connection]], kept: Connection | None) -> None:
        """Give up what was begun beside the connection that is used."""
        for attempt in attempts:
            attempt.cancel()
        for result in await asyncio.gather(*attempts, return_exceptions=True):
            if isinstance(result, Connection) and result is not kept:
                await result.close()

    @property
    def peer_certificate(self) -> bytes | None:
        """The peer's certificate as DER."""
        tls = self._writer.get_extra_info("ssl_object")
        certificate: bytes | None = None if tls is None else tls.getpeercert(binary_form=True)
        return certificate

    @property
    def peer_address(self) -> str:
        """The address itself, where a name stands for it."""
        address: str = self._writer.get_extra_info("peername")[0]
        return address

    async def post(self, request_id: str, content_type: str, body: bytes) -> tuple[int, str, bytes]:
        """Status, content type and body of the answer."""
        http = h11.Connection(h11.CLIENT)
        head = h11.Request(
            method="POST",
            target="/",
            headers=[
                ("Host", self.address[0]),
                ("Content-Type", content_type),
                ("Content-Length", str(len(body))),
                ("x-road-request-id", request_id),
                ("x-road-message-type", "REST"),
                ("x-hash-algorithm", "SHA-512"),
                (PROXY_VERSION, VERSION),
                ("Connection", "close"),
            ],
        )
        self._writer.write((http.send(head) or b"") + (http.send(h11.Data(data=body)) or b""))
        await self._writer.drain()
        http.send(h11.EndOfMessage())
        status, answer_type, chunks, size = 0, "", [], 0
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                http.receive_data(await self._reader.read(65536))
            elif isinstance(event, h11.Response):
                status = event.status_code
                answer_type = dict(event.headers).get(b"content-type", b"").decode()
            elif isinstance(event, h11.Data):
                chunks.append(bytes(event.data))
                size += len(event.data)
                if size > _MAXIMUM_BYTES:
                    raise OSError("the answer is too large")
            elif isinstance(event, h11.EndOfMessage):
                return status, answer_type, b"".join(chunks)
            else:
                raise OSError("the connection ended early")

    async def close(self) -> None:
        """Close the connection."""
        self._writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await self._writer.wait_closed()
