"""Programs built from pinned Go modules, each module once, under a name made of everything that shapes it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from pydantic import BaseModel, ConfigDict
from ruamel.yaml import YAML

from operate.failure import Failure
from operate.toolchain.commands import run
from operate.toolchain.go import Go, find, find_present
from operate.toolchain.progress import Progress
from operate.toolchain.store import SOURCES, building, digest, locked, place, point, require_room

MODULES = SOURCES / "modules"

_LINKING = "-s -w"
"""Without symbol tables and debugging data: a third smaller."""

_ENVIRONMENT = {"GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": ""}
"""What keeps a build apart from the settings of this machine's Go."""

_ROOM_COLD_GIB = 20
"""Go's module and build caches after a build of everything."""


class Description(BaseModel):
    """What binaries.yml says about a module."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    module: str
    stamps: dict[str, str] = {}
    names: dict[str, str] = {}
    version: dict[str, list[str]] = {}
    cgo: bool = False
    tags: list[str] = []
    files: list[str] = []
    """What is kept of the module's own folder: paths in it."""


@dataclass(frozen=True)
class Module:
    """One of our Go modules and the programs that come out of it."""

    name: str
    description: Description
    folder: Path

    @cached_property
    def version(self) -> str:
        """The version of its programs, as Go writes it: v1.2.3."""
        required = rf"^(?:require)?\s*{re.escape(self.description.module)} (v\S+)"
        match = re.search(required, self._requirements, re.MULTILINE)
        if match is None:
            raise Failure(
                f"{self.folder / 'go.mod'} doesn't require {self.description.module}",
                details="binaries.yml takes the version of the programs from there",
                next_step=f"cd {self.folder} && go get {self.description.module}@VERSION",
            )
        return match[1].removesuffix("+incompatible")

    @cached_property
    def programs(self) -> dict[str, str]:
        """The programs by name, and the package of each: the tool lines of go.mod."""
        block = re.search(r"^tool \(\n(.*?)^\)", self._requirements, re.MULTILINE | re.DOTALL)
        packages = block[1].split() if block else []
        packages += re.findall(r"^tool ([^(\s]\S*)$", self._requirements, re.MULTILINE)
        return {self._program(package): package for package in packages}

    @cached_property
    def stamps(self) -> dict[str, str]:
        """Linker variables and their values."""
        number = self.version.removeprefix("v")
        major, minor, *_ = number.split(".")
        values = {"version": self.version, "number": number, "major": major, "minor": minor}
        return {variable: text.format(**values) for variable, text in self.description.stamps.items()}

    def key(self, go: Go) -> str:
        """A name for what a build with this Go would give."""
        shape = [go.version, _LINKING, json.dumps(self.stamps), json.dumps(self.programs)]
        if self.description.cgo or self.description.tags:
            shape.append(json.dumps([self.description.cgo, self.description.tags]))
        if self.description.files:
            shape.append(json.dumps(self.description.files))
        return digest(self._requirements, (self.folder / "go.sum").read_bytes(), *shape)

    def version_arguments(self, program: str) -> list[str]:
        """How to ask a program for its version."""
        return self.description.version.get(program, ["--version"])

    @cached_property
    def _requirements(self) -> str:
        return (self.folder / "go.mod").read_text(encoding="utf-8")

    def _program(self, package: str) -> str:
        name = built_name(package)
        return self.description.names.get(name, name)


def built_name(package: str) -> str:
    """What `go build` calls the program of a package: its last part that isn't a major version."""
    parts = package.split("/")
    return parts[-2] if re.fullmatch(r"v\d+", parts[-1]) else parts[-1]


def modules() -> list[Module]:
    """All of our Go modules, the long build first."""
    described = YAML(typ="safe").load(SOURCES / "binaries.yml")
    return [Module(name, Description.model_validate(text), MODULES / name) for name, text in described.items()]


@dataclass(frozen=True)
class Binaries:
    """Where each program lies, and its version."""

    programs: dict[str, Path]
    versions: dict[str, str]
    """By module name: v1.2.3."""
    files: dict[str, Path] = field(default_factory=dict)
    """By module name: the folder with what is kept of the module's own."""


def ensure(progress: Progress) -> Binaries:
    """All programs, built where they are missing."""
    go = find(progress)
    programs: dict[str, Path] = {}
    versions: dict[str, str] = {}
    files: dict[str, Path] = {}
    with locked("binaries"):
        for module in modules():
            folder = _folder(module, go)
            if not folder.is_dir():
                cold = not any(folder.parent.glob("*"))
                require_room(_ROOM_COLD_GIB if cold else 2, f"building {module.name}")
                with progress.step(
                    "binaries", f"{module.name} {module.version}, built with {go.version}"
                ) as step:
                    with building(folder) as new:
                        _build(module, go, new)
                    size = sum(path.stat().st_size for path in (folder / "bin").iterdir())
                    step.note(f"{size / 2**20:.0f} MiB")
            programs |= {name: folder / "bin" / name for name in module.programs}
            versions[module.name] = module.version
            if module.description.files:
                files[module.name] = folder / "files"
                point(place("files", module.name), folder / "files")
        for name, path in programs.items():
            point(place("bin", name), path)
    return Binaries(programs, versions, files)


def present() -> dict[str, bool]:
    """Which modules are built; builds and installs nothing."""
    go = find_present()
    return {module.name: go is not None and _folder(module, go).is_dir() for module in modules()}


def _folder(module: Module, go: Go) -> Path:
    return place("binaries", f"{module.name}-{module.key(go)}")


def _build(module: Module, go: Go, folder: Path) -> None:
    out = folder / "bin"
    out.mkdir()
    stamps = " ".join(f"-X {variable}={value}" for variable, value in module.stamps.items())
    run(
        [
            *(go.program, "build", "-trimpath", "-buildvcs=false", "-mod=readonly"),
            f"-tags={','.join(module.description.tags)}",
            f"-ldflags={_LINKING} {stamps}".rstrip(),
            *("-o", f"{out}/", "tool"),
        ],
        purpose=f"building {module.name} {module.version}",
        next_step="go env GOPROXY GOSUMDB   # can Go reach its module proxy?",
        directory=module.folder,
        environment={"CGO_ENABLED": "1" if module.description.cgo else "0", **_ENVIRONMENT},
    )
    for program, package in module.programs.items():
        if built_name(package) != program:
            (out / built_name(package)).rename(out / program)
        _prove(module, program, out / program)
    _keep_files(module, go, folder / "files")


def _keep_files(module: Module, go: Go, folder: Path) -> None:
    """Copy what is kept of the module's own folder, where Go has everything read-only."""
    if not module.description.files:
        return
    found = run(
        [go.program, "list", "-mod=readonly", "-m", "-f={{.Dir}}", module.description.module],
        purpose=f"finding the folder of {module.description.module}",
        directory=module.folder,
        environment=_ENVIRONMENT,
    )
    folder.mkdir()
    run(
        [
            *("cp", "--recursive", "--parents", "--no-preserve=mode", f"--target-directory={folder}"),
            *module.description.files,
        ],
        purpose=f"keeping files of {module.name}",
        directory=Path(found.strip()),
    )


def _prove(module: Module, program: str, path: Path) -> None:
    """Refuse a program that doesn't call itself by the version that it was built from."""
    shown = run(
        [str(path), *module.version_arguments(program)],
        purpose=f"asking {program} for its version",
        with_errors=True,
    )
    if module.version.removeprefix("v") not in shown:
        raise Failure(
            f"{program} was built from {module.version} and calls itself '{shown.strip()[:80]}'",
            next_step="correct the stamps in scripts/toolchain/binaries.yml",
        )
