"""What keeps a program of thousands of resources from taking minutes in the SDK alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pulumi
import pytest
from pulumi.runtime.mocks import MockCallArgs, MockResourceArgs, Mocks
from pulumi.runtime.proto import engine_pb2, resource_pb2
from pulumi.runtime.settings import SETTINGS

from stacks import large_program


class Engine:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def Log(self, request: engine_pb2.LogRequest) -> None:  # noqa: N802 - gRPC's name
        self.told.append(request.message)


class Anything(Mocks):
    """Accepts every resource."""

    def new_resource(self, args: MockResourceArgs) -> tuple[str, dict[str, object]]:
        return args.name, dict(args.inputs)

    def call(self, args: MockCallArgs) -> dict[str, object]:
        raise AssertionError(f"the program calls {args.token}")


@pytest.fixture
def run() -> Callable[[Callable[[], Awaitable[None]]], None]:
    """Runs a program, with resources that are accepted."""

    def within(program: Callable[[], Awaitable[None]]) -> None:
        asyncio.set_event_loop(asyncio.new_event_loop())
        pulumi.runtime.set_mocks(Anything(), preview=False)
        pulumi.runtime.test(program)()

    return within


def test_the_engine_hears_no_debugging(run: Callable[[Callable[[], Awaitable[None]]], None]) -> None:
    """Warnings reach the user; the SDK's own chatter doesn't even leave the program."""
    engine = Engine()

    async def program() -> None:
        SETTINGS.engine = engine
        async with large_program.declaring():
            pulumi.log.debug("preparing")
            pulumi.log.warn("mind the gap")

    run(program)

    assert engine.told == ["mind the gap"]


def test_no_path_of_this_machine_is_told(run: Callable[[Callable[[], Awaitable[None]]], None]) -> None:
    """Where in the program a resource comes from is nothing that the state has to keep."""
    told: list[resource_pb2.RegisterResourceRequest] = []

    class Monitor:
        def __init__(self, monitor: Any) -> None:
            self._monitor = monitor

        def __getattr__(self, name: str) -> Any:
            return getattr(self._monitor, name)

        def RegisterResource(self, request: resource_pb2.RegisterResourceRequest) -> Any:  # noqa: N802
            told.append(request)
            return self._monitor.RegisterResource(request)

    async def program() -> None:
        SETTINGS.monitor = Monitor(SETTINGS.monitor)
        async with large_program.declaring():
            pulumi.CustomResource("test:index:Thing", "thing", {"size": 1})

    run(program)

    (request,) = [item for item in told if item.name == "thing"]
    assert list(request.stackTrace.frames) == []
    assert not request.HasField("sourcePosition")


def test_registrations_have_begun_when_a_program_ends(
    run: Callable[[Callable[[], Awaitable[None]]], None],
) -> None:
    """The SDK knows of all of them, and needn't look at their outputs."""
    begun: list[int] = []

    async def program() -> None:
        async with large_program.declaring():
            for number in range(3):
                pulumi.CustomResource("test:index:Thing", f"thing{number}", {"size": number})
            begun.append(len(SETTINGS.rpc_manager.rpcs))
        begun.append(len(SETTINGS.rpc_manager.rpcs))

    run(program)

    assert begun == [0, 3]


def test_no_output_is_kept(run: Callable[[Callable[[], Awaitable[None]]], None]) -> None:
    """Within it, for nobody reads them; a program that is run afterwards has its own."""
    found: list[bool] = []

    class Thing(pulumi.CustomResource):
        def __init__(self, name: str) -> None:
            super().__init__("test:index:Thing", name, {"size": 1})

    async def program() -> None:
        async with large_program.declaring():
            found.append(hasattr(Thing("within"), "size"))
        found.append(hasattr(Thing("afterwards"), "size"))

    run(program)

    assert found == [False, True]
