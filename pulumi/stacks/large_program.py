"""What the SDK needs so that a program of thousands of resources takes time in proportion to their number."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import ModuleType
from typing import Any

from pulumi import Inputs, Resource
from pulumi.runtime import resource, rpc
from pulumi.runtime.proto import engine_pb2, source_pb2
from pulumi.runtime.settings import SETTINGS

ENGINE_ENVIRONMENT = {"GOGC": "25", "PULUMI_PARALLEL": "64"}
"""The engine, a Go program, keeps a quarter of memory beside what it needs, not as much again.

It works on so many resources at a time, not on four for each processor: those of one server follow each other
in the state, and would all wait for that server's limit of requests while the others are idle.
"""


class _WithoutDebugging:
    """The engine, without the half a dozen debugging messages that the SDK has for each resource.

    Each is a call that the whole program waits for, and the engine passes it on to nobody.
    """

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def Log(self, request: engine_pb2.LogRequest) -> Any:  # noqa: N802 - gRPC's name
        """Say something to the user, unless it is for debugging."""
        return None if request.severity == engine_pb2.DEBUG else self._engine.Log(request)


@asynccontextmanager
async def declaring() -> AsyncIterator[None]:
    """Around all declarations of a program that reads no output of its resources, their URNs apart.

    When it ends, every registration has begun. The SDK waits in turn for those. Of others it sees the outputs
    alone, several a resource, and would look at all of them again whenever one is known.
    """
    with_outputs = rpc.transfer_properties

    # An output costs half a dozen futures and tasks, and a resource has one for each of its inputs.
    def without_outputs(
        res: Resource,
        props: Inputs,  # noqa: ARG001 - it takes the place of a function that has it
        custom: bool,
    ) -> dict[str, rpc.Resolver]:
        return with_outputs(res, {}, custom)

    SETTINGS.engine = _WithoutDebugging(SETTINGS.engine)
    with (
        _replaced(rpc, "transfer_properties", without_outputs),
        # Where a resource is declared: the engine would keep it in the state, with this machine's paths.
        _replaced(resource, "_get_stack_trace", source_pb2.StackTrace),
    ):
        yield
    await asyncio.sleep(0)


@contextmanager
def _replaced(module: ModuleType, name: str, value: Any) -> Iterator[None]:
    """Have `value` under a name of a module."""
    original = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, original)
