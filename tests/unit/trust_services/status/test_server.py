"""The running program, asked by OpenSSL and by plain HTTP."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

import trust_services
from trust_services.certificate_state import CertificateState
from trust_services.status import publication

POST = {"Content-Type": "application/ocsp-request"}


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


class Server:
    """A started program."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, errors: Path) -> None:
        self.process = process
        self.port = port
        self.errors = errors

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def ask(self, method: str, path: str, body: Any = None, headers: Any = None) -> tuple[int, Any, bytes]:
        connection = self.connection()
        with contextlib.closing(connection):
            # A body that is too large is refused before it is there; the answer is read all the same.
            with contextlib.suppress(BrokenPipeError):
                connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read()


def command(site: Any, name: str, **more: Any) -> list[str]:
    place = site.folder / "status.json"
    place.write_text(json.dumps(site.document(**more)))
    return [sys.executable, "-m", "trust_services.status", name, "--config", str(place)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(trust_services.__file__).parents[1])}


@pytest.fixture
def serve(site: Any) -> Iterator[Callable[..., Server]]:
    """Starts the program and waits until it answers."""
    started = []

    def start(port: int | None = None, **more: Any) -> Server:
        port = port or free_port()
        errors = site.folder / "errors"
        with errors.open("wb") as file:
            process = subprocess.Popen(
                command(site, "serve", listen={"port": port}, poll_seconds=0.1, **more),
                env=environment(),
                stdout=file,
                stderr=file,
            )
        started.append(process)
        server = Server(process, port, errors)
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError):
                server.ask("GET", "/health")
                return server
            assert process.poll() is None, errors.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)

    yield start
    for process in started:
        process.terminate()
        process.wait(30)


