"""Faults on purpose, and a count of the requests: for tests of programs that call the admin APIs.

A fault is switched on for some of the next requests, or for a step of an operation. Tests in the same
process use `SecurityServer.faults` and `CentralServer.faults`; others the port that
`[simulator] fault-port` names (loopback only), or `[simulator] faults`, a JSON list, from the start on.
"""

import asyncio
import os
import signal
import threading
from collections import Counter
from fnmatch import fnmatchcase
from typing import Any, Literal

from fastapi import FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xroad_simulator.limits import answer
from xroad_simulator.listeners import BREAK_OFF

QUERIES = frozenset(
    {
        "POST /global-groups/{code}/members",
        "POST /system/anchor/previews",
        "POST /trusted-anchors/preview",
    }
)
"""Operations that change nothing although they aren't GET requests."""


class Fault(BaseModel):
    """One fault. It ends after it has happened `times` times."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["answer", "refuse", "cut", "delay", "fail", "kill"]
    """`answer`: with `status`, nothing is done. `refuse`: the connection breaks off before anything is done.
    `cut`: it breaks off after everything is done. `delay`: by `seconds`.
    `fail`: the operation fails at `step`. `kill`: the process ends at `step` as if by kill -9."""
    method: str = "*"
    path: str = "*"
    """Shell pattern of the paths below `/api/v1`, for faults of requests."""
    status: int = Field(default=503, ge=400, le=599)
    seconds: float = Field(default=1, ge=0)
    step: str = ""
    """Where an operation fails or the process ends; the modules that have steps name them."""
    times: int = Field(default=1, ge=1)

    def concerns(self, method: str, path: str) -> bool:
        """Whether a request has this fault."""
        return (
            not self.step
            and self.method in ("*", method)
            and fnmatchcase(path.removeprefix("/api/v1"), self.path)
        )


class StepFailedError(Exception):
    """A step that a test made fail."""


_FAULTS = TypeAdapter(list[Fault])


class Faults:
    """The faults of one server that haven't happened yet."""

    def __init__(self, wanted: str = "[]") -> None:
        """`wanted` is a JSON list; ValueError if it isn't one of faults."""
        self._lock = threading.Lock()
        self._waiting: list[Fault] = _FAULTS.validate_json(wanted)

    @property
    def waiting(self) -> list[Fault]:
        """What is still to happen."""
        with self._lock:
            return list(self._waiting)

    def add(self, *faults: Fault) -> None:
        """Let these happen as well."""
        with self._lock:
            self._waiting.extend(faults)

    def clear(self) -> None:
        """Let nothing more happen."""
        with self._lock:
            self._waiting.clear()

    def _take(self, index: int) -> Fault:
        fault = self._waiting[index]
        if fault.times > 1:
            self._waiting[index] = fault.model_copy(update={"times": fault.times - 1})
        else:
            del self._waiting[index]
        return fault

    def of_request(self, method: str, path: str) -> Fault | None:
        """The first fault that a request has, which has then happened once more."""
        with self._lock:
            for index, fault in enumerate(self._waiting):
                if fault.concerns(method, path):
                    return self._take(index)
        return None

    def step(self, name: str) -> None:
        """An operation comes to a step: StepFailedError if it is to fail there."""
        with self._lock:
            found = next((i for i, fault in enumerate(self._waiting) if fault.step == name), None)
            fault = None if found is None else self._take(found)
        if fault is None:
            return
        if fault.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise StepFailedError(name)


class Requests:
    """How often each operation was asked for, by method and path below `/api/v1`. Zero at the start."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def count(self, operation: str) -> None:
        """One more, `METHOD /path/of/the/{operation}`."""
        with self._lock:
            self._counts[operation] += 1

    def clear(self) -> None:
        """Start again at zero."""
        with self._lock:
            self._counts.clear()

    def view(self) -> dict[str, Any]:
        """All requests, those that aren't GET, those that could change something, and each operation's."""
        with self._lock:
            counts = dict(sorted(self._counts.items()))
        others = {name: number for name, number in counts.items() if not name.startswith(("GET ", "HEAD "))}
        return {
            "total": sum(counts.values()),
            "not_get": sum(others.values()),
            "writes": sum(number for name, number in others.items() if name not in QUERIES),
            "operations": counts,
        }


class FaultMiddleware:
    """Counts requests and lets faults happen to them."""

    def __init__(self, app: ASGIApp, faults: Faults, requests: Requests) -> None:
        self._app = app
        self._faults = faults
        self._requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        fault = self._faults.of_request(scope["method"], scope["path"])
        kind = None if fault is None else fault.kind
        try:
            if fault is not None and kind == "answer":
                await answer(send, fault.status)
                return
            if fault is not None and kind == "delay":
                await asyncio.sleep(fault.seconds)
            if kind != "refuse":
                await self._app(scope, receive, _swallow if kind == "cut" else send)
            if kind in ("refuse", "cut"):
                _break_off(scope)
        finally:
            route = scope.get("route")
            path = scope["path"] if route is None else route.path
            self._requests.count(f"{scope['method']} {path.removeprefix('/api/v1')}")


async def _swallow(message: Message) -> None:
    """Send nothing."""
    del message


def _break_off(scope: Scope) -> None:
    """End the connection that a request came by.

    A caller in the same process has none, and gets what httpx raises of a real one.
    """
    end = scope.get(BREAK_OFF)
    if end is None:
        from httpx import RemoteProtocolError  # a central server is installed without httpx

        raise RemoteProtocolError("the connection was broken off")
    end()


def application(faults: Faults, requests: Requests) -> FastAPI:
    """The port for tests: `/faults` (GET, POST a list, DELETE) and `/requests` (GET, DELETE)."""
    app = FastAPI(openapi_url=None)

    @app.get("/faults")
    def list_faults() -> list[Fault]:
        return faults.waiting

    @app.post("/faults", status_code=204)
    async def add_faults(request: Request) -> None:
        faults.add(*_FAULTS.validate_json(await request.body()))

    @app.delete("/faults", status_code=204)
    def clear_faults() -> None:
        faults.clear()

    @app.get("/requests")
    def list_requests() -> dict[str, Any]:
        return requests.view()

    @app.delete("/requests", status_code=204)
    def clear_requests() -> None:
        requests.clear()

    return app
