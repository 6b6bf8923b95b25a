"""Data centres, racks, power feeds, servers, switches and the links between them."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from estate.types import (
    AutonomousSystem,
    Gibibytes,
    IPv4Address,
    MacAddress,
    Model,
    Name,
    RackUnit,
    Watts,
)


class PowerFeed(Model):
    """A supply that fails as a whole."""

    name: Name
    capacity_watts: Watts


class Rack(Model):
    """A cabinet: one failure domain below its data centre."""

    name: Name
    height_units: RackUnit = 42
    power_feeds: tuple[Name, ...] = Field(min_length=1)


class DataCentre(Model):
    """A building that fails as a whole."""

    name: Name
    place: str = Field(min_length=1)
    power_feeds: tuple[PowerFeed, ...] = Field(min_length=1)
    racks: tuple[Rack, ...] = Field(min_length=1)


class BmcProtocol(StrEnum):
    """How a baseboard management controller is spoken to."""

    REDFISH = "redfish"


class Bmc(Model):
    """A server's baseboard management controller. Its credentials are a secret, named here."""

    address: IPv4Address
    protocol: BmcProtocol = BmcProtocol.REDFISH
    credentials: Name


class Nic(Model):
    """A network port of a server."""

    name: Name
    mac: MacAddress
    speed_gbps: int = Field(gt=0)


class Server(Model):
    """A machine in a rack."""

    name: Name
    rack: Name
    unit: RackUnit
    """The lowest unit that it occupies, counted from the floor."""
    height_units: RackUnit = 1
    power_feeds: tuple[Name, ...] = Field(min_length=1)
    """The feed of each power supply."""
    draw_watts: Watts
    cores: int = Field(gt=0)
    memory: Gibibytes
    disks: tuple[Gibibytes, ...] = Field(min_length=1)
    bmc: Bmc
    nics: tuple[Nic, ...] = Field(min_length=1)


class SwitchTier(StrEnum):
    """A switch's place in the fabric (RFC 7938 section 3)."""

    SPINE = "spine"
    LEAF = "leaf"
    MANAGEMENT = "management"
    """Joins the BMCs. Not part of the data fabric."""


class Switch(Model):
    """A switch in a rack."""

    name: Name
    tier: SwitchTier
    rack: Name
    unit: RackUnit
    height_units: RackUnit = 1
    power_feeds: tuple[Name, ...] = Field(min_length=1)
    draw_watts: Watts = 150
    autonomous_system: AutonomousSystem | None = None
    management_address: IPv4Address
    ports: int = Field(default=48, gt=0)


class LinkEnd(Model):
    """One end of a cable."""

    device: Name
    """A server or a switch."""
    port: Name


class Link(Model):
    """A cable between two ports."""

    a: LinkEnd
    b: LinkEnd
