"""X-Road identifiers as the admin APIs write them: parts joined by colons."""

from __future__ import annotations

from typing import NamedTuple

OWNERS_GROUP = "security-server-owners"
"""The global group of every security server's owner; X-Road fills it by itself."""


class MemberId(NamedTuple):
    """A member of an instance."""

    instance: str
    member_class: str
    code: str

    @classmethod
    def parse(cls, text: str) -> MemberId:
        """Read `INSTANCE:CLASS:CODE`; ValueError if it has another shape."""
        return cls(*_parts(text, 3))

    def __str__(self) -> str:
        return ":".join(self)


class SubsystemId(NamedTuple):
    """A subsystem of a member: the unit that offers services and holds access rights."""

    instance: str
    member_class: str
    member: str
    code: str

    @classmethod
    def parse(cls, text: str) -> SubsystemId:
        """Read `INSTANCE:CLASS:CODE:SUBSYSTEM`; ValueError if it has another shape."""
        return cls(*_parts(text, 4))

    @property
    def owner(self) -> MemberId:
        """The member that it belongs to."""
        return MemberId(self.instance, self.member_class, self.member)

    def __str__(self) -> str:
        return ":".join(self)


class ServerId(NamedTuple):
    """A security server of a member. Has four parts like a subsystem, but isn't one."""

    instance: str
    member_class: str
    member: str
    code: str

    @classmethod
    def parse(cls, text: str) -> ServerId:
        """Read `INSTANCE:CLASS:CODE:SERVER`; ValueError if it has another shape."""
        return cls(*_parts(text, 4))

    @property
    def owner(self) -> MemberId:
        """The member that answers for the server."""
        return MemberId(self.instance, self.member_class, self.member)

    def __str__(self) -> str:
        return ":".join(self)


def _parts(text: str, count: int) -> list[str]:
    parts = text.split(":")
    if len(parts) != count or not all(parts):
        raise ValueError(f"'{text}' isn't an identifier of {count} parts joined by colons")
    return parts
