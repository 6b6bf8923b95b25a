"""What a responder is told: a JSON file.

    {
      "listen": {"address": "127.0.0.1", "port": 8888},
      "folder": "/var/lib/trust-status",
      "freshness_seconds": 3600,
      "authorities": [
        {"name": "trust", "certificate": "/etc/trust-status/trust.pem", "publishes": ["answers", "crl", "crt"]}
      ],
      "source": {
        "url": "https://ca.internal:8443/status",
        "ca": "/etc/trust-status/tls/ca.pem",
        "certificate": "/etc/trust-status/tls/client.pem",
        "key": "/etc/trust-status/tls/client.key"
      }
    }

Each authority's publication is `folder`/`name`.answers, its CRL `folder`/`name`.crl and its certificate, in
DER, `folder`/`name`.crt; where there is a `source`, they are fetched from `url`/`name`.answers and so on.
Without one, something else puts them there.
"""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Literal, Self

from cryptography import x509
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    IPvAnyAddress,
    model_validator,
)

from trust_services import settings_file
from trust_services.refusal import Refusal
from trust_services.settings_file import AbsolutePath, HttpsAddress
from trust_services.status.verification import Authority

Published = Literal["answers", "crl", "crt"]
"""A kind of file that an authority publishes; also the file's ending."""


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Listen(_Settings):
    """Where the responder listens, for plain HTTP: answers are signed (RFC 6960 appendix A)."""

    address: IPvAnyAddress = IPv4Address("127.0.0.1")
    port: int = Field(ge=1, le=65535)


class Source(_Settings):
    """The authority's host, and who this host is to it (mutual TLS)."""

    url: HttpsAddress
    ca: AbsolutePath
    """Certificates of authorities that the server's certificate may come from."""
    certificate: AbsolutePath | None = None
    key: AbsolutePath | None = None
    interval_seconds: float = Field(default=5, ge=0.1, le=60)
    """Between two looks at the source."""
    patience_seconds: float = Field(default=10, ge=0.1, le=60)
    """How long the source may be silent."""
    longest_pause_seconds: float = Field(default=30, ge=0.1, le=60)
    """Between two tries while the source is down."""
    limit_mebibytes: int = Field(default=256, ge=1, le=4096)
    """A file larger than this isn't taken."""

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together")
        return self


class AuthoritySettings(_Settings):
    """One authority whose files are served."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")
    certificate: AbsolutePath
    """PEM."""
    publishes: frozenset[Published] = Field(default=frozenset({"answers", "crl", "crt"}), min_length=1)

    def load(self, budget: timedelta) -> Authority:
        """The authority. Refusal if its certificate can't be read."""
        try:
            return Authority(x509.load_pem_x509_certificate(self.certificate.read_bytes()), budget)
        except (OSError, ValueError) as error:
            raise Refusal(f"authority '{self.name}': {self.certificate} can't be read: {error}") from error


class Settings(_Settings):
    """The whole file."""

    listen: Listen
    workers: int = Field(default=1, ge=1, le=16)
    """Processes that answer. Each holds all answers in memory."""
    folder: AbsolutePath
    freshness_seconds: int = Field(default=3600, ge=60, le=604_800)
    """No answer is given that is older: X-Road's `ocspFreshnessSeconds`."""
    poll_seconds: float = Field(default=1, gt=0, le=30)
    """Between two looks at the files."""
    authorities: tuple[AuthoritySettings, ...] = Field(min_length=1)
    source: Source | None = None

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [authority.name for authority in self.authorities]
        if doubled := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two authorities are named {', '.join(doubled)}")
        return self

    @property
    def budget(self) -> timedelta:
        """How old an answer may become."""
        return timedelta(seconds=self.freshness_seconds)

    def place(self, name: str, kind: Published) -> Path:
        """Where an authority's file is."""
        return self.folder / f"{name}.{kind}"


def read(path: Path) -> Settings:
    """The settings in a file. Refusal that names file, key and value if something is wrong."""
    return settings_file.read(path, Settings)
