"""A raised lab: it works, a repetition changes nothing, nothing of it leaks, nothing of it stays."""

from __future__ import annotations

import os

import pytest
from tests.integration.conftest import KEEP
from tests.integration.raised_lab import Lab

pytestmark = pytest.mark.lab


def test_a_killed_up_is_finished_by_the_next(lab: Lab) -> None:
    """All stages are there after a kill -9 in the middle."""
    assert lab.raised["result"] == "ok"
    assert [stage["stage"] for stage in lab.raised["stages"]][-1] == "verify"


def test_second_up_changes_nothing(lab: Lab) -> None:
    """An unchanged site stays unchanged, in Ansible and in Pulumi."""
    again = lab.document("lab", "up")

    assert {stage["stage"]: stage["changed"] for stage in again["stages"] if stage["changed"]} == {}


def test_ledger_holds(lab: Lab) -> None:
    """Every run is in the chain, the killed one too."""
    assert lab.run("smartgouv", "ledger", "verify", "lab").returncode == 0


def test_the_benchmark_finds_nothing_that_has_no_reason(lab: Lab) -> None:
    """Each finding is mended, or waived in the site's data; no waiver outlived its finding."""
    found = lab.document("smartgouv", "hardening", "lab")

    assert len(found["checks"]) > 100
    assert [check["name"] for check in found["checks"] if not check["passed"]] == []


@pytest.mark.parametrize("action", ["preview", "refresh"])
@pytest.mark.parametrize("program", ["federation", "platform"])
def test_programs_find_what_they_want(lab: Lab, program: str, action: str) -> None:
    """What is there is what the programs want."""
    assert lab.document("smartgouv", "stack", "lab", program, action)["changed"] == 0


def test_a_destroyed_program_is_made_again(lab: Lab) -> None:
    """The platform goes away whole and comes back whole."""
    gone = lab.document("smartgouv", "stack", "lab", "platform", "destroy")
    back = lab.document("smartgouv", "stack", "lab", "platform", "up")

    assert gone["changed"] == back["changed"] > 50
    assert lab.run("smartgouv", "verify", "lab").returncode == 0


def test_no_secret_is_in_logs_or_states(lab: Lab) -> None:
    """Values of the lab's secrets stand in the secret store and nowhere else of its state."""
    values = [path.read_bytes().strip() for path in (lab.state / "secrets").iterdir()]
    assert len(values) > 30
    found = [
        str(path)
        for path in lab.state.rglob("*")
        if path.is_file() and "secrets" not in path.relative_to(lab.state).parts
        for value in values
        if value in path.read_bytes()
    ]

    assert found == []


def test_down_leaves_nothing_of_the_lab(lab: Lab) -> None:
    """The last test: containers, networks and volumes with the lab's label are gone."""
    if os.environ.get(KEEP):
        pytest.skip(f"{KEEP} keeps the lab")

    assert lab.run("lab", "down", "--yes").returncode == 0
    assert lab.labelled() == []
