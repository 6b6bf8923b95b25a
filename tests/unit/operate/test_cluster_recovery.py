"""smartgouv recover: what it asks, refuses and tells before a cluster is made anew from a snapshot."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from operate import cluster_recovery, remote
from operate.cli import application
from operate.failure import Failure
from operate.playbooks import HostCounts, PlaybookResult
from operate.workspace import open_workspace

Recover = Callable[..., Result]
LAST = (datetime.now(UTC) - timedelta(minutes=12)).strftime("%Y%m%dT%H%M%SZ")
FIRST = "20261127T100000Z"


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What playbooks were given, on a host that keeps two snapshots."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("SMARTGOUV_SECRETS", raising=False)
    given: list[dict[str, Any]] = []

    def play(_workspace: object, playbook: str, _report: object, **how: Any) -> PlaybookResult:
        given.append({"playbook": playbook, **how})
        return PlaybookResult(counts={"control1": HostCounts(changed=3)})

    monkeypatch.setattr(cluster_recovery, "run_playbook", play)
    monkeypatch.setattr(remote, "output", lambda *_, **__: f"{FIRST}\n{LAST}\n")
    return given


@pytest.fixture
def recover() -> Recover:
    """Runs the command."""

    def run(*words: str) -> Result:
        return CliRunner().invoke(application, ("recover", "staging", *words))

    return run


def test_a_refusal_comes_before_anybody_is_asked(
    played: list[dict[str, Any]], recover: Recover, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First the playbook predicts; what it refuses is the end."""

    def refused(*_: object, **__: object) -> PlaybookResult:
        raise Failure("etcd has its majority")

    assert recover("control1").exit_code == 2
    assert [run["check"] for run in played] == [True]
    monkeypatch.setattr(cluster_recovery, "run_playbook", refused)
    result = recover("control1", "--yes")
    assert (result.exit_code, "etcd has its majority" in result.output) == (1, True)
    assert list(open_workspace("staging").ledger.entries()) == []


def test_it_says_what_it_does_and_from_what(played: list[dict[str, Any]], recover: Recover) -> None:
    result = recover("control2", "--gone", "control1", "--yes")

    assert result.exit_code == 0, result.output
    assert re.search(rf"if it doesn't run, snapshot {LAST}, \d+ min old", result.output)
    assert "control1: if it ever starts with its present disk, there are two clusters" in result.output
    assert "control1, control3 have no part of the cluster any more" in result.output
    assert [(run["hosts"], run["check"]) for run in played] == [(["control2"], True), (["control2"], False)]
    wanted = {"kubernetes_recovery": {"gone": ["control1"], "snapshot": ""}}
    assert played[1]["variables"] == played[0]["variables"] == wanted
    (entry,) = open_workspace("staging").ledger.entries()
    assert (entry["stage"], entry["result"], entry["changed"]) == ("recover control2", "ok", 3)


def test_a_dry_run_recovers_nothing(played: list[dict[str, Any]], recover: Recover) -> None:
    told = json.loads(recover("control1", "--snapshot", FIRST, "--dry-run", "--json").stdout)

    assert (told["result"], told["snapshot"], told["kept"]) == ("dry run", FIRST, [FIRST, LAST])
    assert [run["check"] for run in played] == [True]
    assert played[0]["variables"]["kubernetes_recovery"]["snapshot"] == f"/var/lib/etcd-snapshots/{FIRST}.db"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["worker1"], "'worker1' is no control plane"),
        (["control1", "--gone", "worker1"], "'worker1' is no control plane"),
        (["control1", "--gone", "control1"], "'control1' can't be gone: it is to go on"),
        (["control1", "--snapshot", "20200101T000000Z"], "control1 has no snapshot 20200101T000000Z"),
    ],
)
@pytest.mark.usefixtures("played")
def test_names_that_are_none(recover: Recover, words: list[str], told: str) -> None:
    result = recover(*words, "--yes")
    assert (result.exit_code, told in result.output) == (2, True), result.output
