"""What a ceremony is told about the site: names, kinds of keys, lives, and who is present."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal, Self

from cryptography import x509
from cryptography.x509.oid import NameOID
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from trust_services.ceremony.shares import file_name
from trust_services.refusal import Refusal
from trust_services.token import TokenPlace


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Root(_Told):
    """The root authority."""

    common_name: str = Field(min_length=1, max_length=64)
    key: Literal["rsa-4096", "ec-p384"]
    lifetime_days: int = Field(gt=0)


class Authority(_Told):
    """An issuing authority that the root may certify."""

    common_name: str = Field(min_length=1, max_length=64)
    key: Literal["rsa-3072", "rsa-4096", "ec-p256", "ec-p384"]
    lifetime_days: int = Field(gt=0)


class RevocationList(_Told):
    """Where the root's revocation list is published, and how long one is good for."""

    url: str
    lifetime_days: int = Field(gt=0)


class TokenSettings(_Told):
    """The token that holds the root's key."""

    library: str
    label: str = "root"
    slot: int | None = None

    def place(self) -> TokenPlace:
        """Where the token is."""
        return TokenPlace(self.library, self.label, self.slot)


class Agenda(_Told):
    """All that a ceremony needs to know beside the requests."""

    site: str
    organization: str
    country: str = Field(pattern="^[A-Z]{2}$")
    root: Root
    authorities: dict[str, Authority]
    revocation_list: RevocationList
    token: TokenSettings
    custodians: tuple[str, ...] = Field(min_length=2, max_length=16)
    """Each keeps one share of the token's secret."""
    threshold: int = Field(ge=2)
    """How many shares open the token."""
    witnesses: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _enough_custodians(self) -> Self:
        if self.threshold > len(self.custodians):
            raise ValueError(f"{self.threshold} shares of {len(self.custodians)} can never open the token")
        if len({file_name(custodian) for custodian in self.custodians}) != len(self.custodians):
            raise ValueError("two custodians have the same name: their shares couldn't be told apart")
        return self

    def subject(self, common_name: str) -> x509.Name:
        """The name of an authority of this site."""
        return authority_name(self.country, self.organization, common_name)


def authority_name(country: str, organization: str, common_name: str) -> x509.Name:
    """The name of an authority: requests must carry it as the root will write it."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, country),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def read(path: Path) -> tuple[Agenda, str]:
    """The agenda in a file, with the SHA-256 of the file. Refusal naming key and value."""
    try:
        content = path.read_bytes()
        return Agenda.model_validate(json.loads(content)), hashlib.sha256(content).hexdigest()
    except (OSError, ValueError) as error:
        raise Refusal(f"{path}: {_reason(error)}", "make the agenda anew from the estate") from error


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or 'agenda'}: {problem['msg']}" for problem in error.errors()
        )
    return str(error)
