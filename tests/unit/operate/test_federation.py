"""What an apply means for access and membership is said, and nothing is taken away unasked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from estate import Estate, load
from estate.approval import Approvals, Approver
from operate import federation
from operate.failure import ExitCode, Failure
from operate.reporting import Report
from operate.run import Run
from operate.workspace import Workspace
from stacks.providers.xroad.resources.access_rights import AccessRightsInputs
from stacks.providers.xroad.resources.client import ClientInputs
from stacks.providers.xroad.resources.member import MemberInputs

STRANGER = "BJ-LAB:GOV:STRANGER"
CIVIL = "BJ-LAB:GOV:CIVILREG:REGISTRY"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """On the lab's estate, whose servers can't be asked."""
    monkeypatch.setattr(federation, "look", lambda *_: None)
    return Run(Workspace("lab", tmp_path, "lab"), load("lab"), Report())


def state(estate: Estate, *more: dict[str, Any]) -> list[dict[str, Any]]:
    """A state that holds the rights that the estate declares."""
    rights = federation.arguments(estate).access_rights()
    return [
        *(right(provider, holder, *services) for (provider, holder), services in rights.items()),
        *more,
    ]


def right(provider: str, holder: str, *services: str) -> dict[str, Any]:
    inputs = {"provider": provider, "rights": {holder: sorted(services)}}
    return {"type": AccessRightsInputs.token(), "id": f"ss/{provider}", "inputs": inputs}


def test_nothing_changes(run: Run) -> None:
    found = federation.meaning(run, state(run.estate))

    assert found.lines() == []
    assert federation.require_agreement(run, found) is None


def test_who_leaves_is_said_before_who_loses_what(run: Run) -> None:
    """Members, registrations and rights that the state has and the estate hasn't."""
    found = federation.meaning(
        run,
        state(
            run.estate,
            {"type": MemberInputs.token(), "id": STRANGER},
            {"type": MemberInputs.token(), "id": "BJ-LAB:GOV:HEALTH"},
            {"type": MemberInputs.token(), "id": "BJ-LAB:GOV:GONE", "delete": True},
            {"type": ClientInputs.token(), "id": f"ss-civil-registry/{STRANGER}:SYSTEM"},
            {"type": ClientInputs.token(), "id": "ss-management/BJ-LAB:GOV:DIGITAL:MANAGEMENT"},
            right(CIVIL, f"{STRANGER}:SYSTEM", "birth-records"),
        ),
    )

    assert found.lines() == [
        f"leaves  member {STRANGER}",
        f"leaves  registration ss-civil-registry/{STRANGER}:SYSTEM",
        "access  SYSTEM of STRANGER loses birth-records of CIVILREG (REGISTRY)",
    ]
    with pytest.raises(Failure) as caught:
        federation.require_agreement(run, found)
    assert caught.value.code is ExitCode.BAD_INPUT
    assert "3 things would be taken away" in caught.value.message
    assert caught.value.next_step == "scripts/smartgouv apply lab --from federation --allow-prune"

    run.allow_prune = True
    assert federation.require_agreement(run, found) is None


def test_gains_need_no_consent(run: Run) -> None:
    """A federation from empty only gains."""
    found = federation.meaning(run, [])

    assert len(found.access) == 25
    assert found.removals == []
    assert federation.require_agreement(run, found) is None


def test_consent_to_prune_is_no_approval(run: Run) -> None:
    """Where the estate asks for approvals, an option on the command line isn't one."""
    policy = Approvals(required=1, approvers=(Approver(name="registrar", key="ssh-ed25519 AAAA"),))
    model = run.estate.federation.model_copy(update={"approvals": policy})
    run.estate = run.estate.model_copy(update={"federation": model})
    run.allow_prune = True

    with pytest.raises(Failure, match="needs 1 approvals") as caught:
        federation.require_agreement(run, federation.meaning(run, []))
    assert "scripts/smartgouv federation propose lab" in caught.value.next_step


def test_only_a_change_can_be_proposed(run: Run) -> None:
    with pytest.raises(Failure, match="there is no change of access rights to approve"):
        federation.propose(run, federation.meaning(run, state(run.estate)))
