"""Speaks to one server's admin API: authentication, verified TLS, request limits, retries."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

import httpx

from stacks.providers.serving import ProviderError
from stacks.providers.xroad.endpoint import Endpoint, certificate_refused
from stacks.providers.xroad.errors import WARNINGS_DETECTED, ApiError, UnreachableError
from stacks.providers.xroad.memory import Memory
from stacks.providers.xroad.settings import READ_ONLY_VARIABLE

TOO_MANY_REQUESTS = 429
NOT_PROCESSED = frozenset({TOO_MANY_REQUESTS, 503})
"""Answers that promise that the request did nothing, so that it may be repeated."""
PROXY_FAILURES = frozenset({502, 504})
"""Answers that leave open what happened; only GET requests are repeated."""
SERVER_REQUESTS_PER_SECOND = 20
SERVER_REQUESTS_PER_MINUTE = 600
"""X-Road's limits for one client address, beyond which a server answers 429. Unused ones add up to these."""

_SHARE = 0.95
"""How much of the limits is used: the server's clock isn't ours."""


class _Bucket:
    """Requests that may be sent, refilled steadily up to a limit of `capacity`."""

    def __init__(self, capacity: float, per_second: float) -> None:
        self._capacity = capacity
        self._rate = per_second
        self._tokens = capacity
        self._updated = monotonic()

    def wait(self) -> float:
        """Seconds until a request may be sent."""
        now = monotonic()
        self._tokens = min(self._capacity, self._tokens + (now - self._updated) * self._rate)
        self._updated = now
        return max(0.0, 1 - self._tokens) / self._rate

    def take(self) -> None:
        """A request is sent."""
        self._tokens -= 1

    def drain(self) -> None:
        """Others have sent what was left."""
        self._tokens = min(self._tokens, 0.0)


class Pace:
    """Lets requests through at a server's limits of a second and of a minute."""

    def __init__(
        self, per_second: float = SERVER_REQUESTS_PER_SECOND, per_minute: float = SERVER_REQUESTS_PER_MINUTE
    ) -> None:
        # A run begins with a full bucket, of which the run before it may have left the server little: each look
        # and each apply is a run of its own.
        self._buckets = (
            _Bucket(per_second * 0.25, per_second * _SHARE),
            _Bucket(per_minute * _SHARE, per_minute * _SHARE / 60),
        )
        self._turn = asyncio.Lock()

    async def wait(self) -> None:
        """Return once a request may be sent."""
        async with self._turn:
            if seconds := max(bucket.wait() for bucket in self._buckets):
                await asyncio.sleep(seconds)
            for bucket in self._buckets:
                bucket.take()

    def refused(self) -> None:
        """The server has had enough: a run before this one, or beside it, has sent requests as well."""
        for bucket in self._buckets:
            bucket.drain()


