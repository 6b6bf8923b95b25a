"""Member classes: the kinds of organisation in an instance."""

# ruff: noqa: ARG002  (methods answer one interface; not each kind needs all of it)
from __future__ import annotations

from typing import ClassVar

from stacks.providers.serving import Properties
from stacks.providers.xroad.errors import ApiError
from stacks.providers.xroad.resources.kind import Found, Inputs, Kind, gone


class MemberClassInputs(Inputs):
    """A member class."""

    kind: ClassVar[str] = "MemberClass"

    code: str
    description: str


class MemberClassKind(Kind[MemberClassInputs]):
    """Keeps member classes at the central server."""

    inputs = MemberClassInputs
    replacing = frozenset({"code"})

    def key(self, wish: MemberClassInputs) -> str:
        """The code."""
        return wish.code

    def named(self, key: str) -> MemberClassInputs:
        """From the code."""
        return MemberClassInputs(code=key, description="")

    async def find(self, wish: MemberClassInputs) -> Found[MemberClassInputs] | None:
        """Look through the list, which is short."""
        return next((item for item in await self.existing([]) if item.inputs.code == wish.code), None)

    async def existing(self, servers: list[str]) -> list[Found[MemberClassInputs]]:
        """Of the central server."""
        return [
            Found(MemberClassInputs(code=item.code, description=item.description))
            for item in await self.servers.central.member_classes()
        ]

    async def make(self, wish: MemberClassInputs) -> None:
        """Add it."""
        await self.servers.central.add_member_class(wish.code, wish.description)

    async def change(self, wish: MemberClassInputs, found: Found[MemberClassInputs]) -> None:
        """Describe it anew."""
        await self.servers.central.describe_member_class(wish.code, wish.description)

    async def remove(self, wish: MemberClassInputs, state: Properties) -> None:
        """Remove it; refused by the server while members have it."""
        try:
            await self.servers.central.delete_member_class(wish.code)
        except ApiError as error:
            if not gone(error):
                raise
