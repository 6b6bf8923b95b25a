"""Messages of a client to a service for as long as a test wants, and what lies behind the service."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from federation_rig.simulation import OFFSET, Simulation


@dataclass
class Traffic:
    """Messages of the portal to a service, one after the other."""

    url: str
    passed: int = 0
    lost: list[str] = field(default_factory=list)

    def send(self) -> str:
        """Send one message; why it was lost, empty if it wasn't."""
        try:
            answer = httpx.get(
                self.url, headers={"X-Road-Client": "TEST/GOV/DIGITAL/PORTAL"}, timeout=30, trust_env=False
            )
        except httpx.HTTPError as error:
            return repr(error)
        return "" if answer.status_code == 200 else answer.text

    def keep_sending(self, ended: threading.Event) -> None:
        """Send until the end."""
        while not ended.wait(0.02):
            if problem := self.send():
                self.lost.append(problem)
            else:
                self.passed += 1


def traffic(simulation: Simulation, service: str = "GOV/CIVILREG/REGISTRY/birth-records") -> Traffic:
    """Messages that start at the portal's security server, without TLS."""
    return Traffic(f"http://{simulation.addresses['ss-portal']}:{8080 + OFFSET}/r1/TEST/{service}/1")


@contextmanager
def messages(flowing: Traffic) -> Iterator[Traffic]:
    """Messages all the while."""
    ended = threading.Event()
    sender = threading.Thread(target=flowing.keep_sending, args=(ended,))
    sender.start()
    try:
        yield flowing
    finally:
        ended.set()
        sender.join()


def until(reached: Callable[[], bool]) -> None:
    """Wait a minute at most."""
    deadline = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.2)


class _Registry(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the base's name
        """Keep quiet."""


@contextmanager
def sector_system() -> Iterator[str]:
    """Address of a system that answers everything."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
