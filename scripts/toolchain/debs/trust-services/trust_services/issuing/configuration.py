"""What the authority is told by its configuration file, which holds no secret but names the files that do."""

from __future__ import annotations

import ipaddress
import re
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

from cryptography import x509
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from trust_services.issuing.orders import Code, HostName, MemberName, Order, Profile
from trust_services.issuing.profiles import Addresses, Terms
from trust_services.issuing.rules import Site
from trust_services.refusal import Refusal
from trust_services.settings_file import secret
from trust_services.token import TokenPlace


def _plain_web(value: str) -> str:
    parts = urlsplit(value)
    # Not over TLS: whoever checks a certificate would have to check another first (RFC 5280, section 8).
    if parts.scheme != "http" or not parts.hostname or not value.isascii() or " " in value:
        raise ValueError("isn't an address http://HOST/…")
    return value


def _without_password(value: str) -> str:
    if re.search(r"password\s*=|://[^/@]*:[^/@]*@", value):
        raise ValueError("holds a password: use peer authentication, a client certificate or `passfile`")
    return value


WebAddress = Annotated[str, AfterValidator(_plain_web)]
ConnectionText = Annotated[str, AfterValidator(_without_password)]


_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Issuer(_Part):
    """The authority's certificates."""

    certificate: Path
    """The issuing certificate in PEM."""
    above: tuple[Path, ...] = ()
    """Certificates above it, the root last."""

    def chain(self) -> list[x509.Certificate]:
        """The issuing certificate and those above it. Refusal if one can't be read or isn't above."""
        chain: list[x509.Certificate] = []
        for path in (self.certificate, *self.above):
            try:
                chain.append(x509.load_pem_x509_certificate(path.read_bytes()))
            except (OSError, ValueError) as error:
                raise Refusal(f"the certificate {path} can't be read: {error}") from error
        for lower, upper in pairwise(chain):
            try:
                lower.verify_directly_issued_by(upper)
            except Exception as error:
                raise Refusal(
                    f"'{upper.subject.rfc4514_string()}' didn't issue '{lower.subject.rfc4514_string()}'"
                ) from error
        return chain


class TokenSettings(_Part):
    """The token that holds the issuing key."""

    library: str
    label: str
    slot: int | None = None
    key: str
    """Label of the key."""
    pin_file: Path
    """Such as a credential that systemd hands over."""

    @property
    def place(self) -> TokenPlace:
        """Where the token is."""
        return TokenPlace(self.library, self.label, self.slot)


class Locations(_Part):
    """Addresses that stand in every certificate."""

    ocsp: WebAddress
    crl: WebAddress
    ca_issuers: WebAddress


class Lifetimes(_Part):
    """How long certificates live."""

    authentication_hours: int = Field(ge=1, le=5 * 366 * 24)
    signing_hours: int = Field(ge=1, le=5 * 366 * 24)
    status_responder_hours: int = Field(ge=1, le=366 * 24)
    """Short: such a certificate can't be revoked in effect (RFC 6960, section 4.2.2.2.1)."""
    time_stamping_hours: int = Field(ge=1, le=10 * 366 * 24)


def _for_service(profile: Profile) -> Profile:
    if not profile.of_service:
        raise ValueError(f"{profile} certificates are members'")
    return profile


class Certified(_Part):
    """A certificate that a service may have."""

    profile: Annotated[Profile, AfterValidator(_for_service)]
    name: HostName


class Client(_Part):
    """A program or a person with a bearer token."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")
    role: Literal["orderer", "officer", "service"]
    """An orderer orders for members, an officer decides, a service orders for itself."""
    token_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of a token with at least 128 bits from a random source: a word's hash would be guessed."""
    services: tuple[Certified, ...] = ()
    """What a service may order; it is approved without an officer."""

    @model_validator(mode="after")
    def _services_are_a_services(self) -> Self:
        if (self.role == "service") != bool(self.services):
            raise ValueError("`services` belongs to a client of role service, and to no other")
        return self

    def forbidden(self, order: Order) -> str:
        """Why this client may not order this; empty if it may."""
        if self.role == "officer":
            return f"'{self.name}' is an officer: who decides about orders doesn't order"
        if self.role == "orderer":
            what = f"'{self.name}' orders members' certificates, not those of profile {order.profile}"
            return what if order.profile.of_service else ""
        if order.service is not None and Certified(profile=order.profile, name=order.service) in self.services:
            return ""
        own = ", ".join(f"{item.profile} for {item.name}" for item in self.services)
        return f"'{self.name}' may order {own} and nothing else"


class Expected(_Part):
    """A member of the estate: its orders are approved without an officer."""

    member_class: Code = Field(alias="class")
    code: Code
    name: MemberName
    servers: frozenset[HostName] = frozenset()
    """DNS names of its security servers."""


