"""How much a caller may ask of an admin API: requests a second and a minute, and the size of a body.

Both limits are X-Road's (`IpThrottlingFilter.java`, `LimitRequestSizesFilter.java`; ug-syspar 4.9 and 5.4):
two token buckets an address, each refilled steadily, and 413 once a body is longer than its kind may be.
Times are real: the clock that the simulator's intervals are scaled with doesn't change them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_REMEMBERED_ADDRESSES = 10_000
_MINUTE_SECONDS = 60

UPLOADS = (
    ("POST", "*/backups/upload"),
    ("POST", "*/certification-services"),
    ("POST", "*/certification-services/*/intermediate-cas"),
    ("POST", "*/certification-services/*/ocsp-responders"),
    ("POST", "*/configuration-sources/*/configuration-parts"),
    ("POST", "*/trusted-anchors"),
    ("POST", "*/trusted-anchors/preview"),
    ("POST", "*/intermediate-cas/*/ocsp-responders"),
    ("PATCH", "*/ocsp-responders/*"),
    ("POST", "*/timestamping-services"),
    ("PATCH", "*/timestamping-services/*"),
    ("POST", "*/tls-certificates"),
    ("POST", "*/token-certificates"),
    ("POST", "*/certificate/import"),
)
"""Operations whose body may be as long as an upload (`file-upload-endpoints` of both `application.yml`)."""


@dataclass(slots=True)
class _Bucket:
    """Tokens that are refilled steadily up to a capacity."""

    capacity: float
    per_second: float
    tokens: float = field(init=False)
    filled_at: float = field(init=False)

    def __post_init__(self) -> None:
        self.tokens, self.filled_at = self.capacity, -1.0

    def fill(self, moment: float) -> None:
        """Add what has come since the last time."""
        if self.filled_at >= 0:
            self.tokens = min(self.capacity, self.tokens + (moment - self.filled_at) * self.per_second)
        self.filled_at = moment


class RateLimiter:
    """Says whether an address may send one more request. A limit below 1 is none, as in X-Road."""

    def __init__(self, per_second: int, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = [(per_second, 1), (per_minute, _MINUTE_SECONDS)]
        self._clock = clock
        self._buckets: dict[str, list[_Bucket]] = {}

    def admits(self, address: str) -> bool:
        """Whether this request is within both limits; only then does it count towards them."""
        buckets = self._buckets.pop(address, None) or [
            _Bucket(limit, limit / period) for limit, period in self._limits if limit > 0
        ]
        self._buckets[address] = buckets  # now the youngest
        if len(self._buckets) > _REMEMBERED_ADDRESSES:
            del self._buckets[next(iter(self._buckets))]
        moment = self._clock()
        for bucket in buckets:
            bucket.fill(moment)
        if any(bucket.tokens < 1 for bucket in buckets):
            return False
        for bucket in buckets:
            bucket.tokens -= 1
        return True


class RateLimitMiddleware:
    """Answers 429 to an address that asks too often, as X-Road's filter does: no error code, no retry time."""

    def __init__(self, app: ASGIApp, limiter: RateLimiter) -> None:
        self._app = app
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        client = scope.get("client")
        if scope["type"] == "http" and client is not None and not self._limiter.admits(client[0]):
            await answer(send, 429, (b"connection", b"close"))
            return
        await self._app(scope, receive, send)


class _TooLongError(Exception):
    """A body went on beyond its limit."""


class BodyLimitMiddleware:
    """Answers 413 to a body that is longer than its operation allows."""

    def __init__(self, app: ASGIApp, regular_bytes: int, upload_bytes: int) -> None:
        self._app = app
        self._regular = regular_bytes
        self._upload = upload_bytes

    def _limit(self, scope: Scope) -> int:
        method, path = scope["method"], scope["path"]
        uploads = any(method == wanted and fnmatchcase(path, pattern) for wanted, pattern in UPLOADS)
        return self._upload if uploads else self._regular

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limit(scope)
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > limit:
            await answer(send, 413)
            return
        received, begun = 0, False

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise _TooLongError
            return message

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, counted, watched)
        except _TooLongError:
            if begun:
                raise
            await answer(send, 413)


async def answer(send: Send, status: int, *headers: tuple[bytes, bytes]) -> None:
    """Send X-Road's answer of a filter: the status alone, in headers and body."""
    body = json.dumps({"status": status}, separators=(",", ":")).encode()
    described = [(b"content-type", b"application/json;charset=UTF-8"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": [*described, *headers]})
    await send({"type": "http.response.body", "body": body})
