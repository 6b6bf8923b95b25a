"""Our own Debian packages: programs from our Go modules and in Python, and the X-Road simulator for the lab."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict
from ruamel.yaml import YAML

from operate.failure import Failure
from operate.locations import ROOT, cache_home
from operate.toolchain import python_packages
from operate.toolchain.binaries import Binaries
from operate.toolchain.commands import run
from operate.toolchain.progress import Progress
from operate.toolchain.store import SOURCES, building, digest, entry, locked, place

SIMULATOR = ROOT / "tests" / "doubles" / "xroad_simulator"

_EPOCH = "1735689600"
_FIELDS = {
    "Maintainer": "Site operations <operations@site.invalid>",
    "Section": "admin",
    "Priority": "optional",
}
_SCRIPTS = ("preinst", "postinst", "prerm", "postrm")
_RELOAD = """#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
fi
"""


class Description(BaseModel):
    """What debs.yml says about a package."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    module: str | None = None
    programs: list[str] = []
    files: dict[str, str] = {}
    """Where files and folders of the module go that belong to its programs: their path there → on a host."""
    python: bool = False
    """Whether the package is a Python program of ours, with its requirements, in debs/<package>."""
    summary: str
    depends: list[str] = []
    conflicts: list[str] = []
    revision: int = 1


@dataclass(frozen=True)
class Package:
    """A package to be built: its control fields, its files, its scripts."""

    fields: dict[str, str]
    files: dict[str, Path]
    """Absolute path on the host → file here; paths under a `bin` folder become executable."""
    scripts: dict[str, str]

    @property
    def name(self) -> str:
        """The package's name."""
        return self.fields["Package"]

    def control(self) -> str:
        """The control file."""
        return "".join(f"{field}: {value}\n" for field, value in self.fields.items())

    def key(self) -> str:
        """A name for everything in the package. What comes from the cache is told apart by its place there."""
        parts: list[str | bytes] = [self.control(), json.dumps(self.scripts, sort_keys=True)]
        for target, source in sorted(self.files.items()):
            parts += [
                target,
                entry(source) if source.is_relative_to(cache_home()) else source.read_bytes(),
            ]
        return digest(*parts)


def packages(binaries: Binaries, progress: Progress) -> list[Package]:
    """All of our packages as the sources describe them now."""
    architecture = run(["dpkg", "--print-architecture"], purpose="asking for the architecture").strip()
    own = []
    for name, content in YAML(typ="safe").load(SOURCES / "debs.yml").items():
        text = Description.model_validate(content)
        if text.python:
            own.append(_of_python(name, text, architecture, progress))
        else:
            own.append(_of_programs(name, text, binaries, architecture))
    return own + list(_of_simulator())


def ensure(progress: Progress, binaries: Binaries) -> Path:
    """A folder with all packages and an index of them, built where it is missing."""
    wanted = packages(binaries, progress)
    folder = place("debs", digest(*(package.key() for package in wanted)))
    with locked("debs"):
        if not folder.is_dir():
            with progress.step("packages", "our own") as step, building(folder) as new:
                for package in wanted:
                    built = _built(package)
                    (new / built.name).hardlink_to(built)
                index = run(["apt-ftparchive", "packages", "."], purpose="indexing packages", directory=new)
                (new / "Packages").write_text(index, encoding="utf-8")
                step.note(f"{len(wanted)} packed")
    return folder


def _of_programs(name: str, text: Description, binaries: Binaries, architecture: str) -> Package:
    version = f"{binaries.versions[str(text.module)].removeprefix('v')}-{text.revision}"
    fields = {"Package": name, "Version": version, "Architecture": architecture, **_FIELDS}
    if text.depends:
        fields["Depends"] = ", ".join(text.depends).format(version=version)
    if text.conflicts:
        fields["Conflicts"] = fields["Replaces"] = ", ".join(text.conflicts)
    fields["Description"] = text.summary
    files = {f"/usr/bin/{program}": binaries.programs[program] for program in text.programs}
    for source, target in text.files.items():
        found = binaries.folders[str(text.module)] / source
        files |= (
            {f"{target}{path}": file for path, file in _tree(found).items()}
            if found.is_dir()
            else {target: found}
        )
    files |= _tree(SOURCES / "debs" / name)
    scripts = {"postinst": _RELOAD} if any(path.endswith(".service") for path in files) else {}
    return Package(fields, files, scripts)


