"""The site itself, and how one deployment of it is reached."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from pydantic import Field

from estate.trust import IssuingName
from estate.types import Digest, DomainName, IPv4Network, Model, Name, Text


class Environment(StrEnum):
    """What a site is for; some things are refused outside a lab."""

    LAB = "lab"
    STAGING = "staging"
    PRODUCTION = "production"


class Operator(Model):
    """An account of a person or team that administers hosts."""

    account: Name
    ssh_keys: tuple[str, ...] = Field(min_length=1)


class Site(Model):
    """A national platform, or a rehearsal of one."""

    name: Name
    title: Text
    environment: Environment
    template: bool = False
    """True while the addresses are documentation ranges (RFC 5737): apply refuses it."""
    domain: DomainName
    network: IPv4Network
    """Covers every internal zone, pod and service address of the site."""
    public_network: IPv4Network | None = None
    """Addresses that the Internet reaches, if the site has any of its own."""
    administration: tuple[IPv4Network, ...] = Field(min_length=1)
    """Where operators, and the programs that they start, connect from."""
    time_zone: str = "Africa/Porto-Novo"
    time_sources: tuple[str, ...] = ()
    operators: tuple[Operator, ...] = ()


class Deployment(Model):
    """How this machine reaches the site: read from the overlay of a lab, not from the site's data."""

    name: Name = "default"
    account: Name = "deploy"
    private_key_file: Path | None = None
    known_hosts_file: Path | None = None
    state_directory: Path | None = None
    """Where kubeconfig, API keys' copies and program state of this deployment lie."""


class Overlay(Model):
    """What only a deployment knows: where a lab's network was moved, which images it built, what it drilled."""

    network: IPv4Network | None = None
    deployment: Deployment = Deployment()
    images: dict[Name, Digest] = Field(default_factory=dict)
    generations: dict[IssuingName, int] = Field(default_factory=dict)
    """How often issuing authorities of a lab were replaced, by short name. Other sites say it in trust.yml."""
