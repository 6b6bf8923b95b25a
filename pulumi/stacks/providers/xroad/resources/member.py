"""Members: organisations of the federation."""

# ruff: noqa: ARG002  (methods answer one interface; not each kind needs all of it)
from __future__ import annotations

from typing import ClassVar

from stacks.providers.serving import Properties
from stacks.providers.xroad.errors import ApiError
from stacks.providers.xroad.identifiers import MemberId
from stacks.providers.xroad.resources.kind import Found, Inputs, Kind, gone


class MemberInputs(Inputs):
    """A member."""

    kind: ClassVar[str] = "Member"

    member: str
    """`INSTANCE:CLASS:CODE`."""
    name: str


class MemberKind(Kind[MemberInputs]):
    """Keeps members at the central server."""

    inputs = MemberInputs
    replacing = frozenset({"member"})

    def key(self, wish: MemberInputs) -> str:
        """The identifier."""
        return wish.member

    def named(self, key: str) -> MemberInputs:
        """From the identifier."""
        return MemberInputs(member=str(MemberId.parse(key)), name="")

    async def find(self, wish: MemberInputs) -> Found[MemberInputs] | None:
        """Look it up in the list: many members are looked for in one run."""
        return (await self.servers.remembered("members", self._listed)).get(wish.member)

    async def existing(self, servers: list[str]) -> list[Found[MemberInputs]]:
        """Of the central server."""
        return [*(await self._listed()).values()]

    async def _listed(self) -> dict[str, Found[MemberInputs]]:
        members = await self.servers.central.clients(client_type="MEMBER")
        wishes = (MemberInputs(member=str(item.client_id), name=item.member_name) for item in members)
        return {wish.member: Found(wish) for wish in wishes}

    async def make(self, wish: MemberInputs) -> None:
        """Add it."""
        member = MemberId.parse(wish.member)
        await self.servers.central.add_member(member.member_class, member.code, wish.name)

    async def change(self, wish: MemberInputs, found: Found[MemberInputs]) -> None:
        """Rename it."""
        await self.servers.central.rename_member(MemberId.parse(wish.member), wish.name)

    async def remove(self, wish: MemberInputs, state: Properties) -> None:
        """Remove it with everything that belongs to it."""
        try:
            await self.servers.central.delete_member(MemberId.parse(wish.member))
        except ApiError as error:
            if not gone(error):
                raise
