"""Refusals that a client must tell apart, because it acts differently on each."""

from __future__ import annotations

from trust_services.refusal import Refusal


class Conflict(Refusal):
    """What is asked for contradicts what the record holds; asking again doesn't help."""


class Unknown(Refusal):
    """The record has no such thing."""


class Unavailable(Refusal):
    """The record or the token can't be reached now. Nothing is lost: the same order may be sent again."""

    retry_seconds = 5
