"""Who approves changes of access rights, and how many of them it takes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from estate.types import Days, Model, Name

PublicKey = Annotated[
    str,
    StringConstraints(
        pattern=r"^((sk-)?ssh-ed25519(@openssh\.com)?|(sk-)?ecdsa-sha2-nistp(256|384|521)(@openssh\.com)?) "
        r"[A-Za-z0-9+/]+={0,2}$"
    ),
]
"""A public key as OpenSSH writes it, without its comment: Ed25519 or ECDSA, also of a FIDO token."""


class Approver(Model):
    """An office that approves, by the public key of whoever holds it."""

    name: Name
    key: PublicKey


class Approvals(Model):
    """A change of access rights is applied when enough approvers have signed its draft."""

    required: int = Field(ge=1)
    approvers: tuple[Approver, ...] = Field(min_length=1)
    valid_days: Days = 30
    """How long after its date a draft may be applied."""
