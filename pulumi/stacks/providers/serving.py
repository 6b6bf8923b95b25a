"""Serves a resource provider to the Pulumi engine over gRPC.

A provider is a class with the shape of `Provider`; its kinds of resource have the shape of
`Resource` and work on plain JSON values: this module alone knows the engine's messages. Values
that a preview can't know yet appear as `UNKNOWN`. Secrets reach a provider in clear and are marked
again by the engine in what comes back, so a provider never returns a secret that it wasn't given.
"""

# ruff: noqa: ARG002, N802  (names and signatures of the servicer are gRPC's)
from __future__ import annotations

import asyncio
import os
import signal
import sys
import traceback
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import grpc
import grpc.aio
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime import rpc
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

Properties = dict[str, Any]
"""Inputs or state of a resource: JSON values by name."""

UNKNOWN = rpc.UNKNOWN
"""Stands for a value that isn't known during a preview."""

T = TypeVar("T")

_SIGNATURE = rpc._special_sig_key
_SECRET = rpc._special_secret_sig
_PARENT_CHECK_SECONDS = 1.0
_UNLIMITED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


@dataclass(frozen=True)
class Subject:
    """Which resource a call is about."""

    type: str
    name: str
    urn: str


@dataclass(frozen=True)
class Refusal:
    """An input that can't be accepted, and why."""

    property: str
    reason: str


@dataclass(frozen=True)
class Checked:
    """Inputs with their defaults filled in; refusals stop the deployment before it starts."""

    inputs: Properties
    refusals: tuple[Refusal, ...] = ()


@dataclass(frozen=True)
class Difference:
    """What separates the last state from the wanted inputs, by property path."""

    updates: tuple[str, ...] = ()
    replacements: tuple[str, ...] = ()
    """Properties that can't be changed in place."""
    delete_before_replace: bool = True


@dataclass(frozen=True)
class Snapshot:
    """A resource as found: what was asked for (inputs) and what is (state)."""

    identifier: str
    inputs: Properties
    state: Properties


class ProviderError(Exception):
    """A failure that its text explains: shown without a stack trace."""


class UnfinishedError(ProviderError):
    """The resource exists but didn't reach its wanted condition; its state is kept."""

    def __init__(self, identifier: str, inputs: Properties, state: Properties, reason: str) -> None:
        super().__init__(reason)
        self.identifier = identifier
        self.inputs = inputs
        self.state = state


class Resource(Protocol):
    """How one kind of resource is managed. Blocking work belongs in `asyncio.to_thread`."""

    async def check(self, subject: Subject, inputs: Properties) -> Checked:
        """Validate inputs and fill in defaults. Without side effects."""

    async def diff(
        self, identifier: str, old_inputs: Properties, state: Properties, inputs: Properties
    ) -> Difference:
        """Compare what was applied last with what is wanted. Without side effects."""

    async def create(self, subject: Subject, inputs: Properties, *, preview: bool) -> Snapshot:
        """Make the resource, or adopt it where it exists already. A preview changes nothing."""

    async def read(
        self, subject: Subject, identifier: str, inputs: Properties, state: Properties
    ) -> Snapshot | None:
        """Find what exists; None if it is gone. Inputs are empty when a user imports."""

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
        """Change the resource in place and return its state. A preview changes nothing."""

    async def delete(self, subject: Subject, identifier: str, inputs: Properties, state: Properties) -> None:
        """Remove the resource; success if it is gone already."""


class Provider(Protocol):
    """A package of resource kinds."""

    name: str
    version: str

    async def configure(self, settings: Mapping[str, str]) -> None:
        """Take the configuration of the provider; `ProviderError` if it can't work with it."""

    def resource(self, type_token: str) -> Resource:
        """The kind behind a type token; `ProviderError` if it has none."""

    async def close(self) -> None:
        """Give back connections."""


def plain(message: struct_pb2.Struct) -> Properties:
    """A protobuf structure as JSON values, with whole numbers as `int`."""
    return {key: _value(value) for key, value in message.fields.items()}


