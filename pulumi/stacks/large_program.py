"""What the SDK needs so that a program of thousands of resources takes time in proportion to their number."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pulumi import Inputs, Resource
from pulumi.runtime import rpc
from pulumi.runtime.proto import engine_pb2, resource_pb2
from pulumi.runtime.settings import SETTINGS

ENGINE_ENVIRONMENT = {"GOGC": "25", "PULUMI_PARALLEL": "64"}
"""The engine, a Go program, keeps a quarter of memory beside what it needs, not as much again.

It works on so many resources at a time, not on four for each processor: those of one server follow each other
in the state, and would all wait for that server's limit of requests while the others are idle.
"""


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


@asynccontextmanager
async def declaring() -> AsyncIterator[None]:
    """Around all declarations of a program that reads no output of its resources, their URNs apart.

    When it ends, every registration has begun. The SDK waits in turn for those. Of others it sees the outputs
    alone, several a resource, and would look at all of them again whenever one is known.
    """
    SETTINGS.engine = _WithoutDebugging(SETTINGS.engine)
    SETTINGS.monitor = _WithoutTraces(SETTINGS.monitor)
    with_outputs = rpc.transfer_properties

    # An output costs half a dozen futures and tasks, and a resource has one for each of its inputs.
    def without_outputs(
        res: Resource,
        props: Inputs,  # noqa: ARG001 - it takes the place of a function that has it
        custom: bool,
    ) -> dict[str, rpc.Resolver]:
        return with_outputs(res, {}, custom)

    rpc.transfer_properties = without_outputs
    try:
        yield
    finally:
        rpc.transfer_properties = with_outputs
    await asyncio.sleep(0)
