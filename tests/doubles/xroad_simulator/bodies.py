"""Request bodies that aren't JSON."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict


async def _raw(request: Request) -> bytes:
    return await request.body()


RawBody = Annotated[bytes, Depends(_raw)]
"""The body as it is, whatever its content type says: clients name several, or none."""


class Body(BaseModel):
    """A JSON body; an unknown key is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")
