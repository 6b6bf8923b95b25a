"""Serving a provider: what the engine sends and what it gets."""

# ruff: noqa: ARG002  (the toy answers the whole interface)
from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping
from pathlib import Path

import grpc
import pytest
from google.protobuf import struct_pb2
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from stacks.providers import serving
from stacks.providers.serving import (
    Checked,
    Difference,
    Properties,
    ProviderError,
    Refusal,
    Resource,
    Snapshot,
    Subject,
    UnfinishedError,
)

URN = "urn:pulumi:test::project::stacks:Component$toy:index:Toy::name"


class Toy:
    """A kind of resource that answers by what it is asked for."""

    async def check(self, subject: Subject, inputs: Properties) -> Checked:
        if "wrong" in inputs:
            return Checked(inputs, (Refusal("wrong", f"not in a {subject.type}"),))
        return Checked({**inputs, "size": inputs.get("size", 3)})

    async def diff(
        self, identifier: str, old_inputs: Properties, state: Properties, inputs: Properties
    ) -> Difference:
        changed = tuple(name for name in inputs if inputs[name] != old_inputs.get(name))
        return Difference(tuple(n for n in changed if n != "place"), tuple(n for n in changed if n == "place"))

    async def create(self, subject: Subject, inputs: Properties, *, preview: bool) -> Snapshot:
        if inputs.get("fails"):
            raise ProviderError("the server says no")
        if inputs.get("stops"):
            raise UnfinishedError("id-1", inputs, {"half": True}, "the server stopped half-way")
        return Snapshot("" if preview else "id-1", inputs, {**inputs, "preview": preview})

    async def read(
        self, subject: Subject, identifier: str, inputs: Properties, state: Properties
    ) -> Snapshot | None:
        return None if identifier == "gone" else Snapshot(identifier, {"size": 4}, {"size": 4})

    async def update(
        self,
        subject: Subject,
        identifier: str,
        old_inputs: Properties,
        state: Properties,
        inputs: Properties,
        *,
        preview: bool,
    ) -> Properties:
        return {**state, **inputs}

    async def delete(self, subject: Subject, identifier: str, inputs: Properties, state: Properties) -> None:
        return None


class ToyProvider:
    """A provider with one kind."""

    name = "toy"
    version = "1.2.3"

    async def configure(self, settings: Mapping[str, str]) -> None:
        if "site" not in settings:
            raise ProviderError("which site?")

    def resource(self, type_token: str) -> Resource:
        if type_token != "toy:index:Toy":
            raise ProviderError(f"no {type_token}")
        return Toy()

    async def close(self) -> None:
        return None


def struct(**values: object) -> struct_pb2.Struct:
    return serving.structure(values)


def asked(method: str, request: object) -> object:
    """Answer of a served provider to one request."""

    async def ask() -> object:
        server = grpc.aio.server()
        servicer = serving._Servicer(ToyProvider(), asyncio.Event())
        provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                return await getattr(provider_pb2_grpc.ResourceProviderStub(channel), method)(request)
        finally:
            await server.stop(None)

    return asyncio.run(ask())


def test_values_survive_the_way() -> None:
    """Whole numbers stay whole; lists, maps, booleans and nulls stay what they are."""
    values = {"a": 3, "b": 1.5, "c": [1, {"d": True}], "e": None, "f": "text"}

    assert serving.plain(serving.structure(values)) == values


def test_a_refused_input_is_named() -> None:
    """The engine shows property and reason before anything is done."""
    answer = asked("Check", provider_pb2.CheckRequest(urn=URN, news=struct(wrong=1)))

    assert [(item.property, item.reason) for item in answer.failures] == [("wrong", "not in a toy:index:Toy")]


