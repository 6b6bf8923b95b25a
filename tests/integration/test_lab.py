"""A lab from nothing to a citizen's request, interrupted on the way, repeated, looked at, removed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAB = os.environ.get("SMARTGOUV_TEST_LAB", "test")

pytestmark = pytest.mark.lab


def run(*words: str, seconds: float = 2400) -> subprocess.CompletedProcess[str]:
    """Run one of the project's commands without a terminal or standard input."""
    return subprocess.run(
        [str(ROOT / "scripts" / words[0]), *words[1:]],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def document(*words: str) -> dict[str, Any]:
    """Run a command that must succeed and print JSON."""
    done = run(*words)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-5000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def labelled(kind: str) -> list[str]:
    """What podman still has of this lab."""
    listing = {
        "container": ["ps", "--all", "--format", "{{.Names}}"],
        "network": ["network", "ls", "--format", "{{.Name}}"],
        "volume": ["volume", "ls", "--format", "{{.Name}}"],
    }[kind]
    done = subprocess.run(
        ["podman", *listing, "--filter", f"label=smartgouv.lab={LAB}"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "CONTAINERS_CONF": str(ROOT / ".config/containers.conf")},
    )
    return done.stdout.split()


@pytest.fixture(scope="module")
def raised() -> Iterator[dict[str, Any]]:
    """A lab that was killed in the middle of its first `up` and raised by a second one."""
    run("lab", "down", "--name", LAB, "--yes")
    try:
        _kill_in_the_middle()
        yield document("lab", "up", "--name", LAB, "--json")
    finally:
        if not os.environ.get("SMARTGOUV_KEEP_LAB"):
            run("lab", "down", "--name", LAB, "--yes")


def _kill_in_the_middle() -> None:
    """Start `lab up` and kill it, its children too, once it has begun with the trust stage."""
    with subprocess.Popen(
        [str(ROOT / "scripts/lab"), "up", "--name", LAB],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        seen = []
        for line in process.stdout:
            seen.append(line)
            if line.split()[:2] == ["ok", "base"]:
                time.sleep(5)
                os.killpg(process.pid, signal.SIGKILL)
                break
        process.wait()
    assert process.returncode == -signal.SIGKILL, "".join(seen[-40:])


def test_a_killed_up_is_finished_by_the_next(raised: dict[str, Any]) -> None:
    """All stages are there after a kill -9 in the middle."""
    assert raised["result"] == "ok"
    assert [stage["stage"] for stage in raised["stages"]][-1] == "verify"


def test_acceptance_passes(raised: dict[str, Any]) -> None:
    """A citizen's requests arrive, what isn't allowed is refused, certificates chain, hosts are up."""
    done = run("smartgouv", "verify", "lab", "--lab", LAB)

    assert raised["result"] == "ok"
    assert done.returncode == 0, done.stdout[-3000:]


def test_second_up_changes_nothing(raised: dict[str, Any]) -> None:
    """An unchanged site stays unchanged, in Ansible and in Pulumi."""
    again = document("lab", "up", "--name", LAB, "--json")

    assert raised["result"] == "ok"
    assert {stage["stage"]: stage["changed"] for stage in again["stages"] if stage["changed"]} == {}


def test_ledger_holds(raised: dict[str, Any]) -> None:
    """Every run is in the chain, the killed one too."""
    assert raised["result"] == "ok"
    assert run("smartgouv", "ledger", "verify", "lab", "--lab", LAB).returncode == 0


@pytest.mark.parametrize("program", ["federation", "platform"])
def test_programs_preview_and_refresh_without_change(raised: dict[str, Any], program: str) -> None:
    """What is there is what the programs want."""
    assert raised["result"] == "ok"
    for action in ("preview", "refresh"):
        done = run("smartgouv", "stack", "lab", program, action, "--lab", LAB)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_no_secret_is_in_logs_or_states(raised: dict[str, Any]) -> None:
    """Values of the lab's secrets stand in the secret store and nowhere else of its state."""
    assert raised["result"] == "ok"
    home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state")
    state = home / "smartgouv/labs" / LAB
    values = [path.read_bytes().strip() for path in (state / "secrets").iterdir()]
    assert len(values) > 30
    found = [
        str(path)
        for path in state.rglob("*")
        if path.is_file() and "secrets" not in path.relative_to(state).parts
        for value in values
        if value in path.read_bytes()
    ]

    assert found == []


def test_down_leaves_nothing_of_the_lab(raised: dict[str, Any]) -> None:
    """The last test: containers, networks and volumes with the lab's label are gone."""
    assert raised["result"] == "ok"
    if os.environ.get("SMARTGOUV_KEEP_LAB"):
        pytest.skip("SMARTGOUV_KEEP_LAB keeps the lab")

    assert run("lab", "down", "--name", LAB, "--yes").returncode == 0
    assert [labelled(kind) for kind in ("container", "network", "volume")] == [[], [], []]