class Database(_Part):
    """The record's PostgreSQL database."""

    connection: ConnectionText
    """How the service connects (libpq's form): an account that can add and read, and nothing else."""
    password_file: Path | None = None
    """Holds that account's password, if it has one. libpq's own `passfile` must belong to whoever reads it."""
    owner_connection: ConnectionText | None = None
    """How `migrate` connects: the owner."""
    owner_password_file: Path | None = None
    """Holds the owner's password; /dev/stdin for one that is kept in no file of this host."""
    account: str
    """The service's account, which `migrate` gives its rights."""

    @property
    def password(self) -> str | None:
        """The account's password. Refusal if its file can't be read."""
        return None if self.password_file is None else secret(self.password_file).decode()

    @property
    def owner_password(self) -> str | None:
        """The owner's password. Refusal if its file can't be read."""
        return None if self.owner_password_file is None else secret(self.owner_password_file).decode()


class Listener(_Part):
    """Where the service answers."""

    host: str = "127.0.0.1"
    port: int = Field(ge=1, le=65535)
    workers: int = Field(default=2, ge=1, le=64)
    certificate: Path | None = None
    key: Path | None = None

    @model_validator(mode="after")
    def _secret_on_the_way(self) -> Self:
        try:
            local = ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            raise ValueError("`host` isn't an IP address") from None
        if (self.certificate is None) != (self.key is None):
            raise ValueError("`certificate` and `key` go together")
        if not local and self.certificate is None:
            raise ValueError("off this machine bearer tokens need TLS: set `certificate` and `key`")
        return self


class Configuration(_Part):
    """The whole of it."""

    country: str = Field(pattern=r"^[A-Z]{2}$")
    organization: MemberName
    """The site's own, in certificates of its services."""
    issuer: Issuer
    token: TokenSettings
    addresses: Locations
    lifetimes: Lifetimes
    database: Database
    clients: tuple[Client, ...]
    automatic: tuple[Expected, ...] = ()
    listen: Listener
    publication: Path | None = None
    """The folder that the status program publishes in; served under `/status`."""

    @model_validator(mode="after")
    def _clients_are_distinct(self) -> Self:
        names = [client.name for client in self.clients]
        tokens = [client.token_sha256 for client in self.clients]
        for values, what in ((names, "names"), (tokens, "tokens")):
            if len(set(values)) != len(values):
                raise ValueError(f"two clients have the same {what[:-1]}")
        return self

    def terms(self) -> Terms:
        """What every certificate has in common. Refusal if the issuer's certificate can't issue."""
        issuer = self.issuer.chain()[0]
        constraints = _extension(issuer, x509.BasicConstraints)
        usage = _extension(issuer, x509.KeyUsage)
        if constraints is None or not constraints.ca or usage is None or not usage.key_cert_sign:
            raise Refusal(f"{self.issuer.certificate} isn't a certification authority's certificate")
        life = {
            Profile.AUTHENTICATION: timedelta(hours=self.lifetimes.authentication_hours),
            Profile.SIGNING: timedelta(hours=self.lifetimes.signing_hours),
            Profile.STATUS_RESPONDER: timedelta(hours=self.lifetimes.status_responder_hours),
            Profile.TIME_STAMPING: timedelta(hours=self.lifetimes.time_stamping_hours),
        }
        addresses = Addresses(self.addresses.ocsp, self.addresses.crl, self.addresses.ca_issuers)
        return Terms(issuer, Site(self.country, self.organization), addresses, life)

    def expects(self, order: Order) -> bool:
        """Whether the estate declares this member, by this name, and this server of it; or this service."""
        member = order.member
        if member is None:
            return any(not client.forbidden(order) for client in self.clients)
        return any(
            (known.member_class, known.code, known.name) == (member.member_class, member.code, member.name)
            and (order.server is None or order.server in known.servers)
            for known in self.automatic
        )


def _extension(issuer: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    try:
        return issuer.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def read(path: Path) -> Configuration:
    """The configuration in a JSON file. Refusal names the file, the key and the value that isn't right."""
    try:
        return Configuration.model_validate_json(path.read_bytes())
    except OSError as error:
        raise Refusal(f"the configuration {path} can't be read: {error.strerror}") from error
    except ValidationError as error:
        wrong = "; ".join(_told(item) for item in error.errors(include_url=False))
        raise Refusal(f"{path}: {wrong}", "correct the file; roles write it from the estate") from error


def _told(item: Any) -> str:
    key = ".".join(str(part) for part in item["loc"]) or "the whole file"
    reason = item["msg"].removeprefix("Value error, ")
    value = item.get("input")
    # A connection text could hold what doesn't belong there, and a table is no value to show.
    shown = isinstance(value, str | int | float) and "connection" not in key and len(str(value)) < 200
    return f"{key}: {reason}" + (f" (is {value!r})" if shown else "")
