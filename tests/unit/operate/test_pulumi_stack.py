"""What the engine says becomes counts, changes and reasons."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pulumi import automation

import estate
from operate import pulumi_stack
from operate.failure import ExitCode, Failure
from operate.reporting import Report
from operate.run import Outcome, Run
from operate.workspace import Workspace

URN = "urn:pulumi:lab::federation::smartgouv:xroad:Server$smartgouv:xroad:AccessRight::portal"


class Listening(Report):
    """Keeps the changes that people would read."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[str] = []

    def change(self, text: str) -> None:
        self.changes.append(text)

    def line(self, text: str) -> None:
        self.changes.append(text)


def event(**fields: Any) -> Any:
    """An event of the engine with nothing but these fields."""
    kinds = ("resource_pre_event", "res_outputs_event", "diagnostic_event", "summary_event")
    return SimpleNamespace(**{kind: fields.get(kind) for kind in kinds})


def done(operation: str) -> Any:
    """A resource on which an operation has ended."""
    return event(res_outputs_event=SimpleNamespace(metadata=SimpleNamespace(urn=URN, op=operation)))


def test_changes_are_told_and_sameness_is_not() -> None:
    """By kind and name, without the engine's own identifiers."""
    report = Listening()
    listener = pulumi_stack._Listener(report, changing=True)
    for operation in ("same", "create", "read"):
        listener.hear(done(operation))

    assert report.changes == ["AccessRight portal: create"]


def test_a_preview_tells_no_change() -> None:
    """Nothing has changed yet."""
    report = Listening()
    pulumi_stack._Listener(report, changing=False).hear(done("create"))

    assert report.changes == []


@pytest.mark.parametrize(
    ("operation", "told"), [("update", ["certificate  ss1: it is revoked"]), ("create", [])]
)
def test_a_plan_says_which_certificates_are_replaced_and_why(operation: str, told: list[str]) -> None:
    """Also before anything changes; what is made anew has nothing to replace."""
    report = Listening()
    new = SimpleNamespace(inputs={"due": ["ss1: it is revoked"]})
    metadata = SimpleNamespace(urn=URN, op=operation, new=new)
    pulumi_stack._Listener(report, changing=False).hear(
        event(resource_pre_event=SimpleNamespace(metadata=metadata))
    )

    assert report.changes == told


def test_errors_carry_the_resource() -> None:
    """Warnings aren't errors."""
    listener = pulumi_stack._Listener(Listening(), changing=True)
    for severity, text in (("warning", "careful"), ("error", "refused\n")):
        listener.hear(event(diagnostic_event=SimpleNamespace(severity=severity, urn=URN, message=text)))

    assert listener.errors == ["portal: refused"]


def test_counts_leave_out_what_stayed() -> None:
    """The figure of a second run is 0."""
    listener = pulumi_stack._Listener(Listening(), changing=True)
    listener.hear(event(summary_event=SimpleNamespace(resource_changes={"same": 40, "update": 2, "delete": 1})))

    assert pulumi_stack._changed(listener.counts) == 3
    assert pulumi_stack._text(listener.counts) == "1 delete, 40 same, 2 update"


def test_an_unknown_program_is_bad_input() -> None:
    """With the names that there are."""
    with pytest.raises(Failure) as caught:
        pulumi_stack.require_known("portal")

    assert caught.value.code is ExitCode.BAD_INPUT
    assert caught.value.details == "programs: federation, platform"


def test_a_program_that_would_change_again_is_not_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proof of a stage that is a program."""
    run = Run(Workspace("lab", tmp_path, "lab"), estate.load("lab"), Report())
    monkeypatch.setattr(pulumi_stack, "preview", lambda *_: Outcome("1 update", 1))

    with pytest.raises(Failure, match="isn't settled"):
        pulumi_stack.prove_settled(run, "federation")


class Stack:
    """A stack as a killed run leaves it."""

    name = "lab"

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = automation.Deployment(version=3, deployment=state)
        self.cancelled = 0
        self.imported: list[automation.Deployment] = []

    def cancel(self) -> None:
        self.cancelled += 1

    def export_stack(self) -> automation.Deployment:
        return self.state

    def import_stack(self, state: automation.Deployment) -> None:
        self.imported.append(state)


def test_what_a_killed_run_left_is_cleared(tmp_path: Path) -> None:
    """The lock of the state, and creations whose end nobody knows; finished resources stay."""
    workspace = Workspace("lab", tmp_path, "lab")
    lock = tmp_path / "pulumi/states/.pulumi/locks/organization/federation/lab/1234.json"
    lock.parent.mkdir(parents=True)
    lock.write_text("{}")
    stack: Any = Stack({"resources": [1, 2], "pending_operations": [{"type": "creating"}]})

    pulumi_stack._recover(stack, workspace)

    assert stack.cancelled == 1
    assert [state.deployment for state in stack.imported] == [{"resources": [1, 2]}]


def test_a_clean_state_is_left_alone(tmp_path: Path) -> None:
    """No needless write of a state."""
    stack: Any = Stack({"resources": [1]})

    pulumi_stack._recover(stack, Workspace("lab", tmp_path, "lab"))

    assert (stack.cancelled, stack.imported) == (0, [])
