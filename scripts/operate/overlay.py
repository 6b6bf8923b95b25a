"""The overlay file of a deployment: what only this machine knows about a site."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from estate import EstateError
from estate.load import load_overlay
from estate.site import Overlay
from operate.files import write_atomically
from operate.workspace import Workspace, refused

_HEADING = "# Written by scripts/lab: where this lab lies and which images it built.\n"


def read(workspace: Workspace) -> Overlay:
    """The overlay, or an empty one where there is no file."""
    if not workspace.overlay_file.exists():
        return Overlay()
    try:
        return load_overlay(workspace.overlay_file)
    except EstateError as error:
        raise refused(error) from error


def write(workspace: Workspace, overlay: Overlay) -> bool:
    """Write the overlay if it isn't what the file says; return whether it was written."""
    text = _HEADING + _dump(overlay.model_dump(mode="json", exclude_none=True))
    if workspace.overlay_file.exists() and workspace.overlay_file.read_text(encoding="utf-8") == text:
        return False
    write_atomically(workspace.overlay_file, text, mode=0o600)
    return True


def with_images(workspace: Workspace, digests: Mapping[str, str]) -> bool:
    """Record the digests of images that were pushed; return whether that changed anything."""
    data = read(workspace).model_dump(mode="json")
    data["images"] = {**data["images"], **digests}
    return write(workspace, Overlay.model_validate(data))


def with_next_generation(workspace: Workspace, authority: str, generation: int) -> None:
    """Record that an issuing authority of a lab is replaced by one of this generation."""
    data = read(workspace).model_dump(mode="json")
    data["generations"] = {**data["generations"], authority: generation}
    write(workspace, Overlay.model_validate(data))


def _dump(value: dict[str, Any]) -> str:
    stream = io.StringIO()
    yaml.safe_dump(value, stream, sort_keys=True, default_flow_style=False)
    return stream.getvalue()


def path_of(workspace: Workspace) -> Path | None:
    """The overlay file where there is one."""
    return workspace.overlay_file if workspace.overlay_file.exists() else None