def test_a_difference_tells_updates_from_replacements() -> None:
    """Property by property."""
    answer = asked(
        "Diff",
        provider_pb2.DiffRequest(
            id="id-1", urn=URN, old_inputs=struct(size=1, place="here"), news=struct(size=2, place="there")
        ),
    )

    assert answer.changes == provider_pb2.DiffResponse.DIFF_SOME
    assert list(answer.replaces) == ["place"]
    assert {name: item.kind for name, item in answer.detailedDiff.items()} == {
        "size": provider_pb2.PropertyDiff.UPDATE,
        "place": provider_pb2.PropertyDiff.UPDATE_REPLACE,
    }


def test_no_difference_is_no_change() -> None:
    """So a second apply does nothing."""
    answer = asked("Diff", provider_pb2.DiffRequest(id="1", urn=URN, old_inputs=struct(a=1), news=struct(a=1)))

    assert answer.changes == provider_pb2.DiffResponse.DIFF_NONE


def test_what_is_gone_has_no_identifier() -> None:
    """That is how the engine learns of it."""
    assert asked("Read", provider_pb2.ReadRequest(id="gone", urn=URN)).id == ""


def test_a_failure_shows_its_sentence_only() -> None:
    """No stack trace for what the text explains."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        asked("Create", provider_pb2.CreateRequest(urn=URN, properties=struct(fails=True)))

    assert caught.value.details() == "the server says no"
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION


def test_a_half_made_resource_keeps_its_state() -> None:
    """The engine gets identifier and state with the failure."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        asked("Create", provider_pb2.CreateRequest(urn=URN, properties=struct(stops=True)))

    assert "grpc-status-details-bin" in dict(caught.value.trailing_metadata() or ())


@pytest.fixture
def toy_provider(tmp_path: Path) -> Path:
    """A program that serves, and takes its time to tell the port."""
    provider = tmp_path / "provider.py"
    provider.write_text(
        textwrap.dedent(
            """
            import asyncio, sys, time
            from stacks.providers.serving import serve

            class Slow:
                async def create(self, subject, inputs, *, preview):
                    await asyncio.sleep(3600)

            class Provider:
                name, version = "toy", "1"
                async def configure(self, settings): ...
                def resource(self, type_token): return Slow()
                async def close(self): ...

            tell = sys.stdout.flush
            sys.stdout.flush = lambda: (tell(), time.sleep(0.5))
            serve(Provider())
            """
        ),
        encoding="utf-8",
    )
    return provider


def started(engine: str, provider: Path) -> subprocess.Popen[str]:
    """A Python program in the engine's place that starts the provider with the arguments that it is given."""
    return subprocess.Popen(
        [sys.executable, "-c", engine, sys.executable, str(provider)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def assert_ends(process: str) -> None:
    deadline = time.monotonic() + 10
    while Path(f"/proc/{process}/stat").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not Path(f"/proc/{process}/stat").exists()


def test_a_provider_ends_with_its_engine(toy_provider: Path) -> None:
    """An engine that is killed can't cancel its providers; here while the port is still being told."""
    engine = started("import subprocess, sys; subprocess.run(sys.argv[1:])", toy_provider)
    assert engine.stdout is not None
    assert int(engine.stdout.readline()) > 0
    (child,) = Path(f"/proc/{engine.pid}/task/{engine.pid}/children").read_text(encoding="ascii").split()
    engine.kill()
    engine.wait()

    assert_ends(child)
    engine.stdout.close()


def test_a_provider_ends_in_the_middle_of_its_work(toy_provider: Path) -> None:
    """What it does can't be told to anybody any more."""
    engine = started(
        textwrap.dedent(
            f"""
            import subprocess, sys, time
            import grpc
            from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

            provider = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, text=True)
            channel = grpc.insecure_channel(f"127.0.0.1:{{int(provider.stdout.readline())}}")
            stub = provider_pb2_grpc.ResourceProviderStub(channel)
            for _ in range(20):
                stub.Create.future(provider_pb2.CreateRequest(urn="{URN}"))
            time.sleep(1)
            print(provider.pid, flush=True)
            time.sleep(60)
            """
        ),
        toy_provider,
    )
    assert engine.stdout is not None
    child = engine.stdout.readline().strip()
    engine.kill()
    engine.wait()

    assert_ends(child)
    engine.stdout.close()
