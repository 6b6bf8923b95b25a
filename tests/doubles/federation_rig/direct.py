"""Applies a declared federation by the provider's kinds alone: no engine, so no state and no second process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pulumi
from pulumi.runtime.mocks import MockCallArgs, MockResourceArgs, Mocks

from stacks.federation.arguments import FederationArgs
from stacks.federation.program import declare
from stacks.providers.serving import Properties, Subject
from stacks.providers.xroad.resources.kind import Kind
from stacks.providers.xroad.resources.kinds import KINDS
from stacks.providers.xroad.servers import Servers

T = TypeVar("T")


class _Recorder(Mocks):
    """Remembers resources in the order of their registration: what one depends on comes before it."""

    def __init__(self) -> None:
        self.declared: list[tuple[str, str, Properties]] = []

    def new_resource(self, args: MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.declared.append((args.typ, args.name, args.inputs))
        return args.name, args.inputs

    def call(self, args: MockCallArgs) -> dict[str, Any]:
        raise AssertionError(f"the program calls {args.token}")


def declared(args: FederationArgs) -> list[tuple[str, str, Properties]]:
    """Type, name and inputs of each resource, in an order that an engine could make them in."""
    asyncio.set_event_loop(asyncio.new_event_loop())
    recorder = _Recorder()
    pulumi.runtime.set_mocks(recorder, preview=False)
    pulumi.runtime.test(lambda: declare(args))()
    tokens = {kind.inputs.token() for kind in KINDS}
    return [item for item in recorder.declared if item[0] in tokens]


class Direct:
    """One provider on a federation's servers."""

    def __init__(self, servers: Servers) -> None:
        self.servers = servers
        self.kinds: dict[str, Kind[Any]] = {kind.inputs.token(): kind(servers) for kind in KINDS}

    async def apply(self, resources: list[tuple[str, str, Properties]]) -> None:
        """Make or mend one after the other."""
        for token, name, inputs in resources:
            kind, subject = self.kinds[token], Subject(token, name, name)
            checked = await kind.check(subject, inputs)
            assert checked.refusals == (), checked.refusals
            await kind.create(subject, checked.inputs, preview=False)

    async def refresh(self, resources: list[tuple[str, str, Properties]]) -> dict[str, Properties | None]:
        """Inputs of each resource as it is, None if it is gone; all at the same time, as an engine asks."""

        async def read(token: str, name: str, inputs: Properties) -> Properties | None:
            kind, subject = self.kinds[token], Subject(token, name, name)
            checked = await kind.check(subject, inputs)
            found = await kind.read(subject, name, checked.inputs, {})
            return found.inputs if found else None

        found = await asyncio.gather(*(read(*resource) for resource in resources))
        return {f"{token} {name}": item for (token, name, _), item in zip(resources, found, strict=True)}

    async def remove(self, resources: list[tuple[str, str, Properties]]) -> None:
        """Remove one after the other, in the reverse order."""
        for token, name, inputs in reversed(resources):
            kind, subject = self.kinds[token], Subject(token, name, name)
            found = await kind.read(subject, name, inputs, {})
            if found is not None:
                await kind.delete(subject, name, found.inputs, found.state)

    def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do some work with connections of its own."""

        async def do() -> T:
            try:
                return await work()
            finally:
                await self.servers.close()

        return asyncio.run(do())
