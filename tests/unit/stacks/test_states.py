"""The files in which the engine keeps a state."""

from __future__ import annotations

import os
from pathlib import Path

import pulumi
import pytest
from pulumi import automation

from federation_rig.programs import program
from stacks.states import state_backend


@pytest.mark.engine
def test_no_file_is_written_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that was killed in the middle of one left a state that no later run could read."""
    monkeypatch.setenv("PATH", os.pathsep.join([str(program("pulumi").resolve().parent), os.environ["PATH"]]))
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "for-this-test-only")
    monkeypatch.setenv("PULUMI_AUTOMATION_API_SKIP_VERSION_CHECK", "true")
    monkeypatch.setenv("PULUMI_SKIP_UPDATE_CHECK", "true")
    folders = {name: tmp_path / name for name in ("states", "home", "work")}
    for folder in folders.values():
        folder.mkdir()
    stack = automation.create_stack(
        "test",
        project_name="states",
        program=lambda: pulumi.export("answer", 42),
        opts=automation.LocalWorkspaceOptions(
            work_dir=str(folders["work"]),
            pulumi_home=str(folders["home"]),
            project_settings=automation.ProjectSettings(
                "states", runtime="python", backend=state_backend(folders["states"])
            ),
        ),
    )
    stack.up()

    assert stack.outputs()["answer"].value == 42
    kept = [path.name for path in folders["states"].rglob("*") if path.is_file()]
    assert "test.json" in kept
    assert [name for name in kept if name.endswith(".attrs")] == []
