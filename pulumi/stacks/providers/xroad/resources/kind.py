"""What all kinds of resource have in common: found by natural key, brought to the declared form."""

# ruff: noqa: ARG002  (methods answer one interface; not each kind needs all of it)
from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from stacks.providers.serving import (
    UNKNOWN,
    Checked,
    Difference,
    Properties,
    ProviderError,
    Refusal,
    Snapshot,
    Subject,
)
from stacks.providers.xroad.errors import ApiError, UnreachableError
from stacks.providers.xroad.identifiers import SubsystemId
from stacks.providers.xroad.memory import remembered
from stacks.providers.xroad.security import Client
from stacks.providers.xroad.servers import Servers

PACKAGE = "xroad"
_ATTEMPTS = 4


class Inputs(BaseModel):
    """What is declared of a resource. JSON-plain; names secrets, never holds one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[str]

    @classmethod
    def token(cls) -> str:
        """The type that the engine knows the resource by."""
        return f"{PACKAGE}:index:{cls.kind}"


Wish = TypeVar("Wish", bound=Inputs)


@dataclass(frozen=True)
class Found(Generic[Wish]):
    """A resource as it is: in the form of a declaration, and what only the server knows."""

    inputs: Wish
    facts: Properties = field(default_factory=dict)


class Kind(ABC, Generic[Wish]):
    """Manages one kind of resource. Subclasses say how to find, make, change and remove one."""

    inputs: type[Wish]
    replacing: frozenset[str] = frozenset()
    """Inputs that make another resource of it."""

    def __init__(self, servers: Servers) -> None:
        self.servers = servers

    @abstractmethod
    def key(self, wish: Wish) -> str:
        """The natural key, unique among resources of this kind."""

    def identity(self, found: Found[Wish]) -> str:
        """What tells a resource from others of its kind, whoever made it."""
        return self.key(found.inputs)

    @abstractmethod
    def named(self, key: str) -> Wish:
        """A declaration with this natural key, as far as the key tells. ValueError if it isn't one."""

    @abstractmethod
    async def find(self, wish: Wish) -> Found[Wish] | None:
        """Look for the resource with the natural key of `wish`. Only GET requests."""

    @abstractmethod
    async def existing(self, servers: list[str]) -> list[Found[Wish]]:
        """All resources of this kind, as if declared. Only GET requests.

        `servers` names the initialised security servers that can be asked.
        """

    @abstractmethod
    async def make(self, wish: Wish) -> None:
        """Make the resource. Continues where an interrupted attempt stopped."""

    async def change(self, wish: Wish, found: Found[Wish]) -> None:
        """Bring an existing resource to the declared form; by default like a new one."""
        await self.make(wish)

    @abstractmethod
    async def remove(self, wish: Wish, state: Properties) -> None:
        """Remove the resource; success if it is gone. `state` holds the facts of the last look."""

    async def check(self, subject: Subject, inputs: Properties) -> Checked:
        """Validate a declaration."""
        if UNKNOWN in inputs.values():
            return Checked(inputs)
        try:
            return Checked(self.inputs.model_validate(inputs).model_dump(mode="json"))
        except ValidationError as error:
            refusals = tuple(
                Refusal(".".join(str(part) for part in item["loc"]), item["msg"])
                for item in error.errors(include_url=False)
            )
            return Checked(inputs, refusals)

    async def diff(
        self, identifier: str, old_inputs: Properties, state: Properties, inputs: Properties
    ) -> Difference:
        """Compare declarations, name by name."""
        changed = sorted(
            name for name in old_inputs.keys() | inputs.keys() if old_inputs.get(name) != inputs.get(name)
        )
        return Difference(
            updates=tuple(name for name in changed if name not in self.replacing),
            replacements=tuple(name for name in changed if name in self.replacing),
        )

    async def create(self, subject: Subject, inputs: Properties, *, preview: bool) -> Snapshot:
        """Adopt what exists, make what doesn't, and read it back."""
        wish = self.inputs.model_validate(inputs)
        if preview:
            return Snapshot(self.key(wish), inputs, inputs)
        return Snapshot(self.key(wish), inputs, await self._settle(wish))

    async def read(
        self, subject: Subject, identifier: str, inputs: Properties, state: Properties
    ) -> Snapshot | None:
        """Read what exists; an import gives only the natural key."""
        wish = self.inputs.model_validate(inputs) if inputs else self._named(identifier)
        with remembered():
            found = await self.find(wish)
        if found is None:
            return None
        declared = found.inputs.model_dump(mode="json")
        return Snapshot(self.key(found.inputs), declared, {**declared, **found.facts})

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
        """Bring it to the new form and read it back."""
        if preview:
            return {**state, **inputs}
        return await self._settle(self.inputs.model_validate(inputs))

    async def delete(self, subject: Subject, identifier: str, inputs: Properties, state: Properties) -> None:
        """Remove it."""
        await self.remove(self.inputs.model_validate(inputs), state)

    async def clients(self, servers: list[str]) -> list[tuple[str, Client]]:
        """Subsystems that servers represent, with the server of each."""
        found = await asyncio.gather(*(self.servers.security(name).clients() for name in servers))
        return [(name, item) for name, items in zip(servers, found, strict=True) for item in items]

    async def client(self, server: str, subsystem: SubsystemId) -> Client | None:
        """A server's client; None if there is none."""
        try:
            return await self.servers.security(server).client(subsystem)
        except ApiError as error:
            if gone(error):
                return None
            raise

    async def _settle(self, wish: Wish) -> Properties:
        """Look, act, look again: an answer of success isn't trusted, nor is one of conflict."""
        found = await self.find(wish)
        failure: ProviderError | None = None
        for _ in range(_ATTEMPTS):
            if found is not None and found.inputs == wish:
                return {**wish.model_dump(mode="json"), **found.facts}
            failure = None
            try:
                await (self.make(wish) if found is None else self.change(wish, found))
            except ApiError as error:
                if error.status != 409:
                    raise
                failure = error
            except UnreachableError as error:
                failure = error
            found = await self.find(wish)
        raise failure or ProviderError(f"{self.key(wish)}: {_distance(wish, found)}")

    def _named(self, identifier: str) -> Wish:
        try:
            return self.named(identifier)
        except ValueError as error:
            raise ProviderError(f"'{identifier}' isn't the key of a {self.inputs.kind}: {error}") from None


def _distance(wish: Inputs, found: Found[Any] | None) -> str:
    if found is None:
        return "was accepted, but isn't there"
    wanted, is_now = wish.model_dump(mode="json"), found.inputs.model_dump(mode="json")
    return "; ".join(
        f"{name} is {is_now[name]!r}, declared {wanted[name]!r}"
        for name in wanted
        if wanted[name] != is_now[name]
    )


def gone(error: ApiError) -> bool:
    """Whether an answer says that the object doesn't exist."""
    return error.status == 404


def in_order(found: Iterable[str], declared: tuple[str, ...]) -> tuple[str, ...]:
    """What was found, in the declared order, so that the server's order isn't a difference; the rest last."""
    present = list(found)
    known = [item for item in declared if item in present]
    rest = list(present)
    for item in known:
        rest.remove(item)
    return (*known, *sorted(rest))
