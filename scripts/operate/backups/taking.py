"""Taking backups of servers and bringing them off their hosts, each proved to open before it is kept."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from estate.secrets import backup_key
from operate import federation
from operate.backups import kept
from operate.backups.archive import ArchiveError, opened
from operate.backups.kept import Manifest
from operate.backups.servers import Server
from operate.failure import Failure
from operate.playbooks import run_playbook
from operate.run import Run
from stacks.providers.serving import ProviderError
from stacks.providers.xroad.backups import BackupsApi
from stacks.providers.xroad.errors import UnreachableError
from stacks.providers.xroad.servers import Servers
from stacks.providers.xroad.waiting import until

_AT_A_TIME = 4
"""Servers that make a backup side by side: their files are in memory meanwhile."""
_LOST_SECONDS = 180
"""How long a backup may still take whose request broke off."""
T = TypeVar("T")
_VERSION = re.compile(r"\d+\.\d+\.\d+")


@dataclass(frozen=True)
class Taken:
    """What became of one server's backup. With a failure and a manifest, one that can't be opened was made."""

    server: Server
    path: Path | None = None
    manifest: Manifest | None = None
    failure: str = ""
    """Why there is none."""

    def document(self) -> dict[str, Any]:
        """For programs."""
        if self.path is None or self.manifest is None:
            return {"host": self.server.host, "failure": self.failure}
        return {"file": str(self.path), **self.manifest.model_dump(mode="json")}


@dataclass(frozen=True)
class Look:
    """What a server says before anything is done."""

    server: Server
    version: str = ""
    problem: str = ""
    """Why it can't be backed up."""


def look(run: Run, chosen: Sequence[Server]) -> list[Look]:
    """Ask each server, with GET requests alone, whether it can be backed up."""
    return _over(run, chosen, inspect)


def back_up(run: Run, looks: Sequence[Look], place: Path) -> list[Taken]:
    """Back up the servers that can be, and keep the files below `place`. What failed is among the results."""
    began = time.monotonic()
    result, taken = "failed", []
    try:
        chosen = [found.server for found in looks if not found.problem]
        _fetch_keys(
            run,
            [server for server in chosen if not run.workspace.secrets.path(backup_key(server.host)).exists()],
        )
        versions = {found.server.host: found.version for found in looks}

        async def one(servers: Servers, server: Server) -> Taken:
            return await take(servers, server, versions[server.host], lambda: _key(run, server), place)

        taken = _over(run, chosen, one)
        if strange := [item.server for item in taken if item.failure and item.manifest is not None]:
            # The server has another key than the store: it was made anew since.
            _fetch_keys(run, strange)
            again = {item.server.host: item for item in _over(run, strange, one)}
            taken = [again.get(item.server.host, item) for item in taken]
        taken += [Taken(found.server, failure=found.problem) for found in looks if found.problem]
        result = "failed" if any(item.failure for item in taken) else "ok"
    finally:
        run.record(
            "backup",
            result=result,
            changed=sum(item.path is not None for item in taken),
            seconds=round(time.monotonic() - began, 1),
            backups={item.server.host: item.manifest.sha256 for item in taken if item.path and item.manifest},
        )
    return taken


async def inspect(servers: Servers, server: Server) -> Look:
    """Ask one server for its version, and whether there is anything to back up."""
    try:
        if server.kind == "central":
            initialized = (await servers.central.initialization()).complete
            version = await servers.central.version()
        else:
            api = servers.security(server.host)
            status = await api.initialization()
            initialized = status.complete
            version = await api.version()
    except ProviderError as error:
        return Look(server, problem=str(error))
    numbers = _VERSION.search(version.info)
    if numbers is None:
        return Look(server, problem=f"its version can't be read from '{version.info}'")
    return Look(server, numbers[0], "" if initialized else "it isn't initialised: there is nothing to back up")


async def take(servers: Servers, server: Server, version: str, key: Callable[[], str], place: Path) -> Taken:
    """Have a server make a backup, bring it here, and prove that `key` opens it before it is kept.

    A failure with a manifest means that the backup was made and `key` doesn't open it.
    """
    api = servers.backups(server.host)
    try:
        name, sealed = await _made(api, key)
        manifest = Manifest(
            host=server.host,
            identity=server.identity,
            version=version,
            system=server.system,
            taken_at=datetime.now(UTC).replace(microsecond=0),
            sha256=kept.digest(sealed),
            size=len(sealed),
        )
    except ProviderError as error:
        return Taken(server, failure=str(error))
    try:
        archive = await asyncio.to_thread(opened, sealed, key())
    except ArchiveError as error:
        return Taken(server, manifest=manifest, failure=f"the key in the secret store doesn't open it: {error}")
    if (archive.kind, archive.identity) != (server.kind, server.identity):
        return Taken(server, failure=f"it is the backup of {archive.identity}, not of {server.identity}")
    if not archive.encrypted:
        return Taken(
            server, failure="it isn't encrypted: apply the stage exchange, which has servers encrypt them"
        )
    return Taken(server, kept.keep(place, name, sealed, manifest), manifest)


async def _made(api: BackupsApi, key: Callable[[], str]) -> tuple[str, bytes]:
    before = await api.names()
    try:
        name = await api.make()
    except UnreachableError:
        # Nobody knows what became of it: it is there under a new name, whole once it opens.
        return await until(
            lambda: _found(api, before, key), "a backup whose request broke off", deadline_seconds=_LOST_SECONDS
        )
    return name, await api.download(name)


async def _found(api: BackupsApi, before: set[str], key: Callable[[], str]) -> tuple[str, bytes] | None:
    for name in await api.names() - before:
        sealed = await api.download(name)
        try:
            await asyncio.to_thread(opened, sealed, key())
        except ArchiveError:
            continue
        return name, sealed
    return None


def _over(run: Run, chosen: Sequence[Server], act: Callable[[Servers, Server], Awaitable[T]]) -> list[T]:
    """The results of `act` for each server, a few at a time, in the order of the servers."""
    turns = asyncio.Semaphore(_AT_A_TIME)

    async def all_of_them(servers: Servers) -> list[T]:
        async def one(server: Server) -> T:
            async with turns:
                run.report.progress(server.host)
                return await act(servers, server)

        return list(await asyncio.gather(*(one(server) for server in chosen)))

    try:
        return federation.with_servers(run, all_of_them)
    except ProviderError as error:
        raise Failure(str(error), next_step=f"{run.workspace.apply_command} --stage exchange") from None


def _key(run: Run, server: Server) -> str:
    return run.workspace.secrets.path(backup_key(server.host)).read_text(encoding="ascii")


def _fetch_keys(run: Run, chosen: Sequence[Server]) -> None:
    """Bring the keys that open these servers' backups to the secret store."""
    if chosen:
        hosts = [server.host for server in chosen]
        run_playbook(run.workspace, "keep_backup_keys", run.report, lock=run.lock, hosts=hosts)
