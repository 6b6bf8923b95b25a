"""Container images: the cluster's own from our programs, the applications' from their folders.

Each image is built once without a network and kept as an OCI layout, so its digest is known before any
registry exists and pushing only uploads.
"""

from __future__ import annotations

import json
import os
import shutil
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict
from ruamel.yaml import YAML

from operate.files import write_atomically
from operate.locations import ROOT
from operate.toolchain import apt_source, python_packages
from operate.toolchain.binaries import Binaries
from operate.toolchain.commands import run
from operate.toolchain.progress import Progress
from operate.toolchain.store import (
    SOURCES,
    building,
    digest,
    entry,
    locked,
    place,
    require_room,
    tree_digest,
)

APPLICATIONS = SOURCES / "images"
SHARED = APPLICATIONS / "shared"
"""Python packages that more than one application takes in."""
PREFIX = "localhost/smartgouv"

_EPOCH = "1735689600"
_FORMAT = "1"
"""Changed when all images are to be built anew although none of their parts has changed."""
_PYTHON_PACKAGES = ("base-files", "dash", "media-types", "netbase", "python3", "tzdata")
_ACCOUNTS = "root:x:0:0:root:/root:/usr/sbin/nologin\napplication:x:65532:65532::/:/usr/sbin/nologin\n"
_GROUPS = "root:x:0:\napplication:x:65532:\n"


class Description(BaseModel):
    """What images.yml says about an image."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    module: str | None = None
    programs: list[str] = []
    python: str | None = None
    """A Python program of ours, from debs/<name>."""
    local: bool = False
    """Whether it runs on this machine alone, so that no registry gets it and no estate names it."""
    packages: list[str] = []
    entrypoint: list[str] = []
    version: str | None = None
    files: dict[str, str] = {}
    """What the module keeps of its own folder → where it lies in the image. A *.sh can be executed there."""
    links: dict[str, str] = {}
    """A symbolic link in the image → what it names."""
    without: list[str] = []
    """Patterns of files that are left out of the packages."""

    def shape(self) -> str:
        """What of it shapes an image; what says nothing doesn't, so that the other images keep their keys."""
        return self.model_dump_json(
            exclude={name for name in ("files", "links", "without") if not getattr(self, name)}
        )


@dataclass(frozen=True)
class Image:
    """A built image."""

    name: str
    version: str
    key: str
    """Names everything that shapes it."""
    digest: str
    """Of its manifest, as a registry will know it: sha256:…"""
    layout: Path
    """Its OCI layout."""

    @property
    def reference(self) -> str:
        """Its name in this machine's container storage."""
        return f"{PREFIX}/{self.name}:{self.key}"


def ensure(progress: Progress, binaries: Binaries) -> dict[str, Image]:
    """All images for registries by name, built where they are missing; the local ones are built as well."""
    images: dict[str, Image] = {}
    with locked("images"):
        for name, text in described().items():
            built = _of_parts(name, text, binaries, progress)
            if not text.local:
                images[name] = built
        for folder in applications():
            images[folder.name] = _of_application(folder, progress)
        write_atomically(place("images.json"), manifest(images))
    return images


def local(name: str, progress: Progress) -> Image:
    """An image for this machine alone, built if it is missing."""
    with locked("images"):
        return _of_parts(name, described()[name], Binaries({}, {}), progress)


def manifest(images: Mapping[str, Image]) -> str:
    """What was built, for people and other programs."""
    return json.dumps(
        {
            image.name: {
                "reference": image.reference,
                "version": image.version,
                "digest": image.digest,
                "layout": str(image.layout),
            }
            for image in images.values()
        },
        indent=2,
    )


def applications() -> list[Path]:
    """The folders of the applications' images."""
    return sorted(file.parent for file in APPLICATIONS.glob("*/Containerfile"))


def described() -> dict[str, Description]:
    """The images that consist of programs and packages, by name."""
    content = YAML(typ="safe").load(SOURCES / "images.yml")
    return {name: Description.model_validate(text) for name, text in content.items()}


def application_version() -> str:
    """The version of every application's image: the project's own."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


def _of_parts(
    name: str,
    text: Description,
    binaries: Binaries,
    progress: Progress,
) -> Image:
    version = text.version or binaries.versions[str(text.module)].removeprefix("v")
    programs = {program: binaries.programs[program] for program in text.programs}
    entries = [entry(path) for path in programs.values()]
    application = python_packages.application(text.python, progress) if text.python else None
    if application is not None:
        entries.append(application.key)
    # Files of the module have the programs' entry: it tells them too.
    key = digest(_FORMAT, text.shape(), version, *entries, *_base(text.packages))

    def prepare(context: Path) -> None:
        root = context / "root"
        if text.packages:
            _unpack(text.packages, root, text.without)
        bin_folder = root / "usr/local/bin"
        bin_folder.mkdir(parents=True)
        for program, path in programs.items():
            os.link(path, bin_folder / program)
        for target, path in application.tree().items() if application is not None else ():
            lies = root / target.removeprefix("/")
            lies.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, lies)
            lies.chmod(0o755 if lies.parent.name == "bin" else 0o644)
        for source, target in text.files.items():
            _lay(binaries.files[str(text.module)] / source, root / target.removeprefix("/"))
        for target, named in text.links.items():
            lies = root / target.removeprefix("/")
            lies.parent.mkdir(parents=True, exist_ok=True)
            lies.symlink_to(named)
        lines = ["FROM scratch", "COPY root/ /", "ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin"]
        if text.entrypoint:
            lines.append(f"ENTRYPOINT {json.dumps(text.entrypoint)}")
        (context / "Containerfile").write_text("\n".join(lines) + "\n", encoding="utf-8")

    return _image(name, version, key, prepare, [], progress)


def _lay(source: Path, target: Path) -> None:
    """Copy a file or a folder of a module into an image."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)
        target.chmod(0o755 if target.suffix == ".sh" else 0o644)


