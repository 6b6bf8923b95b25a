"""One process, several sockets: every listener of a server in one event loop.

A security server has five. One process for each would cost five interpreters' memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import ssl
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from xroad_simulator.clock import now

_LOG = logging.getLogger(__name__)
_RENEWAL_CHECK_SECONDS = 15

PEER_CERTIFICATE = "xroad_simulator.peer_certificate"
"""Key in a request's scope: the client's certificate as DER, absent without one."""

BREAK_OFF = "xroad_simulator.break_off"
"""Key in a request's scope: a function that ends the connection at once."""


@dataclass(frozen=True, slots=True)
class Listener:
    """An application on a socket; TLS if a context is given."""

    app: ASGIApp
    address: str
    port: int
    tls: ssl.SSLContext | None = None


class _PeerAwareProtocol(H11Protocol):
    """HTTP that tells the application which certificate the client showed, and lets it hang up.

    ASGI has a TLS extension for the former, but no server implements it.
    """

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        certificate = None if tls is None else tls.getpeercert(binary_form=True)
        known = {BREAK_OFF: transport.abort}
        if certificate is not None:
            known[PEER_CERTIFICATE] = certificate
        inner: Any = self.app

        async def with_connection(scope: Scope, receive: Receive, send: Send) -> None:
            await inner({**scope, **known}, receive, send)

        self.app = with_connection


class _Config(uvicorn.Config):
    """A listener's configuration with a TLS context that is made elsewhere and may change."""

    def __init__(self, listener: Listener) -> None:
        super().__init__(
            listener.app,
            host=listener.address,
            port=listener.port,
            http=_PeerAwareProtocol,
            ws="none",
            lifespan="off",
            loop="asyncio",
            access_log=False,
            log_level="warning",
            server_header=False,
            date_header=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=5,
        )
        self._tls = listener.tls
        self.ssl: ssl.SSLContext | None = None

    @property
    def is_ssl(self) -> bool:
        """Whether clients must speak TLS. Only once loaded: loading would look for files."""
        return self.ssl is not None

    def load(self) -> None:
        """Prepare, then put the context where the one that files would make has its place."""
        super().load()
        self.ssl = self._tls


class _Server(uvicorn.Server):
    """A listener that leaves signals to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Don't: one handler stops all listeners."""
        yield


async def serve(
    listeners: Sequence[Listener],
    tasks: Sequence[Callable[[], Coroutine[Any, Any, None]]] = (),
    ready: Callable[[], None] | None = None,
) -> None:
    """Run listeners and background tasks until SIGTERM or SIGINT, or until one of them fails.

    `ready` is called once, when every socket is bound.
    """
    servers = [_Server(_Config(listener)) for listener in listeners]
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(ValueError, RuntimeError):  # not in the main thread: tests
            loop.add_signal_handler(number, stop.set)
    serving = [asyncio.create_task(server.serve()) for server in servers]
    background = [asyncio.create_task(task()) for task in tasks]
    stopping = asyncio.create_task(stop.wait())
    try:
        while ready is not None and not all(server.started for server in servers):
            await asyncio.sleep(0.02)
            if any(task.done() for task in serving):
                break
        else:
            if ready is not None:
                ready()
        done, _ = await asyncio.wait([*serving, *background, stopping], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in [*background, stopping]:
            task.cancel()
        for server in servers:
            server.should_exit = True
        await asyncio.gather(*serving, *background, stopping, return_exceptions=True)


class TlsFiles:
    """A listener's `<name>.crt` and `<name>.key`, taken again when the certificate is renewed."""

    def __init__(self, directory: Path, name: str, addresses: Sequence[str]) -> None:
        """Read the files; they are made self-signed where they are missing."""
        self.name = name
        self._certificate, self._key = directory / f"{name}.crt", directory / f"{name}.key"
        self._next_certificate, self._next_key = directory / f"{name}.crt.new", directory / f"{name}.key.new"
        self._addresses = addresses
        self._finish()
        if not (self._certificate.exists() and self._key.exists()):
            make_self_signed(self._certificate, self._key, addresses)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._taken = self._state()
        self.context.load_cert_chain(self._certificate, self._key)

    def _state(self) -> tuple[int, int]:
        return self._certificate.stat().st_mtime_ns, self._key.stat().st_mtime_ns

    def certificate(self) -> bytes:
        """The certificate file's content."""
        return self._certificate.read_bytes()

    def key(self) -> bytes:
        """The key file's content."""
        return self._key.read_bytes()

    def renew(self) -> None:
        """Make a new key and a self-signed certificate."""
        make_self_signed(self._next_certificate, self._next_key, self._addresses)
        self._finish()
        self.refresh()

    def replace(self, certificate: bytes, key: bytes) -> None:
        """Use another certificate and its key."""
        self._next_key.touch(mode=0o600)
        self._next_key.write_bytes(key)
        # The certificate comes last: a pair is complete once it is there.
        _write_whole(self._next_certificate, certificate)
        self._finish()
        self.refresh()

    def _finish(self) -> None:
        """Put a new pair in place, also one that a killed process had written; half a pair is dropped."""
        if self._next_certificate.exists():
            if self._next_key.exists():
                self._next_key.replace(self._key)
            self._next_certificate.replace(self._certificate)
        self._next_key.unlink(missing_ok=True)

    def refresh(self) -> bool:
        """Take renewed files; False if there are none, or if only one of the two is there yet."""
        try:
            state = self._state()
            if state == self._taken:
                return False
            self.context.load_cert_chain(self._certificate, self._key)
        except (OSError, ssl.SSLError) as error:
            _LOG.warning("%s not taken: %s", self._certificate, error)
            return False
        self._taken = state
        return True


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(content)
    partial.replace(path)


async def keep_certificates_fresh(
    files: Sequence[TlsFiles], renewed: Callable[[], None] = lambda: None
) -> None:
    """Take renewed certificates without a restart, at once after SIGHUP; `renewed` is told."""
    asked = asyncio.Event()
    with contextlib.suppress(ValueError, RuntimeError):  # not in the main thread: tests
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, asked.set)
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asked.wait(), _RENEWAL_CHECK_SECONDS)
        asked.clear()
        taken = [tls.refresh() for tls in files]
        if any(taken):
            renewed()


def make_self_signed(certificate: Path, key: Path, addresses: Sequence[str]) -> None:
    """A throw-away certificate, as X-Road's packages make one at installation."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, addresses[0])])
    alternatives: list[x509.GeneralName] = []
    for address in addresses:
        try:
            alternatives.append(x509.IPAddress(ip_address(address)))
        except ValueError:
            alternatives.append(x509.DNSName(address))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - timedelta(minutes=5))
        .not_valid_after(now() + timedelta(days=7300))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(private, hashes.SHA256())
    )
    certificate.parent.mkdir(parents=True, exist_ok=True)
    key.touch(mode=0o600)
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    _write_whole(certificate, made.public_bytes(serialization.Encoding.PEM))
