"""Asks services again and again while something is done to them, and counts the requests that failed.

A rotation without a failed request is a claim about clients. So clients' requests are made: each opens a
connection of its own and verifies what it is shown, as a client does that knows the site's root alone.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_TIMEOUT_SECONDS = 10.0
_SHOWN = 2


@dataclass(frozen=True)
class Question:
    """One kind of request."""

    name: str
    rate: float
    """Requests a second."""
    ask: Callable[[], None]
    """Makes one request; raises whatever it fails with."""
    at_once: int = 32
    """How many may wait for an answer. When as many do, the next waits, and the rate falls."""


@dataclass
class Tally:
    """What came of the requests."""

    asked: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    reasons: list[str] = field(default_factory=list)
    """Why the first of each kind failed, with the time."""
    seconds: float = 0.0

    @property
    def total(self) -> int:
        """All requests."""
        return self.asked.total()

    @property
    def lost(self) -> int:
        """Requests that failed."""
        return self.failed.total()

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {
            "requests": self.total,
            "failed": self.lost,
            "seconds": round(self.seconds, 1),
            "by_kind": {
                name: {"requests": count, "failed": self.failed[name]} for name, count in self.asked.items()
            },
            "reasons": self.reasons,
        }

    def text(self) -> str:
        """For people."""
        rate = self.total / self.seconds if self.seconds else 0.0
        kinds = ", ".join(
            f"{name} {self.failed[name]} of {count}" for name, count in sorted(self.asked.items())
        )
        return f"{self.lost} of {self.total} requests failed at {rate:.0f}/s ({kinds})"


@contextmanager
def watching(questions: Sequence[Question]) -> Iterator[Tally]:
    """Ask all questions, each at its own rate, until the block ends; the tally is whole after it.

    A request that still waits at the end is waited for.
    """
    tally, stop, guard = Tally(), threading.Event(), threading.Lock()
    started = time.monotonic()

    def one(question: Question) -> None:
        reason = ""
        try:
            question.ask()
        except Exception as error:  # noqa: BLE001 - whatever stops a client is a failed request
            reason = f"{type(error).__name__}: {error}"
        with guard:
            tally.asked[question.name] += 1
            if reason:
                tally.failed[question.name] += 1
                if tally.failed[question.name] <= _SHOWN:
                    tally.reasons.append(f"after {time.monotonic() - started:.1f} s, {question.name}: {reason}")

    def drive(question: Question) -> None:
        due = time.monotonic()
        free = threading.Semaphore(question.at_once)

        def next_one() -> None:
            try:
                one(question)
            finally:
                free.release()

        with ThreadPoolExecutor(question.at_once) as pool:
            while not stop.wait(max(0.0, due - time.monotonic())):
                # What can't be asked in time isn't piled up: clients that wait ask nothing else.
                while not free.acquire(timeout=0.1):
                    if stop.is_set():
                        return
                pool.submit(next_one)
                due = max(due + 1 / question.rate, time.monotonic())

    drivers = [threading.Thread(target=drive, args=(question,)) for question in questions]
    for driver in drivers:
        driver.start()
    try:
        yield tally
    finally:
        stop.set()
        for driver in drivers:
            driver.join()
        tally.seconds = time.monotonic() - started


def handshake(address: str, port: int, name: str, context: ssl.SSLContext) -> Callable[[], None]:
    """Opens a TLS connection that must show a certificate for `name`.

    One that ends before it is open is made once more, as HTTP clients do (RFC 9112, 9.3.1): a process that
    hands over to its successor can end one that it has accepted, and nothing was asked on it yet. What is
    refused, or shows another certificate, isn't.
    """

    def connect() -> None:
        with (
            socket.create_connection((address, port), _TIMEOUT_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=name),
        ):
            pass

    def ask() -> None:
        try:
            connect()
        except (ssl.SSLEOFError, ConnectionResetError):
            connect()

    return ask


def trusting(root: Path) -> ssl.SSLContext:
    """A client that trusts the authorities in a file and no other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(root)
    return context
