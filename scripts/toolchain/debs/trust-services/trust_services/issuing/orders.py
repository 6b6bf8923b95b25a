"""What an order for a certificate is made of."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

MAX_REQUEST_BYTES = 16 * 1024
"""The longest certificate request that is read. X-Road's own are below 2 KiB."""

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class Profile(StrEnum):
    """What a certificate is for. One certificate is never for both (X-Road: `wrong_cert_usage.both`)."""

    AUTHENTICATION = "authentication"
    SIGNING = "signing"


def _name(value: str) -> str:
    if value != value.strip() or not value.isprintable():
        raise ValueError("has spaces at its ends or characters that can't be printed")
    if value != unicodedata.normalize("NFC", value):
        raise ValueError("isn't in Unicode's normal form C, which RFC 5280 section 7.1 compares by")
    return value


def _host(value: str) -> str:
    labels = value.split(".")
    if len(labels) < 2 or not all(_LABEL.fullmatch(label) for label in labels) or labels[-1].isdigit():
        raise ValueError("isn't a full DNS name in small letters")
    return value


Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9'()+,\-.=?]{1,64}$")]
"""A member's class or code: what X-Road's strict identifier check lets through. A PrintableString, too."""

MemberName = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_name)]
"""At most ub-organization-name and ub-common-name (RFC 5280, appendix A.1)."""

HostName = Annotated[str, Field(min_length=3, max_length=64), AfterValidator(_host)]
"""A server's DNS name. It becomes the common name: at most ub-common-name."""


class Member(BaseModel):
    """The X-Road member that a certificate names."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    member_class: Code = Field(alias="class")
    code: Code
    name: MemberName

    @property
    def identity(self) -> str:
        """Class and code: what tells members apart."""
        return f"{self.member_class}/{self.code}"


class Order(BaseModel):
    """A wish for a certificate, as a client sends it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: Profile
    member: Member
    server: HostName | None = None
    """DNS name of the security server; authentication certificates only."""
    csr: str
    """The certificate request (PKCS #10, RFC 2986) in PEM."""
    idempotency_key: str = Field(pattern=r"^[A-Za-z0-9._:/-]{8,128}$")
    """Chosen by the client, new for each order: sending the order again doesn't issue again."""

    @model_validator(mode="after")
    def _server_goes_with_authentication(self) -> Self:
        if (self.profile is Profile.AUTHENTICATION) != (self.server is not None):
            raise ValueError("`server` belongs to an authentication order, and to no other")
        return self

    def digest(self, request: bytes) -> bytes:
        """SHA-256 of what is ordered, with the request in DER: line ends of PEM make no other order."""
        return order_digest(
            self.profile, self.member.member_class, self.member.code, self.member.name, self.server, request
        )


def order_digest(
    profile: str, member_class: str, code: str, name: str, server: str | None, request: bytes
) -> bytes:
    """SHA-256 of an order's content in one fixed form."""
    content = [str(profile), member_class, code, name, server, hashlib.sha256(request).hexdigest()]
    return hashlib.sha256(json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()).digest()
