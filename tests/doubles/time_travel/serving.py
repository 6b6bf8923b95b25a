"""The issuing API behind TLS, in this process and in one thread: it costs little at each step of the clock."""

from __future__ import annotations

import hashlib
import http.server
import ssl
import threading
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient


class OverTls(http.server.HTTPServer):
    """The API's application with a host's TLS certificate, `host.crt` and `host.key` in `folder`."""

    def __init__(self, folder: Path, made: FastAPI, publication: Path, port: int) -> None:
        """`publication` is served under `/status`, as the application itself would."""
        self.publication = publication
        self.client = TestClient(made, raise_server_exceptions=False)
        self.client.__enter__()
        super().__init__(("127.0.0.1", port), _Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "host.crt", folder / "host.key")
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def end(self) -> None:
        """Serve no more."""
        self.shutdown()
        self._thread.join()
        self.server_close()
        self.client.__exit__()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that don't trust the certificate leave: they tell of it themselves."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: OverTls
    protocol_version = "HTTP/1.0"

    def do_GET(self) -> None:
        if not self.path.startswith("/status/"):
            self._ask()
            return
        file = self.server.publication / self.path.removeprefix("/status/")
        if not file.is_file():
            self._answer(404, b"")
            return
        content = file.read_bytes()
        tag = f'"{hashlib.sha256(content).hexdigest()}"'
        known = self.headers.get("If-None-Match") == tag
        self._answer(304 if known else 200, b"" if known else content, {"ETag": tag})

    def do_POST(self) -> None:
        self._ask()

    def _ask(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        answer = self.server.client.request(self.command, self.path, content=body, headers=dict(self.headers))
        self._answer(answer.status_code, answer.content, {"Content-Type": answer.headers["Content-Type"]})

    def _answer(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Nothing."""
