"""What a caller may choose about the platform."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Arguments(BaseModel):
    """Base of all arguments: immutable, and an unknown one is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NamespaceArgs(Arguments):
    """A room of its own for one system."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")
    pods: int = Field(default=10, ge=1)
    """Upper limit. A roll-out needs one more than the system's replicas."""
    memory_mib: int = Field(default=2048, ge=64)
    """Upper limit of the sum of what all its pods may use."""


class ReleaseArgs(Arguments):
    """A Helm release of a chart of this repository."""

    chart: Path
    """Folder of the chart."""
    values: dict[str, Any]
    """Checked by the chart's own schema, which knows no further keys."""
    timeout_seconds: int = Field(default=300, ge=10)


class SystemArgs(Arguments):
    """A system: its namespace and its release, which has the same name."""

    namespace: NamespaceArgs
    release: ReleaseArgs


class ClusterArgs(Arguments):
    """What the cluster's own pods need of the network."""

    api_servers: tuple[str, ...] = Field(min_length=1)
    """Addresses that the API's service stands for."""
    api_port: int


class PlatformArgs(Arguments):
    """The portal and the sector systems, and the network of the cluster that they are in."""

    cluster: ClusterArgs
    portal: SystemArgs
    sector_systems: tuple[SystemArgs, ...]


class Secrets(Arguments):
    """Values of secrets, read at the time of use. Their text form shows nothing."""

    database_passwords: dict[str, str] = Field(repr=False)
    """By namespace."""
    portal_key: str = Field(repr=False)
    root_certificate: str = Field(repr=False)
    """The site's root certificate, PEM. Not secret, but brought the same way."""
    kubeconfig: str = Field(repr=False)
