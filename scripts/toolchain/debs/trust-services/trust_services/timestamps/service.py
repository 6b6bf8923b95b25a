"""The authority as an HTTP service (RFC 3161 section 3.4)."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from math import nan
from typing import Any

from granian.rsgi import HTTPProtocol, ProtocolClosed, ProtocolError, Scope  # type: ignore[attr-defined]

from trust_services.timestamps.answer import Stamper, rejection
from trust_services.timestamps.clock import ClockWatch, Moment, Unsure
from trust_services.timestamps.renewed import IdentityWatch
from trust_services.timestamps.request import MAXIMUM_BYTES, Rejected, read_request
from trust_services.timestamps.settings import Identity, Settings
from trust_services.timestamps.syntax import Failure
from trust_services.timestamps.tally import Tally

GRANTED = "granted"
RESULTS = (GRANTED, *(failure.name.lower() for failure in Failure))
"""What answers are counted by."""

_QUERY = "application/timestamp-query"
_REPLY = [("content-type", "application/timestamp-reply")]
_TEXT = [("content-type", "text/plain; charset=utf-8")]
_METRICS = [("content-type", "text/plain; version=0.0.4; charset=utf-8")]
_BODY_SECONDS = 10.0
"""Until a client that doesn't send its whole request is given up."""


@dataclass(frozen=True)
class _Stamping:
    """What stamps, and when its certificate is valid."""

    stamper: Stamper
    begins: datetime
    ends: datetime


class Service:
    """Answers requests: time stamps by POST to `/`, and `/health` and `/metrics` for those who run it."""

    def __init__(
        self,
        settings: Settings,
        identity: Identity,
        clock: ClockWatch,
        tally: Tally,
        renewed: IdentityWatch | None = None,
    ) -> None:
        """`renewed` brings another identity when the files change; without it the first one stays."""
        self._policy = settings.policy
        self._use(identity)
        self._clock = clock
        self._tally = tally
        self._renewed = renewed

    def _use(self, identity: Identity) -> None:
        """Stamp with this key from the next request on."""
        certificate = identity.certificate
        stamper = Stamper(identity.key, certificate, identity.chain, self._policy)
        # Taken over in one step: a request that is being answered sees one of the two.
        self._stamping = _Stamping(stamper, certificate.not_valid_before_utc, certificate.not_valid_after_utc)

    def answer(self, data: bytes) -> bytes:
        """The TimeStampResp to a request: a time stamp, or why there is none."""
        try:
            stamping = self._stamping
            request = read_request(data, self._policy)
            answer = stamping.stamper.stamp(request, self._moment(stamping))
        except Rejected as rejected:
            self._tally.count(rejected.failure.name.lower())
            return rejection(rejected.failure, rejected.text)
        self._tally.count(GRANTED)
        return answer

    def trouble(self) -> str:
        """Why the service can't stamp now; empty if it can."""
        try:
            self._moment(self._stamping)
        except Rejected as rejected:
            return rejected.text
        return ""

    def metrics(self) -> str:
        """The service's state in Prometheus's text format."""
        sure = 1
        try:
            self._clock.now()
        except Unsure:
            sure = 0
        error = self._clock.error
        left = (self._stamping.ends - datetime.now(UTC)).total_seconds()
        lines = [
            "# HELP timestamps_answers_total Answers to requests for time stamps.",
            "# TYPE timestamps_answers_total counter",
            *(f'timestamps_answers_total{{result="{name}"}} {n}' for name, n in self._tally.totals().items()),
            "# HELP timestamps_certificate_seconds_left Until the authority's certificate ends.",
            "# TYPE timestamps_certificate_seconds_left gauge",
            f"timestamps_certificate_seconds_left {left:.0f}",
            "# HELP timestamps_clock_error_seconds How far the clock may be off, as chrony said last.",
            "# TYPE timestamps_clock_error_seconds gauge",
            f"timestamps_clock_error_seconds {nan if error is None else error}",
            "# HELP timestamps_clock_sure Whether time stamps are made: 1, or 0 while the clock is unsure.",
            "# TYPE timestamps_clock_sure gauge",
            f"timestamps_clock_sure {sure}",
        ]
        return "\n".join(lines) + "\n"

    def _moment(self, stamping: _Stamping) -> Moment:
        try:
            moment = self._clock.now()
        except Unsure as unsure:
            raise Rejected(Failure.TIME_NOT_AVAILABLE, str(unsure)) from None
        if not stamping.begins <= moment.time < stamping.ends:
            raise Rejected(
                Failure.SYSTEM_FAILURE, f"the certificate is valid from {stamping.begins} to {stamping.ends}"
            )
        return moment

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Called by the server in each worker before it serves."""
        self._tally.join()
        self._clock.start()
        if self._renewed is not None:
            self._renewed.start(self._use)

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Called by the server in each worker when it ends."""
        self._clock.stop()
        if self._renewed is not None:
            self._renewed.stop()

    async def __rsgi__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """Answer one request of HTTP."""
        if scope.path == "/":
            await self._stamp(scope, protocol)
            return
        page = {"/health": self._health, "/metrics": self._show_metrics}.get(scope.path)
        if page is None:
            protocol.response_str(404, _TEXT, "not found\n")
        elif scope.method not in ("GET", "HEAD"):
            protocol.response_str(405, [*_TEXT, ("allow", "GET, HEAD")], "read this with GET\n")
        else:
            page(protocol)

    async def _stamp(self, scope: Scope, protocol: HTTPProtocol) -> None:
        if scope.method != "POST":
            protocol.response_str(405, [*_TEXT, ("allow", "POST")], f"POST {_QUERY} here\n")
            return
        kind = scope.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != _QUERY:
            protocol.response_str(415, _TEXT, f"POST {_QUERY} here\n")
            return
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                data = await _body(protocol)
        except TimeoutError:
            protocol.response_str(408, [*_TEXT, ("connection", "close")], "the request didn't come\n")
        except (ProtocolClosed, ProtocolError):
            return
        else:
            protocol.response_bytes(200, _REPLY, self.answer(data))

    def _health(self, protocol: HTTPProtocol) -> None:
        trouble = self.trouble()
        protocol.response_str(503 if trouble else 200, _TEXT, f"{trouble or 'time stamps are made'}\n")

    def _show_metrics(self, protocol: HTTPProtocol) -> None:
        protocol.response_str(200, _METRICS, self.metrics())


async def _body(protocol: HTTPProtocol) -> bytes:
    """What a client sends; cut off where it is certainly too long."""
    data = b""
    async for part in protocol:
        data += part
        if len(data) > MAXIMUM_BYTES:
            break
    return data


def serve(settings: Settings, identity: Identity, renewed: IdentityWatch) -> None:
    """Serve until told to end by SIGTERM or SIGINT."""
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces

    # Workers inherit the key and the counters; Python 3.14 would start them by other means.
    multiprocessing.set_start_method("fork")
    tally = Tally(RESULTS, settings.workers)

    def load() -> Callable[..., Any]:
        service: Any = Service(settings, identity, ClockWatch(settings.clock.limits), tally, renewed)
        return service  # type: ignore[no-any-return]

    Granian(
        "trust_services.timestamps",
        address=str(settings.address),
        port=settings.port,
        interface=Interfaces.RSGI,
        workers=settings.workers,
        http=HTTPModes.http1,
        websockets=False,
        workers_kill_timeout=10,
    ).serve(target_loader=load, wrap_loader=False)
