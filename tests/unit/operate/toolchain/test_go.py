"""A machine without Go, or with an old one, gets one or is told how."""

from __future__ import annotations

from pathlib import Path

import pytest

from operate.failure import Failure
from operate.toolchain import go
from operate.toolchain.progress import Silent


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def _fake_go(folder: Path, version: str) -> Path:
    program = folder / "go"
    program.write_text(f"#!/bin/sh\necho {version}\n")
    program.chmod(0o755)
    return program


def test_needs_the_newest_release_of_all_modules(tmp_path: Path) -> None:
    """As numbers: 1.26 is newer than 1.9."""
    for name, version in (("a", "1.9"), ("b", "1.26.0")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "go.mod").write_text(f"module x\n\ngo {version}\n")
    assert go.needed(tmp_path) == (1, 26, 0)


def test_uses_the_named_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If it is new enough."""
    program = _fake_go(tmp_path, "go1.99.1")
    monkeypatch.setenv(go.OVERRIDE, str(program))
    assert go.find(Silent()) == go.Go(str(program), "go1.99.1")


@pytest.mark.parametrize("version", ["go1.19.8", ""])
def test_without_go_and_without_an_index_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    """Old and missing are treated alike; what was found is told."""
    monkeypatch.setenv(go.OVERRIDE, str(_fake_go(tmp_path, version)))

    def unreachable(*_: object, **__: object) -> str:
        raise Failure("installing Go failed", details="no index")

    monkeypatch.setattr(go, "run", unreachable)
    with pytest.raises(Failure) as caught:
        go.find(Silent())
    assert "or newer is needed" in caught.value.message
    assert version in caught.value.message
    assert "https://go.dev/dl/" in caught.value.next_step
