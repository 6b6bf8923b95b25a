"""Groups of subsystems that access rights can be given to at once."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from estate.types import IdentifierCode, Model

SubsystemText = Annotated[str, StringConstraints(pattern=r"^[^/]+/[^/]+/[^/]+$")]
"""`CLASS/MEMBER/SUBSYSTEM`, within the instance of the estate."""

GroupDescription = Annotated[
    str, StringConstraints(pattern=r"^[a-zA-Z0-9\-_,.;:!? ]+$", min_length=1, max_length=255)
]
"""What the admin APIs take as a group's description: no accents, no apostrophes."""

OWNERS = "security-server-owners"
"""The global group that X-Road keeps itself: every member that owns a security server."""


class Group(Model):
    """Subsystems under one code: local to a subsystem that offers services, or global to the instance."""

    code: IdentifierCode
    description: GroupDescription
    members: tuple[SubsystemText, ...] = Field(min_length=1)
