"""Domain words as types, so that the models read like a specification."""

from __future__ import annotations

import ssl
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=40)]
"""A lower-case label: a host, a zone, a rack. Valid as a DNS label (RFC 1123 section 2.1)."""

DomainName = Annotated[
    str, StringConstraints(pattern=r"^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}$", max_length=253)
]
"""A fully qualified domain name without the trailing dot."""

Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
"""An OCI content digest (OCI image specification, descriptor digests)."""

Version = Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)*([-+.~][0-9A-Za-z.]+)?$")]
"""A dotted version without a leading `v`."""

IdentifierCode = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9'()+,\-.=?]+$", max_length=255)]
"""A part of an X-Road identifier under strict checks (no colon, slash, backslash, percent or space)."""

CountryCode = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
"""ISO 3166-1 alpha-2."""

ObjectIdentifier = Annotated[str, StringConstraints(pattern=r"^[012](\.(0|[1-9][0-9]*))+$", max_length=128)]
"""Numbers with dots between them (ITU-T X.660)."""


def _certificate(text: str) -> str:
    der = ssl.PEM_cert_to_DER_cert(text.strip() + "\n")
    if not der.startswith(b"\x30"):
        raise ValueError("what is between the lines of PEM isn't a certificate")
    return ssl.DER_cert_to_PEM_cert(der)


Certificate = Annotated[str, AfterValidator(_certificate)]
"""One X.509 certificate in PEM (RFC 7468)."""

MacAddress = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{2}:){5}[0-9a-f]{2}$")]

Port = Annotated[int, Field(ge=1, le=65535)]
RackUnit = Annotated[int, Field(ge=1, le=60)]
AutonomousSystem = Annotated[int, Field(ge=64512, le=4294967294)]
"""A private AS number (RFC 6996): 64512–65534 or 4200000000–4294967294."""

Gibibytes = Annotated[int, Field(gt=0)]
Minutes = Annotated[int, Field(gt=0)]
Hours = Annotated[int, Field(gt=0)]
Days = Annotated[int, Field(gt=0)]
Seconds = Annotated[int, Field(gt=0)]
Watts = Annotated[int, Field(gt=0)]


class Model(BaseModel):
    """Base of everything in the estate: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Text(Model):
    """What people read, in the two languages of the portal."""

    fr: str = Field(min_length=1)
    en: str = Field(min_length=1)


class Protocol(StrEnum):
    """What an endpoint or a flow is carried by."""

    TCP = "tcp"
    UDP = "udp"
    VRRP = "vrrp"
    """IP protocol 112 (RFC 9568). It has no ports."""


__all__ = [
    "AutonomousSystem",
    "Certificate",
    "CountryCode",
    "Days",
    "Digest",
    "DomainName",
    "Gibibytes",
    "Hours",
    "IPv4Address",
    "IPv4Network",
    "IdentifierCode",
    "MacAddress",
    "Minutes",
    "Model",
    "Name",
    "ObjectIdentifier",
    "Port",
    "Protocol",
    "RackUnit",
    "Seconds",
    "Text",
    "Version",
    "Watts",
]