def structure(properties: Mapping[str, Any]) -> struct_pb2.Struct:
    """JSON values as a protobuf structure."""
    message = struct_pb2.Struct()
    message.update(dict(properties))
    return message


def launcher(package: str) -> Path:
    """The folder that holds `pulumi-resource-<package>`: put it on the PATH of the engine."""
    return Path(__file__).resolve().parent / package / "launch"


def serve(provider: Provider) -> None:
    """Answer the engine until it cancels or goes away. Prints the port first, as engines expect."""
    asyncio.run(_serve(provider))


async def _serve(provider: Provider) -> None:
    stopped = asyncio.Event()
    server = grpc.aio.server(options=_UNLIMITED)
    servicer = _Servicer(provider, stopped)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    # An engine that is killed can't cancel: without it, whoever started us is gone too. Who that was is asked
    # before the port is told, as an engine may be killed as soon as it knows it.
    parent = os.getppid()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    while not stopped.is_set() and os.getppid() == parent:
        try:
            await asyncio.wait_for(stopped.wait(), _PARENT_CHECK_SECONDS)
        except TimeoutError:
            continue
    await server.stop(grace=None)
    await provider.close()


def _value(value: struct_pb2.Value) -> Any:
    match value.WhichOneof("kind"):
        case "struct_value":
            fields = value.struct_value.fields
            # Configuration comes with its secrets marked, whatever the provider said about them.
            is_secret = _SIGNATURE in fields and fields[_SIGNATURE].string_value == _SECRET
            return _value(fields["value"]) if is_secret else plain(value.struct_value)
        case "list_value":
            return [_value(item) for item in value.list_value.values]
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case _:
            return None


