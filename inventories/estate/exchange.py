"""How servers of the federation are installed and kept: settings, databases, clusters, backups, archives."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from estate.types import DomainName, IdentifierCode, Model, Name, Port, Seconds
from estate.xroad_parameters import Value

LocalIni = dict[str, dict[str, Value]]
"""Parameters by section, with units: see `estate.xroad_parameters`."""


class ServerSettings(Model):
    """Parameters that hold for all servers of a kind; a server's own go before them."""

    central_server: LocalIni = Field(default_factory=dict)
    security_server: LocalIni = Field(default_factory=dict)
    configuration_proxy: LocalIni = Field(default_factory=dict)


class RemoteDatabase(Model):
    """A PostgreSQL service elsewhere that holds a server's databases (ig-ss and ig-cs, "Remote Database").

    X-Road's installer gives the databases of all servers the same names, so each needs a service of its own.
    """

    host: DomainName
    port: Port = 5432
    version: int = Field(ge=12)
    """Its major version: the client's must not be older, or backups fail."""
    administrator: str = Field(default="postgres", pattern=r"^[a-z_][a-z0-9_@.-]*$")
    """Makes databases and accounts during the installation; its password is a secret that a person brings."""


Memory = Annotated[str, StringConstraints(pattern=r"^(d|r|\d+[mg] \d+[mg])$")]
"""Heap of X-Road's proxy (ig-ss 2.8): `d` default, `r` by the host's memory, or two sizes such as `512m 2g`."""


class PublicKey(Model):
    """An OpenPGP public key for whose owner something is encrypted. The secret half is never here."""

    fingerprint: str = Field(pattern=r"^[0-9A-F]{40}$")
    armoured: str = Field(pattern=r"^-----BEGIN PGP PUBLIC KEY BLOCK-----\n")

    @model_validator(mode="after")
    def _is_public(self) -> PublicKey:
        if "PRIVATE KEY" in self.armoured:
            raise ValueError("a private key doesn't belong into the estate: it is public now, replace it")
        return self


class Destination(Model):
    """Where files are brought to: `https://` by PUT with the host's certificate, `sftp://` with its key."""

    url: str = Field(pattern=r"^(https|sftp)://[A-Za-z0-9.-]+(:\d+)?(/[A-Za-z0-9._/-]*)?$")
    account: Name | None = None
    """Who logs in by SFTP."""
    host_key: str | None = Field(default=None, pattern=r"^(ssh-ed25519|ecdsa-sha2-nistp256) [A-Za-z0-9+/=]+$")
    """The SFTP server's public key: the first connection trusts no other."""

    @model_validator(mode="after")
    def _knows_whom_to_trust(self) -> Destination:
        given = {self.account is not None, self.host_key is not None}
        if given != {self.url.startswith("sftp://")}:
            raise ValueError("sftp needs account and host_key, https neither")
        return self


class Kept(Model):
    """Files that leave a server encrypted: backups, or archives of the message log."""

    keys: tuple[PublicKey, ...] = Field(min_length=1)
    """Whoever has the secret half of any of them can read the files, also when the server is lost."""
    destination: Destination | None = None
    """None: they stay on the server's disk."""


class ProxyInstance(Model):
    """A global configuration that a configuration proxy distributes (ug-cp 3.4)."""

    name: IdentifierCode
    """As it stands in the addresses from which clients download."""
    source: Annotated[str, StringConstraints(pattern=r"^(INTERNAL|EXTERNAL)$")] = "INTERNAL"
    """Which of the central server's configurations: for its own servers, or for federated instances."""
    validity: Seconds = 600
    """How long what it signs is good for (`validity-interval-seconds`)."""


class ConfigurationProxy(Model):
    """A host that signs and distributes the global configuration in the central server's place."""

    host: Name
    address: DomainName | None = None
    """The name in the anchors that it makes; None: the host's."""
    instances: tuple[ProxyInstance, ...] = Field(min_length=1)
    settings: LocalIni = Field(default_factory=dict)


class Cluster(Model):
    """Further nodes of a security server behind a load balancer (ig-xlb).

    They share the primary's identity and keys, so that whoever has one node has the server.
    """

    secondaries: tuple[Name, ...] = Field(min_length=1)
    balancer: Name
    """The host with role `load_balancer` that spreads connections over the nodes."""
    address: DomainName
    """The name in the global configuration under which other servers reach it."""