def _of_python(name: str, text: Description, architecture: str, progress: Progress) -> Package:
    application = python_packages.application(name, progress)
    fields = {
        "Package": name,
        "Version": _version_of(SOURCES / "debs" / name),
        "Architecture": architecture,
        **_FIELDS,
        "Depends": ", ".join(text.depends),
        "Description": text.summary,
    }
    return Package(fields, application.tree(), {})


def _of_simulator() -> Iterator[Package]:
    for folder in sorted((SIMULATOR / "packaging").glob("*")):
        if not (folder / "control").is_file():
            continue
        given = (folder / "control").read_text(encoding="utf-8").strip()
        name = _field(given, "Package", folder)
        fields = {"Package": name, "Version": _version_of(SIMULATOR), "Architecture": "all", **_FIELDS}
        # The description may run over several lines, so it goes last and as it is.
        rest, _, description = given.partition("\nDescription:")
        for line in rest.splitlines():
            field, separator, value = line.partition(":")
            if separator and not line.startswith(" "):
                fields[field] = value.strip()
            elif line.strip():
                last = next(reversed(fields))
                fields[last] += f" {line.strip()}"
        fields["Description"] = description.strip() or "X-Road simulator: test equipment"
        python = {
            f"/usr/share/{name}/xroad_simulator{target}": source
            for target, source in _tree(SIMULATOR).items()
            if not target.startswith("/packaging/")
        }
        units = {f"/usr/lib/systemd/system/{unit.name}": unit for unit in sorted(folder.glob("*.service"))}
        scripts = {
            script: (folder / script).read_text(encoding="utf-8")
            for script in (*_SCRIPTS, "conffiles")
            if (folder / script).is_file()
        }
        scripts.setdefault("postinst", _RELOAD)
        yield Package(fields, python | units | _tree(folder / "root"), scripts)


def _field(control: str, field: str, folder: Path) -> str:
    for line in control.splitlines():
        if line.startswith(f"{field}:"):
            return line.partition(":")[2].strip()
    raise Failure(f"{folder / 'control'} lacks the field {field}", next_step="see scripts/toolchain/README.md")


def _version_of(sources: Path) -> str:
    """Newer code gives a higher version: the last commit's time; with changes, the newest file's."""
    git = ["git", "-C", str(ROOT)]
    changed = subprocess.run(
        [*git, "status", "--porcelain", "--", str(sources)], capture_output=True, text=True, check=False
    )
    committed = subprocess.run(
        [*git, "log", "-1", "--format=%ct", "--", str(sources)], capture_output=True, text=True, check=False
    )
    if changed.returncode == 0 and not changed.stdout.strip() and committed.stdout.strip():
        moment = int(committed.stdout)
    else:
        moment = int(max(source.stat().st_mtime for source in _tree(sources).values()))
    return f"0.1.0+{time.strftime('%Y%m%d.%H%M%S', time.gmtime(moment))}"


def _tree(folder: Path) -> dict[str, Path]:
    """The files below a folder by the path that they have on a host."""
    return {
        f"/{path.relative_to(folder)}": path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def _built(package: Package) -> Path:
    folder = place("deb", f"{package.name}-{package.key()}")
    if not folder.is_dir():
        with building(folder) as new:
            _build(package, new)
    return next(folder.glob("*.deb"))


def _build(package: Package, folder: Path) -> None:
    root = folder / "root"
    for target, source in package.files.items():
        path = root / target.removeprefix("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, path)
        path.chmod(0o755 if path.parent.name in ("bin", "sbin", "scripts") else 0o644)
    control = root / "DEBIAN"
    control.mkdir()
    (control / "control").write_text(package.control(), encoding="utf-8")
    for script, text in package.scripts.items():
        (control / script).write_text(text, encoding="utf-8")
        (control / script).chmod(0o644 if script == "conffiles" else 0o755)
    version = package.fields["Version"]
    run(
        [
            *("dpkg-deb", "--root-owner-group", "-Zzstd", "-z6", "--build", str(root)),
            str(folder / f"{package.name}_{version}_{package.fields['Architecture']}.deb"),
        ],
        purpose=f"packing {package.name}",
        environment={"SOURCE_DATE_EPOCH": _EPOCH},
    )
    shutil.rmtree(root)