@dataclass
class _Servicer(provider_pb2_grpc.ResourceProviderServicer):
    provider: Provider
    stopped: asyncio.Event
    running: set[asyncio.Task[Any]] = field(default_factory=set)

    async def Handshake(self, request: Any, context: Any) -> provider_pb2.ProviderHandshakeResponse:
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=False, accept_resources=False)

    async def Attach(self, request: Any, context: Any) -> empty_pb2.Empty:
        return empty_pb2.Empty()

    async def GetPluginInfo(self, request: Any, context: Any) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=self.provider.version)

    async def GetSchema(self, request: Any, context: Any) -> provider_pb2.GetSchemaResponse:
        schema = f'{{"name":"{self.provider.name}","version":"{self.provider.version}"}}'
        return provider_pb2.GetSchemaResponse(schema=schema)

    async def CheckConfig(self, request: Any, context: Any) -> provider_pb2.CheckResponse:
        return provider_pb2.CheckResponse(inputs=request.news)

    async def DiffConfig(self, request: Any, context: Any) -> provider_pb2.DiffResponse:
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    async def Configure(self, request: Any, context: Any) -> provider_pb2.ConfigureResponse:
        settings = {key: value for key, value in plain(request.args).items() if isinstance(value, str)}
        await self._answer(context, self.provider.configure(settings))
        return provider_pb2.ConfigureResponse(acceptSecrets=False, supportsPreview=True, acceptResources=False)

    async def Check(self, request: Any, context: Any) -> provider_pb2.CheckResponse:
        kind = await self._kind(request, context)
        checked = await self._answer(context, kind.check(_subject(request), plain(request.news)))
        return provider_pb2.CheckResponse(
            inputs=structure(checked.inputs),
            failures=[
                provider_pb2.CheckFailure(property=refusal.property, reason=refusal.reason)
                for refusal in checked.refusals
            ],
        )

    async def Diff(self, request: Any, context: Any) -> provider_pb2.DiffResponse:
        kind = await self._kind(request, context)
        difference = await self._answer(
            context,
            kind.diff(request.id, plain(request.old_inputs), plain(request.olds), plain(request.news)),
        )
        return _answer_of(difference)

    async def Create(self, request: Any, context: Any) -> provider_pb2.CreateResponse:
        kind = await self._kind(request, context)
        created = await self._answer(
            context, kind.create(_subject(request), plain(request.properties), preview=request.preview)
        )
        return provider_pb2.CreateResponse(id=created.identifier, properties=structure(created.state))

    async def Read(self, request: Any, context: Any) -> provider_pb2.ReadResponse:
        kind = await self._kind(request, context)
        found = await self._answer(
            context,
            kind.read(_subject(request), request.id, plain(request.inputs), plain(request.properties)),
        )
        if found is None:
            return provider_pb2.ReadResponse()
        return provider_pb2.ReadResponse(
            id=found.identifier, inputs=structure(found.inputs), properties=structure(found.state)
        )

    async def Update(self, request: Any, context: Any) -> provider_pb2.UpdateResponse:
        kind = await self._kind(request, context)
        state = await self._answer(
            context,
            kind.update(
                _subject(request),
                request.id,
                plain(request.old_inputs),
                plain(request.olds),
                plain(request.news),
                preview=request.preview,
            ),
        )
        return provider_pb2.UpdateResponse(properties=structure(state))

    async def Delete(self, request: Any, context: Any) -> empty_pb2.Empty:
        kind = await self._kind(request, context)
        await self._answer(
            context,
            kind.delete(_subject(request), request.id, plain(request.old_inputs), plain(request.properties)),
        )
        return empty_pb2.Empty()

    async def Cancel(self, request: Any, context: Any) -> empty_pb2.Empty:
        for task in tuple(self.running):
            task.cancel()
        return empty_pb2.Empty()

    async def _kind(self, request: Any, context: Any) -> Resource:
        async def find() -> Resource:
            return self.provider.resource(_subject(request).type)

        return await self._answer(context, find())

    async def _answer(self, context: Any, work: Awaitable[T]) -> T:
        """Await the provider's work and turn its failures into what the engine understands."""
        task = asyncio.ensure_future(work)
        self.running.add(task)
        try:
            return await task
        except UnfinishedError as unfinished:
            await _abort_unfinished(context, unfinished)
        except ProviderError as fault:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(fault))
        except asyncio.CancelledError:
            await context.abort(grpc.StatusCode.CANCELLED, "cancelled")
        except Exception:  # noqa: BLE001  the engine shows it; the provider goes on serving
            await context.abort(grpc.StatusCode.UNKNOWN, traceback.format_exc())
        finally:
            self.running.discard(task)
        raise AssertionError("an aborted call has no answer")


async def _abort_unfinished(context: Any, unfinished: UnfinishedError) -> None:
    detail = provider_pb2.ErrorResourceInitFailed(
        id=unfinished.identifier,
        inputs=structure(unfinished.inputs),
        properties=structure(unfinished.state),
        reasons=[str(unfinished)],
    )
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(unfinished))
    status.details.add().Pack(detail)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    await context.abort(grpc.StatusCode.UNKNOWN, str(unfinished))


def _answer_of(difference: Difference) -> provider_pb2.DiffResponse:
    kinds = dict.fromkeys(difference.updates, provider_pb2.PropertyDiff.UPDATE)
    kinds |= dict.fromkeys(difference.replacements, provider_pb2.PropertyDiff.UPDATE_REPLACE)
    response = provider_pb2.DiffResponse
    return response(
        changes=response.DIFF_SOME if kinds else response.DIFF_NONE,
        diffs=list(kinds),
        replaces=list(difference.replacements),
        deleteBeforeReplace=difference.delete_before_replace,
        hasDetailedDiff=True,
        detailedDiff={
            path: provider_pb2.PropertyDiff(kind=kind, inputDiff=True) for path, kind in kinds.items()
        },
    )


def _subject(request: Any) -> Subject:
    # Older engines send only the URN: urn:pulumi:<stack>::<project>::<parents$type>::<name>
    urn: str = request.urn
    parts = urn.split("::", 3)
    kind = request.type or parts[2].rpartition("$")[2]
    return Subject(type=kind, name=request.name or parts[3], urn=urn)
