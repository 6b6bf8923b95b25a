"""A record in a throw-away PostgreSQL, and the issuing authority's API over TLS."""

from __future__ import annotations

import hashlib
import http.server
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from fastapi import FastAPI
from fastapi.testclient import TestClient
from tests import postgresql_server
from tests.postgresql_server import Server
from tests.unit.trust_services.issuing.ordering import SERVICE, Memory, TestAuthority, authority, ec_key

from trust_services.issuing.api import Reader, application
from trust_services.issuing.configuration import Client
from trust_services.issuing.migrating import migrate
from trust_services.issuing.record import Record
from trust_services.issuing.service import Service
from trust_services.issuing.signing import Authority

DATABASE, OWNER, ACCOUNT = "issuing", "issuing_owner", "issuing_service"


@dataclass(frozen=True)
class Place:
    """An empty record, and the accounts that reach it."""

    server: Server

    def superuser(self) -> psycopg.Connection[Any]:
        """Who could change anything."""
        return self.server.connect(DATABASE, autocommit=True)

    def owner(self) -> psycopg.Connection[Any]:
        """Who made the tables."""
        return self.server.connect(DATABASE, OWNER, autocommit=True)

    def connect(self) -> psycopg.Connection[Any]:
        """The service's account."""
        return self.server.connect(DATABASE, ACCOUNT, autocommit=True)

    @property
    def text(self) -> str:
        """How the service's account connects, in libpq's form."""
        return f"host={self.server.folder} dbname={DATABASE} user={ACCOUNT}"

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What a query finds."""
        with self.superuser() as connection:
            return connection.execute(query).fetchall()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A throw-away server."""
    with postgresql_server.running("postgres") as started:
        if started is None:
            pytest.skip("PostgreSQL isn't installed: apt-get install postgresql")
        with started.connect(autocommit=True) as administrator:
            administrator.execute(f"CREATE ROLE {OWNER} LOGIN")
            administrator.execute(f"CREATE ROLE {ACCOUNT} LOGIN")
        yield started


@pytest.fixture
def bare(server: Server) -> Place:
    """A database without tables."""
    server.make_anew(DATABASE)
    place = Place(server)
    with place.superuser() as connection:
        connection.execute(f"GRANT CREATE ON DATABASE {DATABASE} TO {OWNER}")
    return place


@pytest.fixture
def place(bare: Place) -> Place:
    """An empty record."""
    with bare.owner() as connection:
        migrate(connection, ACCOUNT)
    return bare


@pytest.fixture
def record(place: Place) -> Iterator[Record]:
    """The record, as a worker sees it."""
    with place.connect() as connection:
        found = Record(connection)
        found.enlist()
        yield found


@pytest.fixture
def holder() -> Memory:
    """The issuing key, without a token."""
    return Memory(authority().key)


class OverTls(http.server.ThreadingHTTPServer):
    """The API's application behind TLS, in this process."""

    daemon_threads = True

    def __init__(self, folder: Path, made: FastAPI) -> None:
        self.folder = folder
        self.seen: list[tuple[str, str, int]] = []
        self.trouble = 0
        """A status that every request is answered with, if it isn't 0."""
        self._client = TestClient(made, raise_server_exceptions=False)
        self._client.__enter__()
        super().__init__(("127.0.0.1", 0), _Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem", folder / "server.key")
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def document(self) -> dict[str, object]:
        """The settings of its clients."""
        return {
            "url": f"https://127.0.0.1:{self.server_address[1]}",
            "ca": str(self.folder / "root.pem"),
            "token_file": str(self.folder / "token"),
        }

    def end(self) -> None:
        """Serve no more."""
        self.shutdown()
        self.server_close()
        self._client.__exit__()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that leave are part of the tests."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: OverTls
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        answer = self.server._client.request(self.command, self.path, content=body, headers=dict(self.headers))
        status = self.server.trouble or answer.status_code
        self.server.seen.append((self.command, self.path, status))
        self.send_response(status)
        for name in ("Content-Type", "ETag"):
            if name in answer.headers:
                self.send_header(name, answer.headers[name])
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


TOKEN = "a token that only this service has"


@pytest.fixture
def issuing_folder(tmp_path: Path) -> Path:
    """Root, bearer token and the API's own key and certificate, for 127.0.0.1."""
    folder = tmp_path / "issuing"
    folder.mkdir()
    own, root_key, key = authority(), ec_key("root"), ec_key("api")
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(
            own.root.subject,
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "api")]),
            key.public_key(),
            x509.random_serial_number(),
            now - timedelta(hours=1),
            now + timedelta(hours=1),
        )
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(root_key, hashes.SHA256())
    )
    (folder / "server.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "server.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "root.pem").write_bytes(own.root.public_bytes(Encoding.PEM))
    (folder / "token").write_text(f"{TOKEN}\n")
    (folder / "published").mkdir()
    return folder


@contextmanager
def api_over_tls(place: Place, own: TestAuthority, holder: Memory, folder: Path) -> Iterator[OverTls]:
    """An issuing authority's API, which knows one service: it may have certificates of both profiles."""
    client = Client.model_validate(
        {
            "name": "service",
            "role": "service",
            "token_sha256": hashlib.sha256(TOKEN.encode()).hexdigest(),
            "services": [
                {"profile": profile, "name": SERVICE} for profile in ("status-responder", "time-stamping")
            ],
        }
    )
    service = Service(Authority(own.terms(), holder), place.connect, lambda _: True)
    chain = [own.certificate, own.root]
    made = application(service, Reader(place.connect), (client,), chain, folder / "published")
    server = OverTls(folder, made)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.end()
        thread.join()


@pytest.fixture
def issuing(place: Place, holder: Memory, issuing_folder: Path) -> Iterator[OverTls]:
    """The test authority's API."""
    with api_over_tls(place, authority(), holder, issuing_folder) as server:
        yield server
