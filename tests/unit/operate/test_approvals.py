"""A change of access rights passes with enough signatures of approvers, and with nothing less."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from estate import Estate, load
from estate.approval import Approvals, Approver
from operate import approvals
from operate.failure import ExitCode, Failure
from stacks.federation.access import access_changes

PORTAL = "BJ-LAB:GOV:DIGITAL:PORTAL"
CIVIL = "BJ-LAB:GOV:CIVILREG:REGISTRY"
JUSTICE = "BJ-LAB:GOV:JUSTICE:REGISTRY"
BEFORE = {(JUSTICE, PORTAL): frozenset({"criminal-records"})}
AFTER = {(CIVIL, PORTAL): frozenset({"birth-records"})}
CHANGES = access_changes(BEFORE, AFTER)
REASONS = {(PORTAL, CIVIL, "birth-records"): "Citizens ask for their birth record"}
OFFICES = ("data-protection", "security-officer", "registrar")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key of each office, and a stranger's."""
    folder = tmp_path_factory.mktemp("keys")
    for name in (*OFFICES, "stranger"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    return folder


@pytest.fixture
def estate(keys: Path) -> Estate:
    """The lab's, where two of three offices have to agree."""
    approvers = tuple(
        Approver(name=name, key=" ".join((keys / f"{name}.pub").read_text("ascii").split()[:2]))
        for name in OFFICES
    )
    policy = Approvals(required=2, approvers=approvers)
    plain = load("lab")
    return plain.model_copy(update={"federation": plain.federation.model_copy(update={"approvals": policy})})


def sign(keys: Path, who: str, draft: Path, namespace: str = approvals.NAMESPACE) -> Path:
    """As an approver does, with the file kept under a name of its own."""
    command = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(keys / who), "-n", namespace, str(draft)]
    subprocess.run(command, check=True, capture_output=True)
    return Path(f"{draft}.sig").rename(f"{draft}.{who}.sig")


def refusal(estate: Estate, folder: Path, changes: list[approvals.AccessChange] = CHANGES) -> Failure:
    with pytest.raises(Failure) as caught:
        approvals.require(estate, folder, changes, AFTER, "propose it")
    assert caught.value.code is ExitCode.BAD_INPUT
    assert caught.value.next_step == "propose it"
    return caught.value


def test_a_draft_says_who_gains_and_loses_what_and_why(estate: Estate, tmp_path: Path) -> None:
    draft = approvals.propose(estate, tmp_path, CHANGES, AFTER, REASONS)

    text = draft.read_text("utf-8")
    assert "reason: Citizens ask for their birth record" in text
    assert "service: criminal-records" in text
    assert approvals.propose(estate, tmp_path, CHANGES, AFTER, REASONS) == draft


def test_two_of_three_are_enough(estate: Estate, tmp_path: Path, keys: Path) -> None:
    draft = approvals.propose(estate, tmp_path, CHANGES, AFTER, REASONS)
    assert "no draft" not in refusal(estate, tmp_path).details
    sign(keys, "registrar", draft)
    assert "signed by registrar" in refusal(estate, tmp_path).details
    sign(keys, "data-protection", draft)

    approved = approvals.require(estate, tmp_path, CHANGES, AFTER, "")

    assert approved is not None
    assert approved.approvers == ("data-protection", "registrar")
    assert approved.draft == draft


def test_what_is_left_of_an_approved_change_is_approved(estate: Estate, tmp_path: Path, keys: Path) -> None:
    """An apply that was interrupted has done a part of it."""
    draft = approvals.propose(estate, tmp_path, CHANGES, AFTER, REASONS)
    for who in ("registrar", "data-protection"):
        sign(keys, who, draft)

    assert approvals.require(estate, tmp_path, CHANGES[1:], AFTER, "") is not None


def test_nothing_to_approve(estate: Estate, tmp_path: Path) -> None:
    """Without a change, and on a site that asks for no approval."""
    assert approvals.require(estate, tmp_path, [], AFTER, "") is None
    assert approvals.require(load("lab"), tmp_path, CHANGES, AFTER, "") is None


def test_signatures_that_count_for_nothing(estate: Estate, tmp_path: Path, keys: Path) -> None:
    """The same office twice, a stranger, another purpose, another draft, rubbish."""
    draft = approvals.propose(estate, tmp_path, CHANGES, AFTER, REASONS)
    first = sign(keys, "registrar", draft)
    first.with_name(f"{draft.name}.again.sig").write_bytes(first.read_bytes())
    sign(keys, "stranger", draft)
    sign(keys, "security-officer", draft, namespace="git")
    other = tmp_path / "other.yml"
    other.write_text("another draft", "utf-8")
    sign(keys, "data-protection", other).rename(f"{draft}.data-protection.sig")
    Path(f"{draft}.empty.sig").write_bytes(b"")

    assert "signed by registrar" in refusal(estate, tmp_path).details.splitlines()[-1]


def test_a_draft_that_was_altered_after_it_was_signed(estate: Estate, tmp_path: Path, keys: Path) -> None:
    """Even a comment: what was signed are the bytes."""
    draft = approvals.propose(estate, tmp_path, CHANGES, AFTER, REASONS)
    for who in ("registrar", "data-protection"):
        sign(keys, who, draft)
    draft.write_text(draft.read_text("utf-8") + "# seen\n", "utf-8")

    assert "signed by nobody" in refusal(estate, tmp_path).details


@pytest.mark.parametrize("more", ["gain", "loss", "target", "site"])
def test_a_draft_of_something_else(more: str, estate: Estate, tmp_path: Path, keys: Path) -> None:
    """It doesn't cover what isn't written in it, nor lead elsewhere, nor stand for another site."""
    home = estate.model_copy(update={"site": estate.site.model_copy(update={"name": "staging"})})
    after = {**AFTER, (JUSTICE, CIVIL): frozenset({"criminal-records"})} if more == "target" else AFTER
    draft = approvals.propose(home if more == "site" else estate, tmp_path, CHANGES, after, REASONS)
    for who in OFFICES:
        sign(keys, who, draft)
    changes = {
        "gain": [*CHANGES, approvals.AccessChange(True, JUSTICE, CIVIL, "birth-records")],
        "loss": [*CHANGES, approvals.AccessChange(False, JUSTICE, CIVIL, "birth-records")],
    }.get(more, CHANGES)

    assert "no draft in the repository covers it" in refusal(estate, tmp_path, changes).details


@pytest.mark.parametrize("days", [-1, 31])
def test_a_draft_of_another_time(days: int, estate: Estate, tmp_path: Path, keys: Path) -> None:
    """Older than the estate lets it be, or of the future."""
    draft = approvals.propose(estate, tmp_path, CHANGES, AFTER, REASONS)
    today = datetime.now(UTC).date()
    moved = today - timedelta(days=days)
    draft.write_text(draft.read_text("utf-8").replace(str(today), str(moved)), "utf-8")
    for who in OFFICES:
        sign(keys, who, draft)

    assert f"of {moved}, valid for 30 days" in refusal(estate, tmp_path).details


@pytest.mark.parametrize("text", ["gains: [", "site: lab\n", "- a list\n", ""])
def test_what_is_no_draft_is_named(text: str, estate: Estate, tmp_path: Path) -> None:
    broken = tmp_path / "approvals" / "broken.yml"
    broken.parent.mkdir()
    broken.write_text(text, "utf-8")

    with pytest.raises(Failure, match=r"broken\.yml isn't a draft of a change"):
        approvals.require(estate, tmp_path, CHANGES, AFTER, "")
