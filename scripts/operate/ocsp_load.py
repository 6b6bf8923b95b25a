"""Asks an OCSP responder about certificates of two authorities, at a steady pace, and counts what fails.

In a process of its own, so that it keeps its pace whatever else is measured. It asks about what is published: a
certificate that is new there is asked about a little later, as the responder has to take it over first.
"""

from __future__ import annotations

import http.client
import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.x509 import ocsp

from operate.failure import Failure

REQUESTS_PER_SECOND = 100

BUDGET = timedelta(hours=1)
"""How old an answer may become."""

LEAD_SECONDS = 3.0
"""How long after its publication an answer is asked for: the responder looks every second, and verifies."""


@dataclass
class Publication:
    """An authority's published answers."""

    issuer: Path
    """Its certificate, PEM."""
    answers: Path
    _seen: tuple[int, int] = field(default=(0, 0), init=False)

    def changed(self) -> bool:
        """Whether the file is another one than at the last call; False while there is none."""
        try:
            status = self.answers.stat()
        except FileNotFoundError:
            return False
        before, self._seen = self._seen, (status.st_ino, status.st_mtime_ns)
        return before != self._seen

    def read(self) -> dict[int, bytes]:
        """Serial numbers with a good answer, verified, and X-Road's request (SHA-1) about each.

        Failure if the publication isn't as it must be.
        """
        from trust_services.refusal import Refusal
        from trust_services.status.verification import Authority

        try:
            authority = Authority(x509.load_pem_x509_certificate(self.issuer.read_bytes()), BUDGET)
            held = authority.answers(self.answers.read_bytes(), None, datetime.now(UTC))
        except Refusal as refusal:
            raise Failure(f"{self.answers.name} is refused: {refusal.message}") from refusal
        found: dict[int, bytes] = {}
        # The longer one of the two is about SHA-256.
        for asked, one in sorted(held.by_request.items(), key=lambda item: len(item[0])):
            if one.answer.revoked_at is None:
                found.setdefault(one.answer.serial, asked)
        return found


@contextmanager
def asking(port: int, former: Publication, successor: Publication) -> Iterator[Callable[[], dict[str, Any]]]:
    """Somebody asks the responder at this port; calling what is yielded stops that and tells how it went."""
    from operate.bench_issuing import environment

    files = [str(path) for one in (former, successor) for path in (one.issuer, one.answers)]
    command = [sys.executable, "-m", "operate.ocsp_load", str(port), *files]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, env=environment(), stdin=pipe, stdout=pipe, text=True)

    def stop() -> dict[str, Any]:
        told, _ = process.communicate(timeout=60)
        if process.returncode != 0:
            raise Failure("who asked the responder broke off")
        found: dict[str, Any] = json.loads(told)
        return found

    try:
        yield stop
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _ask(port: int, former: Publication, successor: Publication) -> dict[str, Any]:
    """Ask about certificates of both in turn, until standard input ends."""
    pools = [list(former.read().items()), []]
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(0.2):
            if successor.changed():
                found = list(successor.read().items())
                stop.wait(LEAD_SECONDS)
                pools[1] = found

    def wait() -> None:
        sys.stdin.read()
        stop.set()

    for work in (look, wait):
        threading.Thread(target=work, daemon=True).start()
    asker = _Asker(port)
    started = time.monotonic()
    for number in itertools.count():
        # A pace that is kept: what came too late is made up for.
        if stop.wait(max(0.0, started + number / REQUESTS_PER_SECOND - time.monotonic())):
            break
        which = number % 2 if pools[1] else 0
        pool = pools[which]
        asker.ask(which, *pool[number // 2 % len(pool)])
    return asker.told(time.monotonic() - started)


class _Asker:
    """Asks on a kept connection and counts what isn't answered with "good"."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        self._milliseconds: list[float] = []
        self._asked: tuple[list[int], list[int]] = ([], [])
        self._failures: list[str] = []

    def ask(self, which: int, serial: int, request: bytes) -> None:
        """Ask about one certificate."""
        started = time.monotonic()
        self._asked[which].append(serial)
        try:
            headers = {"Content-Type": "application/ocsp-request"}
            self._connection.request("POST", "/", request, headers)
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            self._failures.append(f"{serial:x}: {type(error).__name__}")
            return
        self._milliseconds.append(1000 * (time.monotonic() - started))
        if reason := _wrong(answer.status, content, serial):
            self._failures.append(f"{serial:x}: {reason}")

    def told(self, seconds: float) -> dict[str, Any]:
        """What there is to tell."""
        took = sorted(self._milliseconds) or [0.0]
        count = sum(map(len, self._asked))
        return {
            "count": count,
            "about_former": len(self._asked[0]),
            "about_successor": len(self._asked[1]),
            "different_certificates": len(set().union(*self._asked)),
            "per_second": round(count / seconds, 1),
            "failures": len(self._failures),
            "first_failures": self._failures[:3],
            "milliseconds_median": round(took[len(took) // 2], 2),
            "milliseconds_99": round(took[len(took) * 99 // 100], 2),
        }


def _wrong(status: int, content: bytes, serial: int) -> str:
    """Why an answer isn't a good one, empty if it is."""
    if status != http.HTTPStatus.OK:
        return f"status {status}"
    response = ocsp.load_der_ocsp_response(content)
    if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        return response.response_status.name
    if response.serial_number != serial:
        return "an answer about another certificate"
    if response.certificate_status is not ocsp.OCSPCertStatus.GOOD:
        return response.certificate_status.name
    now, until = datetime.now(UTC), response.next_update_utc
    if until is None or until < now or response.this_update_utc < now - BUDGET:
        return "an answer that is too old"
    return ""


def main(arguments: list[str]) -> None:
    """`PORT ISSUER ANSWERS ISSUER ANSWERS`: asks until standard input ends, then prints how it went, JSON."""
    port, *files = arguments
    paths = list(map(Path, files))
    print(json.dumps(_ask(int(port), Publication(*paths[:2]), Publication(*paths[2:]))))


if __name__ == "__main__":
    main(sys.argv[1:])
