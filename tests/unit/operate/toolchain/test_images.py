"""An application's image is made of its folder and of what it shares, and its key tells both."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from operate.toolchain import images
from operate.toolchain.binaries import Binaries
from operate.toolchain.progress import Silent

SHARING = {"portal": "portal", "sector-system": "sector_system"}
"""The applications that take in what is shared, with the package of each."""


class Builds:
    """Builds of images in which podman only keeps the context."""

    def __init__(self, folder: Path) -> None:
        self.contexts = folder / "contexts"

    def run(self, command: list[str], **_: object) -> str:
        """Stand for a program: keep what podman is given, and what skopeo would leave."""
        if command[:2] == ["podman", "build"]:
            (name,) = (
                word.split("=")[2] for word in command if word.startswith("--label=") and "title" in word
            )
            shutil.copytree(command[-1], self.contexts / name, symlinks=True, dirs_exist_ok=True)
        elif command[0] == "skopeo":
            layout = Path(command[-1].split(":")[1])
            (layout / "index.json").write_text(json.dumps({"manifests": [{"digest": "sha256:0"}]}))
        return ""

    def keys(self) -> dict[str, str]:
        """Build what is missing; keys by image."""
        return {name: image.key for name, image in images.ensure(Silent(), Binaries({}, {})).items()}


@pytest.fixture
def builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Builds:
    """Builds from a copy of the applications' folders, into a cache of their own."""
    sources = tmp_path / "images"
    shutil.copytree(images.APPLICATIONS, sources)
    builds = Builds(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(images, "APPLICATIONS", sources)
    monkeypatch.setattr(images, "SHARED", sources / "shared")
    monkeypatch.setattr(images, "ROOT", tmp_path)
    monkeypatch.setattr(images, "application_version", lambda: "0.1.0")
    monkeypatch.setattr(images, "described", dict)
    monkeypatch.setattr(images, "require_room", lambda *_: None)
    # The base has Debian packages, which no test fetches.
    monkeypatch.setattr(images, "_python_base", lambda _: "localhost/smartgouv-python:key")
    # Nor packages of Python; a folder with one stands for them.
    packages = tmp_path / "python-packages"
    (packages / "package").mkdir(parents=True)
    (packages / "package/__init__.py").touch()
    monkeypatch.setattr(images.python_packages, "ensure", lambda *_: packages)
    monkeypatch.setattr(images, "run", builds.run)
    return builds


def test_what_a_description_leaves_unsaid_keeps_its_key() -> None:
    """An image isn't made anew because another one has files of its module."""
    plain = images.Description(module="coredns", programs=["coredns"])

    assert "files" not in plain.shape()
    assert "bpf" in plain.model_copy(update={"files": {"bpf": "/bpf"}}).shape()


def test_an_image_has_what_its_module_keeps(
    builds: Builds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folders and scripts of the module, and links; a script can be executed."""
    entry = tmp_path / "cache/smartgouv/binaries/some-key"
    (entry / "bin").mkdir(parents=True)
    (entry / "bin/agent").touch()
    (entry / "files/sources/lib").mkdir(parents=True)
    (entry / "files/sources/lib/x.h").touch()
    (entry / "files/begin.sh").touch(mode=0o444)
    description = images.Description(
        module="some",
        programs=["agent"],
        files={"sources": "/var/lib/sources", "begin.sh": "/begin.sh"},
        links={"/opt/agent": "/usr/local/bin/agent"},
    )
    monkeypatch.setattr(images, "described", lambda: {"some": description})
    monkeypatch.setattr(images, "applications", list)
    images.ensure(
        Silent(), Binaries({"agent": entry / "bin/agent"}, {"some": "v1.2.3"}, {"some": entry / "files"})
    )
    root = builds.contexts / "some/root"

    assert (root / "var/lib/sources/lib/x.h").is_file()
    assert (root / "begin.sh").stat().st_mode & 0o777 == 0o755
    assert str((root / "opt/agent").readlink()) == "/usr/local/bin/agent"


def test_what_is_shared_is_no_image(builds: Builds) -> None:
    """Only a folder with a Containerfile is one."""
    assert sorted(builds.keys()) == sorted(SHARING)


@pytest.mark.parametrize("name", SHARING)
def test_the_build_context_has_all_that_the_image_takes_in(builds: Builds, name: str) -> None:
    """Its own files, its packages, and the shared ones as they are."""
    builds.keys()
    context = builds.contexts / name
    taken = [
        line.split()[1]
        for line in (context / "Containerfile").read_text().splitlines()
        if line.startswith("COPY ")
    ]

    assert taken == ["packages", "shared/event_lines", SHARING[name]]
    assert [path for path in taken if not (context / path).is_dir()] == []
    for source in images.SHARED.rglob("*.py"):
        copied = context / "shared" / source.relative_to(images.SHARED)
        assert copied.read_bytes() == source.read_bytes()


def test_a_changed_shared_file_makes_every_application_new(builds: Builds) -> None:
    """And the new image has the new text."""
    before = builds.keys()
    shared = images.SHARED / "event_lines/__init__.py"
    shared.write_text(shared.read_text() + "# changed\n")
    after = builds.keys()

    assert [name for name in SHARING if before[name] == after[name]] == []
    for name in SHARING:
        text = (builds.contexts / name / "shared/event_lines/__init__.py").read_text()
        assert text.endswith("# changed\n")


def test_a_changed_application_makes_only_itself_new(builds: Builds) -> None:
    """What is unchanged keeps its key, and with it its image."""
    before = builds.keys()
    (images.APPLICATIONS / "portal/portal/new.py").write_text('"""New."""\n')
    after = builds.keys()

    assert after["portal"] != before["portal"]
    assert after["sector-system"] == before["sector-system"]
