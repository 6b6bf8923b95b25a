"""A namespace of a real cluster, and a stack of the engine that manages what the tests put there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pulumi import automation

from api_server import missing, running
from stacks.engine_files import BY_ITSELF, state_backend
from stacks.providers.serving import launcher

KUBECONFIG = "SMARTGOUV_TEST_KUBECONFIG"
"""Names the kubeconfig of a cluster to use instead of an API server of the tests' own."""


@pytest.fixture(scope="session")
def programs() -> Path:
    """Where the tool chain keeps its programs."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "smartgouv" / "bin"


@pytest.fixture(scope="session")
def kubeconfig(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cluster to test against."""
    if named := os.environ.get(KUBECONFIG):
        yield Path(named)
        return
    if lacking := missing(programs):
        pytest.skip(f"no API server: the tool chain hasn't built {', '.join(lacking)}")
    with running(tmp_path_factory.mktemp("cluster"), programs) as own:
        yield own


@pytest.fixture
def stack(
    tmp_path: Path, programs: Path, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Callable[[], None]], automation.Stack]]:
    """Makes the stack for a program; whatever it made is removed in the end."""
    folders = [str(launcher("kubernetes")), str(programs), os.environ["PATH"]]
    monkeypatch.setenv("PATH", os.pathsep.join(folders))
    if shutil.which("pulumi") is None:
        pytest.skip("no engine: pulumi isn't on PATH and not in the tool chain's cache")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "for-this-test-only")
    for name, value in BY_ITSELF.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "states").mkdir()
    made: list[automation.Stack] = []

    def make(program: Callable[[], None]) -> automation.Stack:
        settings = automation.ProjectSettings(
            name="provider",
            runtime="python",
            backend=state_backend(tmp_path / "states"),
        )
        options = automation.LocalWorkspaceOptions(work_dir=str(tmp_path), project_settings=settings)
        made.append(
            automation.create_or_select_stack(
                stack_name="test", project_name="provider", program=program, opts=options
            )
        )
        return made[-1]

    yield make
    if made:
        made[-1].destroy()
