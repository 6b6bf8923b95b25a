"""Kinds of resource that there were: a state of before may still hold some."""

# ruff: noqa: ARG002  (methods answer one interface; none of it is needed)
from __future__ import annotations

from stacks.providers.serving import Checked, Difference, Properties, ProviderError, Snapshot, Subject
from stacks.providers.xroad.resources.kind import PACKAGE

FORMER = frozenset({f"{PACKAGE}:index:AccessRight"})
"""`AccessRight` was one holder's part of what `AccessRights` holds of a provider (ADR 19)."""


class FormerKind:
    """Lets go of a resource that another kind manages now. Nothing of it is changed at the servers."""

    async def check(self, subject: Subject, inputs: Properties) -> Checked:
        """Refused: nothing declares it any more."""
        raise ProviderError(f"there is no {subject.type} any more")

    async def diff(
        self, identifier: str, old_inputs: Properties, state: Properties, inputs: Properties
    ) -> Difference:
        """None."""
        return Difference()

    async def create(self, subject: Subject, inputs: Properties, *, preview: bool) -> Snapshot:
        """Refused, as by `check`."""
        raise ProviderError(f"there is no {subject.type} any more")

    async def read(
        self, subject: Subject, identifier: str, inputs: Properties, state: Properties
    ) -> Snapshot | None:
        """Gone: a refresh takes it out of the state."""
        return None

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
        """Nothing."""
        return state

    async def delete(self, subject: Subject, identifier: str, inputs: Properties, state: Properties) -> None:
        """Nothing: the object isn't this resource's any more."""
