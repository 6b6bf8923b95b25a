"""Where backups lie on this machine: one folder a host, each file with its manifest beside it.

A backup is there when its manifest is, which is written last. All files are for their owner alone.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from operate.failure import ExitCode, Failure
from operate.files import private_directory, write_atomically
from operate.workspace import Workspace

_MANIFEST = ".json"


class Manifest(BaseModel):
    """What is known of a backup beside what it says itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str
    identity: str
    version: str
    """Of X-Road on the server that made it."""
    system: str
    """That host's operating system."""
    taken_at: datetime
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(gt=0)
    """Bytes."""


def folder(workspace: Workspace, chosen: Path | None) -> Path:
    """Where this deployment's backups lie, unless another folder was chosen."""
    return chosen.absolute() if chosen is not None else workspace.directory / "backups"


def digest(sealed: bytes) -> str:
    """SHA-256 of a backup."""
    return hashlib.sha256(sealed).hexdigest()


def keep(place: Path, name: str, sealed: bytes, manifest: Manifest) -> Path:
    """Write a backup and then its manifest, each whole or not at all."""
    own = private_directory(private_directory(place) / manifest.host)
    for part in own.glob(".*.gpg*"):
        # What a killed run left.
        part.unlink()
    path = own / name
    write_atomically(path, sealed, mode=0o600)
    write_atomically(beside(path), manifest.model_dump_json(indent=2) + "\n", mode=0o600)
    return path


def beside(path: Path) -> Path:
    """The manifest's file of a backup's file."""
    return path.with_name(path.name + _MANIFEST)


def latest(place: Path, host: str) -> Path:
    """The last backup of a host that was taken; Failure if there is none."""
    found = {
        manifest.name.removesuffix(_MANIFEST): _read(manifest).taken_at
        for manifest in (place / host).glob(f"*.gpg{_MANIFEST}")
    }
    if not found:
        raise Failure(
            f"there is no backup of '{host}' in {place}",
            next_step="# fetch one from where the estate has them brought, then say --backup FILE",
            code=ExitCode.BAD_INPUT,
        )
    return place / host / max(found, key=lambda name: found[name])


def manifest_of(path: Path) -> Manifest | None:
    """The manifest of a backup; None where there is none, as beside those that a host's timer brought away.

    Failure if the backup isn't what the manifest says.
    """
    try:
        sealed = path.read_bytes()
    except OSError as error:
        raise Failure(f"{path} can't be read: {error.strerror}", code=ExitCode.BAD_INPUT) from None
    if not beside(path).exists():
        return None
    manifest = _read(beside(path))
    if len(sealed) != manifest.size:
        raise Failure(
            f"the backup {path} is damaged: {len(sealed)} bytes, {manifest.size} were taken",
            next_step="# take another one: --backup FILE",
            code=ExitCode.BAD_INPUT,
        )
    if digest(sealed) != manifest.sha256:
        raise Failure(
            f"the backup {path} is damaged or was changed: its SHA-256 isn't that of its manifest",
            next_step="# take another one: --backup FILE",
            code=ExitCode.BAD_INPUT,
        )
    return manifest


def _read(path: Path) -> Manifest:
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise Failure(
            f"the manifest {path} can't be read",
            details=str(error),
            next_step=f"rm {path}   # the backup then has to speak for itself",
            code=ExitCode.BAD_INPUT,
        ) from None
