"""A network that loses, delays and refuses: between a provider in the test's process and the servers."""

from __future__ import annotations

import ssl
from collections import Counter
from collections.abc import Callable

import httpx

Fault = Callable[[httpx.Request, int], httpx.Response | None]
"""What is answered instead of the server, told the request and how often it came; None to pass it on."""


class Faulty(httpx.AsyncBaseTransport):
    """Passes requests on, but for some."""

    def __init__(
        self, tls: ssl.SSLContext, fault: Fault, lost: Callable[[httpx.Request, int], bool] = lambda *_: False
    ) -> None:
        """`lost` says which answers don't arrive, though the server did what was asked."""
        self._network = httpx.AsyncHTTPTransport(verify=tls)
        self._fault = fault
        self._lost = lost
        self._seen: Counter[tuple[str, str]] = Counter()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        place = (request.method, str(request.url))
        self._seen[place] += 1
        instead = self._fault(request, self._seen[place])
        if instead is not None:
            return instead
        answer = await self._network.handle_async_request(request)
        if self._lost(request, self._seen[place]):
            await answer.aread()
            raise httpx.ReadError("the connection broke", request=request)
        return answer

    async def aclose(self) -> None:
        await self._network.aclose()


def refusal(request: httpx.Request, status: int) -> httpx.Response:
    """An answer of this status, as a server or something before it would give it."""
    headers = {"Retry-After": "0"} if status in (429, 503) else {}
    return httpx.Response(status, request=request, headers=headers, json={"status": status})
