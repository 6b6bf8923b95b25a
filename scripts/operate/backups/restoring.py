"""A server from its backup, on a host that was installed anew: examined first, then done, then waited for.

X-Road's API restores only what the same server's key signed, so on a new host its script does it, with the
former host's key from the secret store (ug-ss 13.2, ug-cs 12.3): role xroad_server, `tasks/restore.yml`.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from estate.secrets import backup_key
from estate.xroad_versions import RefusedStepError, refuse_backup
from operate import federation
from operate.backups import archive, kept
from operate.backups.archive import Archive, ArchiveError
from operate.backups.kept import Manifest
from operate.backups.servers import Server
from operate.failure import ExitCode, Failure
from operate.files import write_atomically
from operate.playbooks import run_playbook
from operate.run import Run
from operate.workspace import Workspace
from stacks.providers.serving import ProviderError
from stacks.providers.xroad.errors import ApiError
from stacks.providers.xroad.servers import Servers
from stacks.providers.xroad.tokens import open_token
from stacks.providers.xroad.waiting import DeadlineError, until

_GENERATION = "XROAD_7.1"
"""What the versions of X-Road that this project installs call compatible (`_backup_restore_common.sh`)."""
_START_SECONDS = 180
"""How long a restarted server may take until its API answers."""
_AUTOLOGIN_SECONDS = 60
"""How long X-Road's autologin may take; then the PIN is entered here."""


@dataclass(frozen=True)
class Restoration:
    """A backup that may be brought back to a host, and what that means."""

    server: Server
    file: Path
    sha256: str
    manifest: Manifest | None
    archive: Archive
    holds: str
    """What the host's server is now; empty if it was never initialised."""
    resumed: bool
    """An earlier run began it and was interrupted."""

    def lines(self) -> list[str]:
        """What will be done, for people."""
        taken = (
            f"taken at {self.manifest.taken_at:%Y-%m-%d %H:%M:%S}Z" if self.manifest else "of an unknown time"
        )
        lines = [
            f"restore  {self.server.identity} on {self.server.host}",
            f"from     {self.file}, {taken}, signed by that server's key",
            f"now      the server there is {self.holds or 'not initialised'}",
            "then     its configuration, keys and certificates are the backup's, and its services restart",
            "then     settings, TLS certificate and an API key are made this host's; its token is opened",
            "lost     what changed after the backup, and this host's message log",
        ]
        if self.resumed:
            lines.append("again    an earlier run was interrupted: it is done from the beginning")
        return lines

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {
            "host": self.server.host,
            "identity": self.server.identity,
            "file": str(self.file),
            "sha256": self.sha256,
            "manifest": self.manifest.model_dump(mode="json") if self.manifest else None,
            "replaces": self.holds,
            "resumed": self.resumed,
        }


def examine(run: Run, server: Server, file: Path, *, force: bool) -> Restoration:
    """Look at the backup and at the host, and change nothing. Failure unless the one may go onto the other.

    `force` lets a server that works be replaced, and a backup of another operating system be taken.
    """
    manifest = kept.manifest_of(file)
    found = check(server, file, manifest, _key(run.workspace, server), force=force)
    sha256 = manifest.sha256 if manifest else kept.digest(file.read_bytes())
    resumed = _begun(run.workspace, server) == sha256
    # Half-way through, the database has the former host's API keys: nobody could ask.
    holds = "" if resumed else _asked(run, server)
    if holds and not force:
        raise Failure(
            f"{server.host} isn't empty: {holds}",
            details="a restoration replaces its configuration, its keys and its certificates",
            next_step="# if that is what you want, say --force",
            code=ExitCode.BAD_INPUT,
        )
    return Restoration(server, file, sha256, manifest, found, holds, resumed)


def check(server: Server, file: Path, manifest: Manifest | None, key: str, *, force: bool) -> Archive:
    """The backup's archive; Failure unless it is this server's, whole, and of a version to go on from."""
    try:
        found = archive.read(file, key)
    except ArchiveError as error:
        raise _refused(f"{file} can't be restored: {error}") from None
    if (found.kind, found.identity) != (server.kind, server.identity):
        raise _refused(
            f"{file} is the backup of {found.kind} server {found.identity}, and {server.host} is "
            f"{server.kind} server {server.identity}"
        )
    if manifest is not None and manifest.identity != server.identity:
        raise _refused(f"the manifest of {file} is of {manifest.identity}, not of {server.identity}")
    if found.generation != _GENERATION:
        raise _refused(
            f"{file} is of generation {found.generation}: X-Road {server.version} takes {_GENERATION}"
        )
    if manifest is None:
        return found
    try:
        refuse_backup(manifest.version, server.version)
    except RefusedStepError as error:
        raise _refused(str(error)) from None
    if manifest.system != server.system and not force:
        raise _refused(
            f"the backup is of a host with {manifest.system}, and {server.host} has {server.system}",
            "# files of one system aren't always right for another; to do it all the same, say --force",
        )
    return found