def openssl(site: Any, port: int, issuer: Any, *more: str) -> str:
    """All that OpenSSL's client says."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl isn't installed: apt-get install openssl")
    place = site.folder / "issuer.pem"
    place.write_bytes(issuer.certificate.public_bytes(Encoding.PEM))
    root = site.folder / "root.pem"
    root.write_bytes(issuer.root.public_bytes(Encoding.PEM))
    # A hash is for the certificates that are named after it.
    digest = [one for one in more if one == "-sha256"]
    done = subprocess.run(
        [
            *("openssl", "ocsp", *digest, "-issuer", str(place), "-CAfile", str(root)),
            *("-url", f"http://127.0.0.1:{port}/", *(one for one in more if one not in digest)),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    return done.stdout + done.stderr


def test_openssl_is_answered(
    site: Any, serve: Callable[..., Server], other: Any, good: CertificateState, revoked: CertificateState
) -> None:
    stale = site.pki.publication(CertificateState(0x1003), age=4000, lifetime=9000)
    site.publish(
        publication.encode(
            site.pki.certificate,
            [
                *publication.decode(site.pki.certificate, site.pki.publication(good, revoked)),
                *publication.decode(site.pki.certificate, stale),
            ],
        )
    )
    port = serve().port

    for more in (["-no_nonce"], [], ["-no_nonce", "-sha256"]):
        told = openssl(site, port, site.pki, "-serial", hex(good.serial), *more)
        assert "Response verify OK" in told
        assert f"{hex(good.serial)}: good" in told

    told = openssl(site, port, site.pki, "-serial", hex(revoked.serial))
    assert "Response verify OK" in told
    assert f"{hex(revoked.serial)}: revoked" in told
    assert "Reason: keyCompromise" in told
    assert "unauthorized (6)" in openssl(site, port, site.pki, "-serial", "0x9999")
    assert "unauthorized (6)" in openssl(site, port, other, "-serial", hex(good.serial))
    assert "trylater (3)" in openssl(site, port, site.pki, "-serial", "0x1003")
    two = openssl(site, port, site.pki, "-serial", hex(good.serial), "-serial", hex(revoked.serial))
    assert "malformedrequest (1)" in two


def test_http_is_spoken_as_it_should_be(
    site: Any, serve: Callable[..., Server], good: CertificateState
) -> None:
    site.publish(site.pki.publication(good))
    server = serve(workers=2)
    request = site.pki.request(good.serial)
    text = base64.b64encode(request).decode()

    for path in ("/" + text, "/" + quote(text, safe="")):
        status, headers, body = server.ask("GET", path)
        assert status == 200
        assert headers["Content-Type"] == "application/ocsp-response"
        assert headers["Content-Length"] == str(len(body))
        assert headers["Date"]
        assert ocsp.load_der_ocsp_response(body).serial_number == good.serial
    assert server.ask("GET", "/" + text, headers={"If-None-Match": headers["ETag"]})[0] == 304
    status, headers, body = server.ask("HEAD", "/" + text)
    assert (status, body) == (200, b"")

    slashes = base64.b64encode(site.pki.request(int.from_bytes(b"\x7f" + b"\xff" * 15, "big"))).decode()
    assert "//" in slashes
    for path in ("/" + slashes, "/" + quote(slashes, safe="")):
        assert server.ask("GET", path)[2] == b"\x30\x03\x0a\x01\x06"

    for method, path, body, headers, expected in [
        ("POST", "/", request, POST, 200),
        ("POST", "/", b"garbage", POST, 200),
        ("POST", "/", b"0" * 4097, POST, 413),
        ("POST", "/", request, {"Content-Type": "text/plain"}, 415),
        ("POST", "/", iter([request]), POST, 411),
        ("POST", "/health", request, POST, 404),
        ("PUT", "/", request, POST, 405),
        ("DELETE", "/", None, {}, 405),
        ("GET", "/crl/trust.crl", None, {}, 404),
        ("GET", "/health", None, {}, 200),
        ("GET", "/" + "A" * 20_000, None, {}, 414),
    ]:
        assert server.ask(method, path, body, headers)[0] == expected, (method, path[:40])

    text = server.ask("GET", "/metrics")[2].decode()
    counted = {
        line.split('"')[1]: int(line.rsplit(" ", 1)[1])
        for line in text.splitlines()
        if line.startswith("trust_status_requests_total{")
    }
    assert (counted["answered"], counted["malformed"], counted["unknown"], counted["refused"]) == (5, 1, 2, 8)


def test_a_publication_changes_under_requests_without_a_dropped_one(
    site: Any, serve: Callable[..., Server], good: CertificateState
) -> None:
    site.publish(site.pki.publication(good))
    server = serve()
    statuses: list[str] = []
    wrong: list[object] = []
    stop = threading.Event()
    request = site.pki.request(good.serial)

    def ask() -> None:
        connection = server.connection()
        with contextlib.closing(connection):
            while not stop.is_set():
                try:
                    connection.request("POST", "/", request, POST)
                    response = connection.getresponse()
                    answer = ocsp.load_der_ocsp_response(response.read())
                    statuses.append(answer.certificate_status.name)
                except (OSError, ValueError, http.client.HTTPException) as error:
                    wrong.append(error)
                    return

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    revoked = CertificateState(good.serial, datetime.now(UTC))
    filling = [CertificateState(number) for number in range(1, 100)]
    for _ in range(3):
        time.sleep(0.2)
        site.publish(site.pki.publication(good, *filling))
    site.publish(site.pki.publication(good)[:-1])
    time.sleep(0.3)
    site.publish(site.pki.publication(revoked))
    deadline = time.monotonic() + 20
    while (not statuses or statuses[-1] != "REVOKED") and time.monotonic() < deadline:
        time.sleep(0.05)
    stop.set()
    for thread in threads:
        thread.join()

    assert wrong == []
    assert statuses[0] == "GOOD"
    assert statuses[-1] == "REVOKED"
    # Only answers that were under way to the other threads may come after the first new one.
    assert statuses[statuses.index("REVOKED") :].count("GOOD") <= 2
    assert "is refused" in server.errors.read_text()


def test_a_slow_or_silent_client_holds_nobody_up(
    site: Any, serve: Callable[..., Server], good: CertificateState
) -> None:
    site.publish(site.pki.publication(good))
    server = serve()
    with socket.create_connection(("127.0.0.1", server.port)) as slow:
        slow.sendall(
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 80\r\n"
            b"Content-Type: application/ocsp-request\r\n\r\n0"
        )

        assert server.ask("POST", "/", site.pki.request(good.serial), POST)[0] == 200
    # Its connection is gone before its request was here.
    assert server.ask("POST", "/", site.pki.request(good.serial), POST)[0] == 200
    assert "Traceback" not in server.errors.read_text()


def test_sigterm_ends_it_cleanly(site: Any, serve: Callable[..., Server], good: CertificateState) -> None:
    site.publish(site.pki.publication(good))
    server = serve(workers=2)
    server.process.send_signal(signal.SIGTERM)

    assert server.process.wait(20) == 0
    assert "Traceback" not in server.errors.read_text()


def test_a_worker_that_dies_is_replaced(
    site: Any, serve: Callable[..., Server], good: CertificateState
) -> None:
    site.publish(site.pki.publication(good))
    server = serve()
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    worker = next(int(child) for child in children if "serve" in Path(f"/proc/{child}/cmdline").read_text())
    os.kill(worker, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if server.ask("POST", "/", site.pki.request(good.serial), POST)[0] == 200:
                return
        assert time.monotonic() < deadline
        time.sleep(0.1)


def run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, env=environment(), capture_output=True, text=True, check=False, timeout=30)


def test_wrong_settings_are_told_by_name(site: Any) -> None:
    done = run(command(site, "serve", workers=99))

    assert done.returncode == 1
    assert "status.json: workers: " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_place_where_it_cant_listen_is_told(site: Any, serve: Callable[..., Server]) -> None:
    used = run(command(site, "serve", listen={"port": serve().port}))
    elsewhere = run(command(site, "serve", listen={"address": "192.0.2.1", "port": free_port()}))

    assert (used.returncode, elsewhere.returncode) == (1, 1)
    assert "can't be used: Address already in use" in used.stderr
    assert "can't be used: Cannot assign requested address" in elsewhere.stderr


def test_a_restart_isnt_stopped_by_connections_that_end_slowly(
    site: Any, serve: Callable[..., Server], good: CertificateState
) -> None:
    site.publish(site.pki.publication(good))
    server = serve()
    with socket.create_connection(("127.0.0.1", server.port)) as lingering:
        lingering.sendall(b"PUT / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        while lingering.recv(1000):
            pass
        server.process.terminate()
        server.process.wait(20)
        # The listener is gone, the connection isn't.
        again = serve(server.port)

        assert again.ask("POST", "/", site.pki.request(good.serial), POST)[0] == 200


def test_fetch_ends_cleanly_too(site: Any) -> None:
    (site.folder / "ca.pem").write_bytes(site.pki.certificate.public_bytes(Encoding.PEM))
    source = {"url": f"https://127.0.0.1:{free_port()}", "ca": str(site.folder / "ca.pem")}
    with subprocess.Popen(
        command(site, "fetch", source=source), env=environment(), stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr
        line = process.stderr.readline()
        process.send_signal(signal.SIGTERM)

        assert process.wait(20) == 0
    assert "trust.answers isn't fetched" in line
    assert "no `source`" in run(command(site, "fetch")).stderr
