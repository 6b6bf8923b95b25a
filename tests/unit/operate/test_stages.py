"""Stages run in order, stop at the first failure, and leave a trace in the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import estate
from operate import stages
from operate.failure import ExitCode, Failure
from operate.playbooks import HostCounts, PlaybookResult
from operate.reporting import Report
from operate.run import Outcome, Run
from operate.stages import Stage
from operate.workspace import Workspace


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run over the lab with all of its secrets."""
    workspace = Workspace("lab", tmp_path, "lab")
    loaded = estate.load("lab")
    workspace.secrets.generate(loaded)
    return Run(workspace, loaded, Report())


def stage(name: str, changed: int = 0) -> Stage:
    """A stage that succeeds."""
    outcome = Outcome("done", changed, {"one": HostCounts(ok=1, changed=changed)})
    return Stage(name, "", lambda _: outcome, lambda _: outcome, lambda _: "seen")


def failing(name: str) -> Stage:
    """A stage that fails."""

    def fail(_: Run) -> Outcome:
        raise Failure("the disk is full", details="no room", next_step="df -h")

    return Stage(name, "", fail, fail, lambda _: "")


def test_the_order_is_the_one_of_an_apply() -> None:
    """Each stage stands on those before it."""
    order = "validate hardware base trust data trust-services cluster exchange federation platform verify"
    assert [stage.name for stage in stages.STAGES] == order.split()


def test_a_run_can_begin_in_the_middle() -> None:
    """What failed is taken up again."""
    order = [stage.name for stage in stages.selected(None, "exchange")]
    assert order == ["exchange", "federation", "platform", "verify"]
    assert [stage.name for stage in stages.selected("data", None)] == ["data"]


def test_an_unknown_stage_is_bad_input() -> None:
    """With the names that there are."""
    with pytest.raises(Failure) as caught:
        stages.selected("databases", None)

    assert caught.value.code is ExitCode.BAD_INPUT
    assert "base, trust, data" in caught.value.details


def test_results_and_counts_reach_the_ledger(run: Run) -> None:
    """Who, which commit, which plan, with what result."""
    records = stages.apply(run, [stage("base", changed=2), stage("trust")])

    entries = list(run.workspace.ledger.entries())
    assert [(entry["stage"], entry["result"]) for entry in entries] == [
        ("base", "started"), ("base", "ok"), ("trust", "started"), ("trust", "ok"),
    ]  # fmt: skip
    assert entries[1]["changed"] == 2
    assert entries[1]["hosts"]["one"]["changed"] == 2
    assert {"who", "when", "commit", "dirty", "plan", "site"} <= set(entries[1])
    assert stages.summary(records).startswith("2 stages, 2 changed")


def test_a_run_over_some_hosts_plays_to_them_alone(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says so in how to go on."""
    limits = []

    def play(*_: Any, hosts: Sequence[str], **__: Any) -> PlaybookResult:
        limits.append(list(hosts))
        raise Failure("the disk is full")

    monkeypatch.setattr(stages, "run_playbook", play)
    run.hosts = ["ss-health", "ss-civil"]
    with pytest.raises(Failure) as caught:
        stages.apply(run, stages.selected("base", None))

    assert limits == [["ss-health", "ss-civil"]]
    assert "--from base --host ss-health --host ss-civil " in caught.value.next_step


def test_a_failure_ends_the_run_and_says_how_to_go_on(run: Run) -> None:
    """First what mends it, then where to take the work up again."""
    with pytest.raises(Failure) as caught:
        stages.apply(run, [stage("base"), failing("trust"), stage("data")])

    assert caught.value.message == "stage trust: the disk is full"
    steps = caught.value.next_step.splitlines()
    assert steps[0] == "df -h"
    assert steps[1].startswith("scripts/smartgouv apply lab --from trust")
    entries = list(run.workspace.ledger.entries())
    assert (entries[-1]["stage"], entries[-1]["result"]) == ("trust", "failed")
    assert entries[-1]["cause"] == "the disk is full"


def test_a_rotation_that_fails_is_finished_by_itself(run: Run) -> None:
    """An apply would leave out what comes after the stage."""
    run.continuation = run.workspace.replace_command("rotate", "trust-services")
    with pytest.raises(Failure) as caught:
        stages.apply(run, [failing("trust")])

    steps = caught.value.next_step.splitlines()
    assert steps == ["df -h", "scripts/smartgouv rotate lab trust-services   # finishes it"]


def test_a_missing_secret_stops_the_run_before_anything(run: Run) -> None:
    """Nothing is half-applied for want of a value."""
    run.workspace.secrets.path("registry-push").unlink()

    with pytest.raises(Failure, match="can't be used"):
        stages.apply(run, [stage("base")])
    assert list(run.workspace.ledger.entries()) == []


def test_ctrl_c_is_recorded(run: Run) -> None:
    """And stays what it is."""

    def interrupted(_: Run) -> Outcome:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stages.apply(run, [Stage("base", "", interrupted, interrupted, lambda _: "")])
    assert list(run.workspace.ledger.entries())[-1]["result"] == "interrupted"


def test_a_plan_goes_on_after_what_it_cannot_predict(run: Run) -> None:
    """Before a first apply, later stages have nothing to stand on."""
    records = stages.plan(run, [stage("base", changed=3), failing("trust"), stage("data")])

    assert [record.result for record in records] == ["ok", "unpredictable", "ok"]
    assert list(run.workspace.ledger.entries()) == []


def test_a_template_is_never_applied(run: Run) -> None:
    """Documentation addresses belong to nobody."""
    template = run.estate.model_copy(update={"site": run.estate.site.model_copy(update={"template": True})})

    with pytest.raises(Failure, match="template") as caught:
        stages.apply(Run(run.workspace, template, run.report), [stage("base")])
    assert caught.value.code is ExitCode.BAD_INPUT


def test_a_cause_that_names_the_next_apply_is_enough(run: Run) -> None:
    """A second command beside it would leave out what the first one says."""
    step = f"{run.workspace.apply_command} --from trust --allow-prune"

    def refused(_: Run) -> Outcome:
        raise Failure("it has to be allowed", next_step=step)

    with pytest.raises(Failure) as caught:
        stages.apply(run, [Stage("trust", "", refused, refused, lambda _: "")])
    assert caught.value.next_step == step