def _of_application(folder: Path, progress: Progress) -> Image:
    requirements = folder / "requirements.txt"
    version = application_version()
    base = _python_base(progress)
    # One list for the key and for the build context: nothing can be laid in that the key doesn't tell.
    sources = {".": folder, SHARED.name: SHARED}
    key = digest(_FORMAT, base, version, *(f"{at} {tree_digest(source)}" for at, source in sources.items()))

    def prepare(context: Path) -> None:
        for at, source in sources.items():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, context / at, dirs_exist_ok=True, ignore=ignored)
        packages = context / "packages"
        if requirements.is_file():
            shutil.copytree(python_packages.ensure(requirements, progress), packages, copy_function=os.link)
        else:
            packages.mkdir()

    return _image(folder.name, version, key, prepare, [f"--build-arg=BASE={base}"], progress)


def _image(
    name: str, version: str, key: str, prepare: Callable[[Path], None], arguments: list[str], progress: Progress
) -> Image:
    layout = place("images", f"{name}-{key}")
    if not layout.is_dir():
        require_room(2, f"building image {name}")
        with progress.step("image", f"{name} {version}") as step, building(layout) as new:
            context = new / "context"
            context.mkdir()
            prepare(context)
            reference = f"{PREFIX}/{name}:{key}"
            labels = {"org.opencontainers.image.title": name, "org.opencontainers.image.version": version}
            run(
                [
                    *("podman", "build", "--quiet", "--network=none", "--pull=never", "--format=oci"),
                    *("--layers=false", f"--timestamp={_EPOCH}", f"--tag={reference}"),
                    *(f"--label={label}={value}" for label, value in labels.items()),
                    *arguments,
                    str(context),
                ],
                purpose=f"building image {name}",
                next_step=f"see {APPLICATIONS.relative_to(ROOT)}/{name}/Containerfile",
            )
            run(
                [
                    *("skopeo", "copy", "--quiet", "--dest-compress-format=zstd"),
                    *(f"containers-storage:{reference}", f"oci:{new}:{version}"),
                ],
                purpose=f"keeping image {name}",
            )
            shutil.rmtree(context)
            step.note(f"{_weight(new) / 2**20:.0f} MiB packed")
    index = json.loads((layout / "index.json").read_text(encoding="utf-8"))
    return Image(name, version, key, index["manifests"][0]["digest"], layout)


def _weight(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _base(packages: Sequence[str]) -> list[str]:
    """What shapes the Debian part of an image; nothing where there is none."""
    if not packages:
        return []
    return [*packages, *(source.line() for source in apt_source.sources()), _ACCOUNTS, _GROUPS]


def _unpack(packages: Sequence[str], root: Path, without: Sequence[str] = ()) -> None:
    """Unpack packages and what they depend on: no maintainer scripts, no package manager."""
    options = root.with_name("apt.conf")
    options.write_text(apt_source.settings(), encoding="utf-8")
    run(
        [
            *("mmdebstrap", "--variant=extract", "--mode=root", "--format=directory"),
            f"--aptopt={options}",
            "--dpkgopt=path-exclude=/usr/share/man/*",
            "--dpkgopt=path-exclude=/usr/share/locale/*",
            "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-include=/usr/share/doc/*/copyright",
            *(f"--dpkgopt=path-exclude={pattern}" for pattern in without),
            f"--include={','.join(packages)}",
            *(apt_source.RELEASE, str(root)),
            *(source.line() for source in apt_source.sources()),
        ],
        purpose="unpacking Debian packages for an image",
        next_step="apt-get update   # does this machine's own apt reach its archives?",
        environment={"SOURCE_DATE_EPOCH": _EPOCH, "TMPDIR": str(root.parent)},
    )
    options.unlink()
    for leftover in ("etc/apt", "var/lib/apt", "var/cache/apt", "var/log", "etc/resolv.conf", "etc/hostname"):
        path = root / leftover
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for device in (root / "dev").iterdir() if (root / "dev").is_dir() else ():
        shutil.rmtree(device) if device.is_dir() and not device.is_symlink() else device.unlink()
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc/passwd").write_text(_ACCOUNTS, encoding="utf-8")
    (root / "etc/group").write_text(_GROUPS, encoding="utf-8")


def _python_base(progress: Progress) -> str:
    """The image that applications are built on: Python, time zones, an account without rights."""
    key = digest(_FORMAT, *_base(_PYTHON_PACKAGES))
    reference = f"{PREFIX}-python:{key}"
    shown = run(["podman", "images", "--format", "{{.Repository}}:{{.Tag}}"], purpose="listing images")
    if reference not in shown.splitlines():
        with progress.step("image", f"base with Python {python_packages.PYTHON}"):
            scratch = place("images", f"python-{key}")
            with building(scratch) as new:
                _unpack(_PYTHON_PACKAGES, new / "root")
                (new / "Containerfile").write_text(
                    "FROM scratch\nCOPY root/ /\nENV PATH=/usr/local/bin:/usr/bin:/bin "
                    "PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 LANG=C.UTF-8\n",
                    encoding="utf-8",
                )
                run(
                    [
                        *("podman", "build", "--quiet", "--network=none", "--format=oci", "--layers=false"),
                        *(f"--timestamp={_EPOCH}", f"--tag={reference}", str(new)),
                    ],
                    purpose="building the Python base image",
                )
                shutil.rmtree(new / "root")
    return reference
