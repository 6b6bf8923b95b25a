"""What an engine leaves on the disk."""

from __future__ import annotations

import os
from pathlib import Path

import pulumi
import pytest
from pulumi import automation

from federation_rig.programs import program
from stacks.engine_files import BY_ITSELF, engine_home, state_backend


@pytest.fixture
def applied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> automation.Stack:
    """A stack with one output, on whose engine's folder logs of a former one lie."""
    monkeypatch.setenv("PATH", os.pathsep.join([str(program("pulumi").resolve().parent), os.environ["PATH"]]))
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "for-this-test-only")
    for name, value in BY_ITSELF.items():
        monkeypatch.setenv(name, value)
    for name in ("states", "work", "home/logs"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "home/logs/former.log").touch()
    stack = automation.create_stack(
        "test",
        project_name="files",
        program=lambda: pulumi.export("answer", 42),
        opts=automation.LocalWorkspaceOptions(
            work_dir=str(tmp_path / "work"),
            pulumi_home=engine_home(tmp_path / "home"),
            project_settings=automation.ProjectSettings(
                "files", runtime="python", backend=state_backend(tmp_path / "states")
            ),
        ),
    )
    stack.up()
    return stack


@pytest.mark.engine
def test_no_file_is_written_in_place(applied: automation.Stack, tmp_path: Path) -> None:
    """An engine that was killed in the middle of one left a state that no later run could read."""
    assert applied.outputs()["answer"].value == 42
    kept = [path.name for path in (tmp_path / "states").rglob("*") if path.is_file()]
    assert "test.json" in kept
    assert [name for name in kept if name.endswith(".attrs")] == []


@pytest.mark.engine
@pytest.mark.usefixtures("applied")
def test_nothing_is_logged(tmp_path: Path) -> None:
    """Also where a former engine did."""
    assert [path.name for path in tmp_path.rglob("*.log")] == []
