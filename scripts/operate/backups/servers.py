"""Which servers have backups of their own, and what the estate says of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from estate import Estate
from operate.failure import ExitCode, Failure

Kind = Literal["central", "security"]


@dataclass(frozen=True)
class Server:
    """A central or security server that has its own configuration."""

    host: str
    kind: Kind
    """In X-Road's word for it, which its backups begin with."""
    identity: str
    """The instance, or `INSTANCE/CLASS/OWNER/CODE`."""
    version: str
    """Of X-Road, as declared."""
    system: str
    """The host's operating system, as declared."""


def servers(estate: Estate, hosts: Sequence[str] = ()) -> list[Server]:
    """The servers of these hosts, or all of them. Failure that names those that there are."""
    federation = estate.federation
    found = {
        host.name: Server(
            host.name,
            "central" if host.name == federation.central_server else "security",
            federation.identity(host.name),
            federation.version,
            federation.system_of(host.name).value,
        )
        for host in estate.managed_servers
    }
    for host in hosts:
        if host not in found:
            following = federation.security_server_of(host)
            raise Failure(
                f"'{host}' has no backup of its own",
                details=f"it follows '{following.host}': apply the stage exchange to it"
                if following
                else "servers: " + ", ".join(found),
                code=ExitCode.BAD_INPUT,
            )
    return [server for name, server in found.items() if not hosts or name in hosts]
