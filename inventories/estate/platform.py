"""What runs for citizens and administrations: cluster, registry, databases, portal, sector systems."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from estate.types import (
    Days,
    Digest,
    DomainName,
    Gibibytes,
    IPv4Network,
    Minutes,
    Model,
    Name,
    Port,
    Text,
    Version,
)


class CgroupDriver(StrEnum):
    """Who makes the control groups of containers."""

    CGROUPFS = "cgroupfs"
    SYSTEMD = "systemd"


class Kubernetes(Model):
    """The cluster under the portal and the sector systems."""

    name: Name
    version: Version
    pod_network: IPv4Network
    service_network: IPv4Network
    cgroup_driver: CgroupDriver = CgroupDriver.SYSTEMD
    encryption_key: int = Field(default=1, ge=1)
    """Number of the key with which the cluster's secrets are encrypted in etcd. A higher one replaces it."""
    nodes_are_containers: bool = False
    """Lab only: nodes share the machine's kernel, so kubelet and kube-proxy leave its settings alone."""

    @property
    def encryption_keys(self) -> tuple[int, ...]:
        """Keys that the API servers know, the one in use first. The one before opens older copies of etcd."""
        return tuple(range(self.encryption_key, max(self.encryption_key - 2, 0), -1))


class Registry(Model):
    """The site's container image registry."""

    namespace: Name = "smartgouv"


class Image(Model):
    """A container image of the site, addressed by digest."""

    version: Version
    digest: Digest | None = None
    """None only where images are built on the spot (a lab): the overlay then brings the digest."""


class Database(Model):
    """A database with an owner of its own and the zones whose hosts may use it."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=63)]
    from_zones: tuple[Name, ...] = Field(min_length=1)
    purpose: str = Field(min_length=1)
    apart: bool = False
    """Whether its program works with an account of its own, which may do only what the owner lets it."""

    @property
    def owner(self) -> str:
        """The role that owns it: named like the database."""
        return self.name

    @property
    def accounts(self) -> tuple[str, ...]:
        """All roles that may connect: the owner first."""
        return (self.owner, f"{self.name}_service") if self.apart else (self.owner,)


class Postgresql(Model):
    """The database service."""

    version: int = Field(ge=15, le=18)
    memory: Gibibytes = 1
    databases: tuple[Database, ...] = Field(min_length=1)


class Sector(Model):
    """A sector system: a service of an administration over its own database."""

    name: Name
    title: Text
    collection: Name
    """The path of its records: `/<collection>/<identifier>`."""
    example: str = Field(min_length=1)
    """An identifier as people write it: a hint on the portal's form, and a record of the sample data."""
    database: str
    node_port: Port
    replicas: int = Field(default=1, ge=1)


class Portal(Model):
    """The public-services portal."""

    host_name: DomainName
    client: str = Field(pattern=r"^[^/]+/[^/]+/[^/]+$")
    """The subsystem in whose name it asks."""
    security_server: Name
    database: str
    node_port: Port
    replicas: int = Field(default=1, ge=1)


class Monitoring(Model):
    """How long the site keeps its metrics."""

    retention: Days = 15
    retention_size: Gibibytes = 10


class Protection(Model):
    """A backup with its targets; a drill measures against them."""

    name: Name
    what: str = Field(min_length=1)
    recovery_point: Minutes
    recovery_time: Minutes
    retention: Days
    drill_every: Days
