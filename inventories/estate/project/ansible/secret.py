"""Marks where a secret goes; the inventory plugin turns the mark into a lookup at the time of use."""

from __future__ import annotations

PREFIX = "estate-secret:"


def secret(name: str) -> str:
    """A mark for the secret called `name`. The value itself never enters an inventory."""
    return f"{PREFIX}{name}"