def restore(run: Run, chosen: Restoration) -> None:
    """Bring the backup back, and wait until the server works. An interrupted run is finished by another one."""
    began, result, changed = time.monotonic(), "failed", 0
    write_atomically(_marker(run.workspace, chosen.server), json.dumps({"sha256": chosen.sha256}) + "\n")
    try:
        changed = _bring(run, chosen)
        run.report.progress("the server starts")
        try:
            federation.with_servers(run, lambda servers: settle(servers, chosen.server))
        except ProviderError as error:
            raise Failure(
                f"{chosen.server.host} was restored and doesn't work yet",
                details=str(error),
                next_step=run.continuation,
            ) from None
        _marker(run.workspace, chosen.server).unlink()
        result = "ok"
    finally:
        run.record(
            f"restore {chosen.server.host}",
            result=result,
            changed=changed,
            seconds=round(time.monotonic() - began, 1),
            backup=chosen.sha256,
        )


async def holding(servers: Servers, server: Server) -> str:
    """What the server of a host is; empty if it was never initialised."""
    if server.kind == "central":
        central = await servers.central.initialization()
        if central.instance_identifier:
            return f"central server of {central.instance_identifier}"
        return "a central server that was begun" if central.token_initialized else ""
    status = await servers.security(server.host).initialization()
    if status.complete:
        return "a security server that is initialised"
    begun = status.token_initialized or status.is_server_code_initialized or status.is_server_owner_initialized
    return "a security server that was begun" if begun else ""


async def settle(servers: Servers, server: Server) -> None:
    """Wait until a restored server answers as itself with its token open. DeadlineError says what it lacks."""

    async def itself() -> bool:
        try:
            return bool(await holding(servers, server))
        except ApiError as error:
            # Until the server knows its new API key.
            if error.status == 401:
                return False
            raise

    await until(itself, f"{server.host}: its configuration", deadline_seconds=_START_SECONDS)
    api = servers.central if server.kind == "central" else servers.security(server.host)

    async def open_now() -> bool:
        return all(token.logged_in for token in await api.tokens())

    try:
        await until(open_now, f"{server.host}: its token", deadline_seconds=_AUTOLOGIN_SECONDS)
    except DeadlineError:
        for token in await api.tokens():
            await open_token(token, server.host, lambda: servers.pin(server.host), api.log_in)
    if server.kind == "security":

        async def configured() -> bool:
            return (await servers.security(server.host).configuration_diagnostics()).status_class == "OK"

        await servers.until(configured, f"{server.host}: the global configuration")
        # The server has it from the global configuration too, so this comes last.
        found = await servers.security(server.host).own_identity()
        own = found.id.replace(":", "/") if found else ""
    else:
        own = (await servers.central.initialization()).instance_identifier
    if own != server.identity:
        raise ProviderError(f"{server.host} says that it is {own}, not {server.identity}")


def _bring(run: Run, chosen: Restoration) -> int:
    """Have the host's server take the backup back, by the roles; how many things changed."""
    # What the file is called on this machine is no name for X-Road.
    name = f"conf_backup_restored_{chosen.sha256[:16]}.gpg"
    return run_playbook(
        run.workspace,
        "restore_server",
        run.report,
        lock=run.lock,
        hosts=[chosen.server.host],
        variables={"xroad_server_restoration": {"file": str(chosen.file), "name": name}},
    ).changed


def _asked(run: Run, server: Server) -> str:
    """What the host's server is now."""
    try:
        return federation.with_servers(run, lambda servers: holding(servers, server))
    except ProviderError as error:
        raise Failure(
            f"the server on {server.host} can't be asked what it is",
            details=str(error),
            next_step=f"{run.workspace.apply_command} --stage exchange   # installs it and makes its API key",
        ) from None


def _key(workspace: Workspace, server: Server) -> str:
    path = workspace.secrets.path(backup_key(server.host))
    try:
        return path.read_text(encoding="ascii")
    except OSError as error:
        raise Failure(
            f"the key that opens the backups of '{server.host}' isn't in the secret store: {error.strerror}",
            details=f"it lies in {path} since the first `smartgouv backup`, and on the lost host",
            next_step="# bring it from a copy of the secret store; or open the backup with a key of "
            "federation.backups, by X-Road's manual (ug-ss 13.2)",
            code=ExitCode.BAD_INPUT,
        ) from None


def _refused(message: str, next_step: str = "# take another one: --backup FILE") -> Failure:
    return Failure(message, details="nothing was touched", next_step=next_step, code=ExitCode.BAD_INPUT)


def _marker(workspace: Workspace, server: Server) -> Path:
    """Says that a restoration began, so that what is half-way isn't taken for a server that works."""
    return workspace.directory / f"restoration-{server.host}.json"


def _begun(workspace: Workspace, server: Server) -> str:
    marker = _marker(workspace, server)
    if not marker.is_file():
        return ""
    sha256: str = json.loads(marker.read_text(encoding="utf-8"))["sha256"]
    return sha256
