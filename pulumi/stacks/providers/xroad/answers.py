"""What both admin APIs answer with, as far as it is used here."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Answer(BaseModel):
    """Part of an answer. Further fields are ignored, since newer servers send more."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Version(Answer):
    """A server's software version."""

    info: str
