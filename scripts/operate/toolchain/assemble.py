"""All of the tool chain in one call."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from operate.reporting import Report
from operate.toolchain import binaries, debs, images, mirror, node_image
from operate.toolchain.images import Image
from operate.toolchain.mirror import Mirror
from operate.toolchain.node_image import NodeImage
from operate.toolchain.progress import Reported
from operate.toolchain.store import place


@dataclass(frozen=True)
class Toolchain:
    """What a lab is built from."""

    binaries: Path
    """A folder with all programs, to be put on PATH: helm, kubectl, pulumi, step, …"""
    versions: dict[str, str] = field(repr=False)
    """Of the programs, by module: v1.2.3."""
    node_image: str
    """The nodes' image in podman's storage."""
    mirror: Path
    """The folder to be mounted at /srv/mirror on every node."""
    images: dict[str, Image] = field(repr=False)
    """Container images by name, not yet in any registry."""


def ensure(report: Report) -> Toolchain:
    """The tool chain as the sources describe it: minutes on first use, about a second afterwards."""
    progress = Reported(report)
    node = node_image.ensure(progress)
    programs = binaries.ensure(progress)
    packages = ensure_mirror(report, node, programs)
    containers = images.ensure(progress, programs)
    return Toolchain(place("bin"), programs.versions, node.reference, packages.folder, containers)


def ensure_mirror(
    report: Report,
    node: NodeImage | None = None,
    programs: binaries.Binaries | None = None,
    *,
    refresh: bool = False,
) -> Mirror:
    """The package mirror alone, with what it is made from."""
    progress = Reported(report)
    node = node or node_image.ensure(progress)
    programs = programs or binaries.ensure(progress)
    return mirror.ensure(progress, node, debs.ensure(progress, programs), refresh=refresh)
