"""What the SDK needs so that a program of thousands of resources takes time in proportion to their number."""

from __future__ import annotations

import asyncio
from typing import Any

from pulumi.runtime.proto import engine_pb2, resource_pb2
from pulumi.runtime.settings import SETTINGS

ENGINE_ENVIRONMENT = {"GOGC": "40"}
"""The engine, a Go program, keeps two fifths of memory beside what it needs, not as much again."""


class _Passing:
    """Passes every call on, but for those that a subclass takes."""

    def __init__(self, wrapped: Any) -> None:
        self._wrapped = wrapped

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)


class _WithoutDebugging(_Passing):
    """The engine, without the half a dozen debugging messages that the SDK has for each resource.

    Each is a call that the whole program waits for, and the engine passes it on to nobody.
    """

    def Log(self, request: engine_pb2.LogRequest) -> Any:  # noqa: N802 - gRPC's name
        """Say something to the user, unless it is for debugging."""
        return None if request.severity == engine_pb2.DEBUG else self._wrapped.Log(request)


class _WithoutTraces(_Passing):
    """The engine, which isn't told from which lines of the program a resource comes.

    It would keep the whole stack of each in memory and in the state, with the paths of this machine.
    """

    def RegisterResource(self, request: resource_pb2.RegisterResourceRequest) -> Any:  # noqa: N802 - gRPC's name
        """Declare a resource."""
        request.ClearField("stackTrace")
        request.ClearField("sourcePosition")
        return self._wrapped.RegisterResource(request)


def begin() -> None:
    """To be called before the first resource is declared."""
    SETTINGS.engine = _WithoutDebugging(SETTINGS.engine)
    SETTINGS.monitor = _WithoutTraces(SETTINGS.monitor)


async def end() -> None:
    """To be awaited after the last resource is declared: every registration begins.

    The SDK waits in turn for registrations that have begun. Of others it sees the outputs alone, several a
    resource, and would look at all of them again whenever one is known.
    """
    await asyncio.sleep(0)
