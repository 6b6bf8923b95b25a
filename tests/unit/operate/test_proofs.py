"""Commands that prove what a stage did: when they succeed, and what they say when they don't."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from operate.proofs import _http


@pytest.fixture
def service() -> Iterator[Callable[[int], str]]:
    """Starts a server that isn't ready for its first requests; its address."""
    servers: list[HTTPServer] = []

    def start(unready: int) -> str:
        class Handler(BaseHTTPRequestHandler):
            asked = 0

            def do_GET(self) -> None:
                Handler.asked += 1
                self.send_response(503 if Handler.asked <= unready else 200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Not into the test's output."""

        servers.append(HTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("unready", "tries", "proved"), [(0, 1, True), (1, 1, False), (1, 2, True), (2, 2, False)]
)
def test_a_service_is_asked_again_as_often_as_its_proof_says(
    service: Callable[[int], str], unready: int, tries: int, proved: bool
) -> None:
    """A balancer sees only after a while that what is behind it serves again."""
    url = service(unready)
    done = subprocess.run(
        ["sh", "-c", _http(url, "200", insecure=True, tries=tries)], capture_output=True, text=True, check=False
    )

    assert (done.returncode == 0) is proved
    assert done.stdout.strip() == ("" if proved else f"{url} answered 503")
