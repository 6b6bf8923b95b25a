"""Changes that the central server was asked for and that the configuration doesn't show yet.

X-Road keeps them in memory as well: after a restart only the configuration counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from xroad_simulator.global_configuration import Parameters, SecurityServer
from xroad_simulator.identifiers import ClientId


@dataclass(slots=True)
class PendingName:
    """A subsystem's new name; submitted to the central server, or kept for the registration."""

    old: str
    new: str
    submitted: bool


@dataclass(slots=True)
class PendingChanges:
    """What one server waits for."""

    address: str | None = None
    maintenance: tuple[bool, str | None] | None = None
    """Whether maintenance is to begin, and the message."""
    names: dict[str, PendingName] = field(default_factory=dict)

    def settle(self, registered: SecurityServer | None, parameters: Parameters) -> None:
        """Drop what the configuration shows now (`GlobalConfChecker.java`)."""
        if registered is not None and self.address == registered.address:
            self.address = None
        if registered is not None and self.maintenance is not None:
            begins, _ = self.maintenance
            if begins is registered.in_maintenance:
                self.maintenance = None
        for client, pending in list(self.names.items()):
            if subsystem_name(parameters, ClientId.parse(client)) != pending.old:
                del self.names[client]


def subsystem_name(parameters: Parameters, client: ClientId) -> str:
    """A subsystem's name in the configuration, empty without one."""
    member = parameters.member(client)
    for subsystem in () if member is None else member.subsystems:
        if subsystem.code == client.subsystem_code:
            return subsystem.name or ""
    return ""