class AdminConnection:
    """Requests to one server. One instance serves concurrent callers, so that they share its pace."""

    def __init__(
        self,
        endpoint: Endpoint,
        api_key: Callable[[], str],
        tls: ssl.SSLContext,
        *,
        patience_seconds: float = 60.0,
        transport: httpx.AsyncBaseTransport | None = None,
        pace: Pace | None = None,
        memory: Memory | None = None,
    ) -> None:
        """`api_key` is asked for each request, so that a rotated key is found.

        `patience_seconds` bounds how long a request is repeated while the server is overloaded, starting
        or refusing connections. Other failures aren't repeated. `memory` is shared by a federation's servers.
        """
        self.endpoint = endpoint
        self._api_key = api_key
        self._patience = patience_seconds
        self._pace = pace or Pace()
        self._memory = memory or Memory()
        self._client = httpx.AsyncClient(
            verify=tls,
            transport=transport,
            timeout=httpx.Timeout(60.0, connect=10.0),
            headers={"Host": endpoint.host, "Accept": "application/json"},
            # Proxies of the environment lead out of the site; a redirect would hide a wrong address.
            trust_env=False,
            follow_redirects=False,
        )

    async def get(self, path: str, **parameters: Any) -> Any:
        """The JSON answer of a GET request; perhaps a remembered one, see `memory`."""

        async def ask() -> Any:
            return (await self.request("GET", path, params=parameters or None)).json()

        question = (self.endpoint, path, tuple(sorted(parameters.items())))
        return await self._memory.answer(question, ask)

    async def send(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, accept_warnings: bool = False
    ) -> Any:
        """Send JSON and return the JSON answer, or None if it is empty.

        `accept_warnings` repeats a request with `ignore_warnings` when the server only warns.
        """
        try:
            response = await self.request(method, path, json=body)
        except ApiError as error:
            if not (accept_warnings and error.code == WARNINGS_DETECTED):
                raise
            response = await self.request(method, path, json={**(body or {}), "ignore_warnings": True})
        return response.json() if response.content else None

    async def submit(self, path: str, fields: Mapping[str, str], certificate: bytes | None) -> Any:
        """Post a form with a certificate file and return the JSON answer."""
        parts: list[tuple[str, Any]] = [(name, (None, value)) for name, value in fields.items()]
        if certificate is not None:
            parts.append(("certificate", ("certificate.pem", certificate, "application/octet-stream")))
        return (await self.request("POST", path, files=parts)).json()

    async def upload(self, method: str, path: str, content: bytes, **parameters: Any) -> httpx.Response:
        """Send bytes as the body of a request."""
        return await self.request(
            method,
            path,
            content=content,
            params=parameters or None,
            headers={"Content-Type": "application/octet-stream"},
        )

    async def download(self, path: str, **parameters: Any) -> bytes:
        """The bytes that a GET request answers with; never remembered ones."""
        answer = await self.request("GET", path, params=parameters or None, headers={"Accept": "*/*"})
        return answer.content

    async def request(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **options: Any
    ) -> httpx.Response:
        """Send one request and return its answer; ApiError for every status but 2xx.

        Raises UnreachableError when nothing usable came back in time. A request whose connection broke after
        it was sent isn't repeated here unless it is a GET: what it did is unknown, and callers read back.
        """
        if method != "GET":
            self._memory.forget()
        try:
            return await self._repeated(method, path, headers, options)
        finally:
            if method != "GET":
                # What was asked while the request was under way may be from before it.
                self._memory.forget()

    async def _repeated(
        self, method: str, path: str, headers: Mapping[str, str] | None, options: Mapping[str, Any]
    ) -> httpx.Response:
        if method != "GET" and os.environ.get(READ_ONLY_VARIABLE):
            raise ProviderError(f"{self.endpoint}: {method} {path} would change something, and this only looks")
        left, pause = self._patience, 0.5
        while True:
            # Others' turns aren't this server's fault: they don't count.
            await self._pace.wait()
            began, wait = monotonic(), pause
            try:
                response = await self._client.request(
                    method,
                    f"{self.endpoint.origin}/api/v1{path}",
                    extensions={"sni_hostname": self.endpoint.name},
                    headers={"Authorization": f"X-Road-ApiKey token={self._api_key()}", **(headers or {})},
                    **options,
                )
            except httpx.ConnectError as error:
                if certificate_refused(error):
                    raise UnreachableError(
                        f"{self.endpoint}: its certificate isn't accepted: {error}"
                    ) from None
                failure = f"{self.endpoint} can't be reached: {error}"
            except httpx.TransportError as error:
                failure = f"{self.endpoint}: {method} {path} broke off: {error!r}"
                if method != "GET":
                    raise UnreachableError(failure) from None
            else:
                if response.is_success:
                    return response
                failure = str(ApiError.of(response))
                repeatable = NOT_PROCESSED | PROXY_FAILURES if method == "GET" else NOT_PROCESSED
                if response.status_code not in repeatable:
                    raise ApiError.of(response)
                wait = max(pause, retry_after(response))
                if response.status_code == TOO_MANY_REQUESTS:
                    self._pace.refused()
            left -= monotonic() - began + wait
            if left < 0:
                raise UnreachableError(f"{failure}; gave up after {self._patience:.0f} s")
            await asyncio.sleep(wait)
            pause = min(pause * 2, 5.0)

    async def close(self) -> None:
        """Give back the connections."""
        await self._client.aclose()


def retry_after(response: httpx.Response) -> float:
    """Seconds that a server asks to wait before the next request; 0 if it doesn't say."""
    value = response.headers.get("retry-after", "")
    return float(value) if value.isdigit() else 0.0
