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
    STATUS_RESPONDER = "status-responder"
    TIME_STAMPING = "time-stamping"

    @property
    def of_service(self) -> bool:
        """Whether it is for a service of the site's own rather than for a member."""
        return self in (Profile.STATUS_RESPONDER, Profile.TIME_STAMPING)


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
"""A server's or service's DNS name. It becomes the common name: at most ub-common-name."""


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
    member: Member | None = None
    """Whom it is for, unless it is for a service."""
    server: HostName | None = None
    """DNS name of the security server; authentication certificates only."""
    service: HostName | None = None
    """DNS name of the site's own service that it is for."""
    csr: str
    """The certificate request (PKCS #10, RFC 2986) in PEM."""
    idempotency_key: str = Field(pattern=r"^[A-Za-z0-9._:/-]{8,128}$")
    """Chosen by the client, new for each order: sending the order again doesn't issue again."""

    @model_validator(mode="after")
    def _server_goes_with_authentication(self) -> Self:
        if (self.profile is Profile.AUTHENTICATION) != (self.server is not None):
            raise ValueError("`server` belongs to an authentication order, and to no other")
        return self

    @model_validator(mode="after")
    def _is_for_a_member_or_a_service(self) -> Self:
        wanted, other = ("service", "member") if self.profile.of_service else ("member", "service")
        if getattr(self, wanted) is None or getattr(self, other) is not None:
            raise ValueError(f"an order of profile {self.profile} has a `{wanted}` and no `{other}`")
        return self

    @property
    def owner(self) -> str:
        """Whose the certificate and its key are, as the record writes it."""
        return f"member {self.member.identity}" if self.member is not None else f"service {self.service}"

    def digest(self, request: bytes) -> bytes:
        """SHA-256 of what is ordered, with the request in DER: line ends of PEM make no other order."""
        member_class, code, name = self.named
        return order_digest(self.profile, member_class, code, name, self.server, self.service, request)

    @property
    def named(self) -> tuple[str | None, str | None, str | None]:
        """The member's class, code and name, if it is for a member."""
        member = self.member
        return (member.member_class, member.code, member.name) if member is not None else (None, None, None)


def order_digest(
    profile: str,
    member_class: str | None,
    code: str | None,
    name: str | None,
    server: str | None,
    service: str | None,
    request: bytes,
) -> bytes:
    """SHA-256 of an order's content in one fixed form."""
    content = [str(profile), member_class, code, name, server, service, hashlib.sha256(request).hexdigest()]
    return hashlib.sha256(json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()).digest()
