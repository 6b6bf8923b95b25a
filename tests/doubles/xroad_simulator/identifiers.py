"""X-Road identifiers: members, subsystems, security servers, and their two spellings.

The admin APIs join the parts with colons (`INST:CLASS:CODE:SUB`), messages with slashes and
percent-encoding (pr-rest 4.1). Allowed characters are those of `strict-identifier-checks`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote

_PART = re.compile(r"^[A-Za-z0-9'()+,\-.=?]{1,255}$")


def is_identifier_part(text: str) -> bool:
    """Whether one part of an identifier has only the characters that X-Road allows."""
    return bool(_PART.match(text))


def _parts(text: str, separator: str) -> list[str]:
    parts = text.split(separator)
    if separator == "/":
        parts = [unquote(part) for part in parts]
    if not all(is_identifier_part(part) for part in parts):
        raise ValueError(f"'{text}' isn't an identifier")
    return parts


@dataclass(frozen=True, slots=True)
class ClientId:
    """A member (`subsystem_code` is None) or one of its subsystems."""

    instance: str
    member_class: str
    member_code: str
    subsystem_code: str | None = None

    @classmethod
    def parse(cls, text: str, separator: str = ":") -> ClientId:
        """Read `INST:CLASS:CODE[:SUB]`; ValueError if the text has another shape."""
        parts = _parts(text, separator)
        if len(parts) not in (3, 4):
            raise ValueError(f"'{text}' isn't a client identifier")
        return cls(*parts)

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that are there, in order."""
        member = (self.instance, self.member_class, self.member_code)
        return member if self.subsystem_code is None else (*member, self.subsystem_code)

    @property
    def member(self) -> ClientId:
        """The member that this client is or belongs to."""
        return ClientId(self.instance, self.member_class, self.member_code)

    @property
    def path(self) -> str:
        """The spelling of messages."""
        return "/".join(quote(part, safe="") for part in self.parts)

    def __str__(self) -> str:
        return ":".join(self.parts)


@dataclass(frozen=True, slots=True)
class ServerId:
    """A security server, named by its owner and a code."""

    instance: str
    member_class: str
    member_code: str
    server_code: str

    @classmethod
    def parse(cls, text: str, separator: str = ":") -> ServerId:
        """Read `INST:CLASS:CODE:SERVER`; ValueError if the text has another shape."""
        parts = _parts(text, separator)
        if len(parts) != 4:
            raise ValueError(f"'{text}' isn't a security server identifier")
        return cls(*parts)

    @property
    def owner(self) -> ClientId:
        """The member that owns the server."""
        return ClientId(self.instance, self.member_class, self.member_code)

    @property
    def path(self) -> str:
        """The spelling of messages."""
        parts = (self.instance, self.member_class, self.member_code, self.server_code)
        return "/".join(quote(part, safe="") for part in parts)

    def __str__(self) -> str:
        return f"{self.instance}:{self.member_class}:{self.member_code}:{self.server_code}"


@dataclass(frozen=True, slots=True)
class ServiceId:
    """A service of a client."""

    client: ClientId
    code: str

    @classmethod
    def parse(cls, text: str) -> ServiceId:
        """Read `INST:CLASS:CODE:SUB:SERVICE`; ValueError if the text has another shape."""
        owner, _, code = text.rpartition(":")
        if not is_identifier_part(code):
            raise ValueError(f"'{text}' isn't a service identifier")
        return cls(ClientId.parse(owner), code)

    @classmethod
    def read(cls, parts: Sequence[str]) -> ServiceId:
        """From percent-encoded parts, the last one the code; ValueError if they name no service."""
        code = unquote(parts[-1])
        if not is_identifier_part(code):
            raise ValueError(f"'{code}' isn't a service code")
        return cls(ClientId.parse("/".join(parts[:-1]), "/"), code)

    @property
    def path(self) -> str:
        """The spelling of messages."""
        return f"{self.client.path}/{quote(self.code, safe='')}"

    def __str__(self) -> str:
        return f"{self.client}:{self.code}"
