"""The command line of the tool chain: python -m operate.toolchain --help."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from operate import command_line
from operate.failure import ExitCode, Failure
from operate.locations import cache_home
from operate.reporting import Report
from operate.toolchain import assemble, binaries, images, node_image
from operate.toolchain.commands import run
from operate.toolchain.progress import Reported

application = typer.Typer(no_args_is_help=True, help=__doc__, add_completion=False)

Json = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON; progress goes to standard error.")
]

_PARTS = {
    "binaries": ("bin", "binaries", "files", "go"),
    "images": ("images", "images.json", "python-packages"),
    "mirror": ("mirror", "mirror-apt", "deb", "debs"),
    "node-image": ("node-image",),
}
"""What each part keeps in the cache. The mirror's key stays: node images trust it."""


_IMAGES = {
    "images": (f"{images.PREFIX}/", f"{images.PREFIX}-python:"),
    "node-image": (f"{node_image.NAME}:",),
}
"""What each part keeps in podman's storage."""


def _do(as_json: bool, work: Callable[[Report], Any]) -> None:
    report = Report(as_json=as_json)
    with command_line.reported(report, interrupted="The same command goes on where this one stopped."):
        with report.working("tool chain"):
            result = work(report)
        report.document(result)


@application.command("all")
def build_all(*, as_json: Json = False) -> None:
    """Build whatever is missing of all parts."""

    def work(report: Report) -> dict[str, Any]:
        built = assemble.ensure(report)
        return {
            "binaries": built.binaries,
            "versions": built.versions,
            "node_image": built.node_image,
            "mirror": built.mirror,
            "images": {image.name: image.digest for image in built.images.values()},
        }

    _do(as_json, work)


@application.command("binaries")
def build_binaries(*, as_json: Json = False) -> None:
    """Build the programs from their Go modules."""
    _do(as_json, lambda report: binaries.ensure(Reported(report)).programs)


@application.command("node-image")
def build_node_image(*, as_json: Json = False) -> None:
    """Build the golden image of the lab's nodes."""
    _do(as_json, lambda report: {"reference": node_image.ensure(Reported(report)).reference})


@application.command("mirror")
def fill_mirror(
    *,
    refresh: Annotated[bool, typer.Option(help="Look for newer versions of all packages.")] = False,
    as_json: Json = False,
) -> None:
    """Mirror the packages that the roles name, and our own."""

    def work(report: Report) -> dict[str, Any]:
        mirror = assemble.ensure_mirror(report, refresh=refresh)
        report.line(f"{mirror.folder} holds {mirror.packages} packages, index {mirror.key}")
        return {"folder": mirror.folder, "key": mirror.key, "packages": mirror.packages}

    _do(as_json, work)


@application.command("images")
def build_images(*, as_json: Json = False) -> None:
    """Build the container images."""

    def work(report: Report) -> dict[str, str]:
        progress = Reported(report)
        built = images.ensure(progress, binaries.ensure(progress))
        return {image.name: image.digest for image in built.values()}

    _do(as_json, work)


@application.command()
def status(*, as_json: Json = False) -> None:
    """Show what is built and how much room it takes. Builds nothing."""

    def work(report: Report) -> dict[str, Any]:
        sizes = {part: sum(map(_size, _places(part))) for part in _PARTS}
        modules = binaries.present()
        for part, size in sizes.items():
            report.line(f"{part:<12}{size / 2**20:>8.0f} MiB" if size else f"{part:<12}     none")
        missing = [name for name, there in modules.items() if not there]
        report.line(f"programs to build: {', '.join(missing) or 'none'}")
        return {"cache": cache_home(), "bytes": sizes, "missing_binaries": missing}

    _do(as_json, work)


@application.command()
def clean(
    part: Annotated[
        str, typer.Argument(help=f"One of {', '.join(_PARTS)}; all parts where none is named.")
    ] = "",
    *,
    as_json: Json = False,
) -> None:
    """Remove parts from the cache. Don't do this while a lab is up: its nodes use the mirror."""

    def work(report: Report) -> dict[str, Any]:
        if part and part not in _PARTS:
            raise Failure(
                f"there's no part '{part}'",
                details=f"parts: {', '.join(_PARTS)}",
                code=ExitCode.BAD_INPUT,
            )
        removed = 0
        used: list[str] = []
        for name in [part] if part else _PARTS:
            for path in _places(name):
                removed += _size(path)
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            used += _remove_images(name)
        report.line(f"{removed / 2**20:.0f} MiB removed from {cache_home()}")
        if used:
            report.warning(f"kept in podman, because containers use them: {', '.join(used)}")
        return {"removed_bytes": removed, "kept_images": used}

    _do(as_json, work)


def _remove_images(part: str) -> list[str]:
    """Remove a part's images from podman's storage; returns those that containers use."""
    prefixes = _IMAGES.get(part, ())
    names = run(["podman", "images", "--format", "{{.Repository}}:{{.Tag}}"], purpose="listing images")
    used = []
    for name in names.splitlines():
        if name.startswith(prefixes):
            try:
                run(["podman", "rmi", name], purpose="removing an image")
            except Failure:
                used.append(name)
    return used


def _places(part: str) -> list[Path]:
    return [path for name in _PARTS[part] if (path := cache_home() / name).exists()]


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(file.lstat().st_size for file in path.rglob("*") if file.is_file() and not file.is_symlink())


if __name__ == "__main__":
    command_line.run(application, "python -m operate.toolchain")
