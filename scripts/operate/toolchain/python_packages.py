"""Python programs for hosts and images: third-party packages by hash, our own code beside them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from operate.toolchain.commands import run
from operate.toolchain.progress import Progress
from operate.toolchain.store import SOURCES, building, digest, place, tree_digest

PYTHON = "3.13"
"""Of the nodes' Debian; images are made of the same."""

_PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_28_x86_64", "any")


@dataclass(frozen=True)
class Application:
    """A Python program of ours as it lies on a host."""

    name: str
    code: Path
    """Our package's folder."""
    packages: Path
    """What it needs, for the nodes' Python."""
    files: Path
    """Further files, as they lie on a host."""

    @property
    def key(self) -> str:
        """Names everything in it."""
        return digest(tree_digest(self.code), self.packages.name, tree_digest(self.files))

    def tree(self) -> dict[str, Path]:
        """Absolute path on the host → file here."""
        home = f"/usr/lib/{self.name}"
        parts = {f"{home}/{self.code.name}": self.code, f"{home}/packages": self.packages, "/usr": self.files}
        return {
            f"{at}/{path.relative_to(folder)}": path
            for at, folder in parts.items()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts
        }


def application(name: str, progress: Progress) -> Application:
    """The program whose sources lie in `debs/<name>`, with its packages fetched."""
    folder = SOURCES / "debs" / name
    return Application(
        name, folder / name.replace("-", "_"), ensure(folder / "requirements.txt", progress), folder / "usr"
    )


def ensure(requirements: Path, progress: Progress) -> Path:
    """The packages of a hash-locked requirements file, for the nodes' Python."""
    folder = place("python-packages", digest(PYTHON, *_PLATFORMS, requirements.read_bytes()))
    if not folder.is_dir():
        with progress.step("wheels", f"of {requirements.parent.name}"), building(folder) as new:
            run(
                [
                    *(sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--no-compile"),
                    *("--require-hashes", "--no-deps", "--only-binary=:all:", "--implementation=cp"),
                    *(f"--platform={platform}" for platform in _PLATFORMS),
                    *("--python-version", PYTHON, "--target", str(new)),
                    *("--requirement", str(requirements)),
                ],
                purpose=f"fetching the Python packages of {requirements.parent.name}",
                next_step=f"pip config list   # can pip reach its index? Does {requirements} hold hashes?",
            )
    return folder
