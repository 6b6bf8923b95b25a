"""Files are fetched over mutual TLS, verified, and kept while the source is down."""

from __future__ import annotations

import http.server
import ipaddress
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from trust_services.certificate_state import CertificateState
from trust_services.refusal import Refusal
from trust_services.status import fetching, publication
from trust_services.status.fetching import Fetched
from trust_services.status.settings import Settings
from trust_services.status.shelf import Shelf


class Source(http.server.ThreadingHTTPServer):
    """The authority's host: serves what it is given, with entity tags, to those whose certificate it knows."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, bytes] = {}
        self.status = 200
        self.seen: list[tuple[str, int]] = []
        super().__init__(("127.0.0.1", 0), _Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem", folder / "server.key")
        context.load_verify_locations(folder / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Handshakes that fail are part of the tests."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Source
    protocol_version: ClassVar[str] = "HTTP/1.1"

    def do_GET(self) -> None:
        content = self.server.files.get(self.path)
        status = self.server.status if content is not None else 404
        tag = f'"{hash(content)}"'
        if status == 200 and self.headers["If-None-Match"] == tag:
            status = 304
        body = (content or b"") if status == 200 else b""
        self.server.seen.append((self.path, status))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", tag)
        if 300 < status < 304:
            self.send_header("Location", "https://elsewhere.invalid/")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def _identity(folder: Path, name: str, issuer: x509.Certificate | None, issuer_key: Any) -> tuple[Any, Any]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
    )
    certificate = builder.sign(issuer_key or key, hashes.SHA256())
    (folder / f"{name}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / f"{name}.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate, key


@pytest.fixture
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    """A running source."""
    folder = tmp_path_factory.mktemp("source")
    authority, key = _identity(folder, "ca", None, None)
    _identity(folder, "server", authority, key)
    _identity(folder, "client", authority, key)
    _identity(folder, "stranger", None, None)
    server = Source(folder)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def settings_for(site: Any, source: Source, **more: Any) -> Settings:
    port = source.server_address[1]
    found: Settings = site.settings(
        source={
            "url": f"https://127.0.0.1:{port}/status/",
            "ca": str(source.folder / "ca.pem"),
            "certificate": str(source.folder / "client.pem"),
            "key": str(source.folder / "client.key"),
            "interval_seconds": 0.1,
            "longest_pause_seconds": 0.2,
            "patience_seconds": 5,
            **more,
        }
    )
    return found


@pytest.fixture
def fetched(site: Any, source: Source) -> Callable[..., Fetched[Any]]:
    """The program's view of the publication, newly started."""

    def start(**more: Any) -> Fetched[Any]:
        settings = settings_for(site, source, **more)
        assert settings.source
        return Fetched(settings.source, Shelf(settings).publications["trust"])

    return start


ANSWERS = "/status/trust.answers"


def test_a_publication_is_fetched_once_per_change(
    site: Any,
    source: Source,
    fetched: Callable[..., Fetched[Any]],
    good: CertificateState,
    revoked: CertificateState,
) -> None:
    place = site.folder / "trust.answers"
    source.files[ANSWERS] = site.pki.publication(good)
    one = fetched()

    assert one.fetch()
    assert place.read_bytes() == source.files[ANSWERS]
    assert not one.fetch()
    source.files[ANSWERS] = site.pki.publication(good, revoked)
    assert one.fetch()
    assert place.read_bytes() == source.files[ANSWERS]
    assert [status for _, status in source.seen] == [200, 304, 200]


@pytest.mark.parametrize("damage", ["truncated", "foreign", "older", "large"])
def test_a_bad_publication_isnt_kept(
    site: Any,
    source: Source,
    fetched: Callable[..., Fetched[Any]],
    other: Any,
    good: CertificateState,
    damage: str,
) -> None:
    source.files[ANSWERS] = site.pki.publication(good)
    one = fetched(limit_mebibytes=1)
    one.fetch()
    kept = (site.folder / "trust.answers").read_bytes()
    source.files[ANSWERS] = {
        "truncated": site.pki.publication(good)[:-5],
        "foreign": other.publication(good),
        "older": site.pki.publication(good, age=30),
        "large": b"0" * (2**20 + 1),
    }[damage]

    for _ in range(2):  # its tag isn't remembered either
        with pytest.raises(Refusal):
            one.fetch()
    assert (site.folder / "trust.answers").read_bytes() == kept
    assert [status for _, status in source.seen] == [200, 200, 200]


def test_a_restart_with_the_source_down_has_the_last_good_one_and_refuses_older_ones(
    site: Any, source: Source, fetched: Callable[..., Fetched[Any]], good: CertificateState
) -> None:
    source.files[ANSWERS] = site.pki.publication(good)
    fetched().fetch()
    source.status = 503
    again = fetched()

    with pytest.raises(Refusal, match="answers 503"):
        again.fetch()
    assert len(site.shelf().answers) == 2

    source.status = 200
    source.files[ANSWERS] = site.pki.publication(good, age=60)
    with pytest.raises(Refusal, match="older than the one in force"):
        again.fetch()


def test_a_redirection_isnt_followed(site: Any, source: Source, fetched: Callable[..., Fetched[Any]]) -> None:
    source.files[ANSWERS] = b""
    source.status = 302

    with pytest.raises(Refusal, match="answers 302"):
        fetched().fetch()


def test_a_source_of_another_authority_isnt_believed(
    site: Any, source: Source, fetched: Callable[..., Fetched[Any]], good: CertificateState
) -> None:
    source.files[ANSWERS] = site.pki.publication(good)

    with pytest.raises(ssl.SSLCertVerificationError):
        fetched(ca=str(source.folder / "stranger.pem")).fetch()


def test_a_stranger_gets_nothing(
    site: Any, source: Source, fetched: Callable[..., Fetched[Any]], good: CertificateState
) -> None:
    source.files[ANSWERS] = site.pki.publication(good)
    stranger = {
        "certificate": str(source.folder / "stranger.pem"),
        "key": str(source.folder / "stranger.key"),
    }

    for identity in (stranger, {"certificate": None, "key": None}):
        with pytest.raises(OSError, match=r"(?i)alert|reset|eof|closed"):
            fetched(**identity).fetch()
    assert not (site.folder / "trust.answers").exists()


def wait_for(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_it_goes_on_by_itself_through_an_outage(
    site: Any,
    source: Source,
    good: CertificateState,
    revoked: CertificateState,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stop = threading.Event()
    place = site.folder / "trust.answers"
    running = threading.Thread(target=fetching.run, args=(settings_for(site, source), stop))
    running.start()
    try:
        wait_for(lambda: len(source.seen) >= 3)
        assert not place.exists()
        source.files[ANSWERS] = site.pki.publication(good)
        wait_for(place.exists)
        source.status = 500
        wait_for(lambda: [status for _, status in source.seen][-3:] == [500] * 3)
        source.status, source.files[ANSWERS] = 200, site.pki.publication(good, revoked)
        wait_for(lambda: len(publication.decode(site.pki.certificate, place.read_bytes())) == 4)
        wait_for(lambda: source.seen[-1][1] == 304)
    finally:
        stop.set()
        running.join()

    told = capsys.readouterr().err.splitlines()
    assert [line.split(": ", 1)[1].split(",")[0].split(" again")[0] for line in told] == [
        "trust.answers isn't fetched",
        "trust.answers is fetched",
        "trust.answers isn't fetched",
        "trust.answers is fetched",
    ]


def test_settings_without_a_source_are_refused(site: Any) -> None:
    with pytest.raises(Refusal, match="no `source`"):
        fetching.run(site.settings(), threading.Event())
