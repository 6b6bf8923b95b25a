"""Backups at one server: both kinds of server have the same operations for them."""

from __future__ import annotations

from urllib.parse import quote

from stacks.providers.xroad.transport import AdminConnection


class BackupsApi:
    """Calls about backups. What is restored through the API must be the same server's: see ADR 20."""

    def __init__(self, connection: AdminConnection) -> None:
        self.connection = connection

    async def names(self) -> set[str]:
        """Backups that lie on the server."""
        return {item["filename"] for item in await self.connection.get("/backups")}

    async def make(self) -> str:
        """Back up the configuration as it is now; the new backup's name.

        UnreachableError leaves open whether there is one: what `names` has more than before is it, perhaps a
        part of it still.
        """
        answer = await self.connection.send("POST", "/backups")
        name: str = answer["filename"]
        return name

    async def download(self, name: str) -> bytes:
        """A backup's file."""
        return await self.connection.download(f"/backups/{quote(name, safe='')}/download")
