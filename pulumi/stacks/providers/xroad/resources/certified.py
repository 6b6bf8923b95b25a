"""Kinds of resource with certificates: what comes due is a difference, whatever is declared."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from stacks.providers.serving import UNKNOWN, Checked, Difference, Properties, ProviderError, Subject
from stacks.providers.xroad.memory import remembered
from stacks.providers.xroad.renewal import renew_before
from stacks.providers.xroad.resources.kind import Inputs, Kind


class CertifiedInputs(Inputs):
    """A declaration of something with certificates on a server."""

    server: str
    """The host."""
    due: tuple[str, ...] = ()
    """Which certificates are to be replaced or removed, and why. The provider fills it in: a plan tells it."""


Certified = TypeVar("Certified", bound=CertifiedInputs)


class CertifiedKind(Kind[Certified]):
    """Looks what is due each time that a declaration is checked."""

    @abstractmethod
    async def reasons(self, wish: Certified) -> Sequence[str]:
        """What is due now, in sentences. ProviderError if it can't be found out."""

    async def check(self, subject: Subject, inputs: Properties) -> Checked:
        """Validate a declaration, and fill in what is due now.

        Nothing is on a server that can't be asked. Unless a renewal is demanded: then it mustn't be passed
        over.
        """
        checked = await super().check(subject, inputs)
        if checked.refusals or UNKNOWN in inputs.values():
            return checked
        wish = self.inputs.model_validate(checked.inputs)
        with remembered():
            try:
                due = list(await self.reasons(wish))
            except ProviderError as error:
                unasked = f"{wish.server} can't be asked about its certificates: {error}"
                due = [unasked] if renew_before() is not None else []
        return Checked({**checked.inputs, "due": due})

    async def diff(
        self, identifier: str, old_inputs: Properties, state: Properties, inputs: Properties
    ) -> Difference:
        """Compare declarations. What is due is a difference, what was due isn't."""
        found = await super().diff(identifier, old_inputs, state, inputs)
        others = tuple(name for name in found.updates if name != "due")
        return replace(found, updates=(*others, "due") if inputs.get("due") else others)

    async def _settle(self, wish: Certified) -> Properties:
        """Nothing may be due in the end."""
        return await super()._settle(wish.model_copy(update={"due": ()}))
