"""Rotating authorities: what is begun is finished, by the same command and by no other."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from estate.load import load
from operate import certification, clients, rotation
from operate.failure import ExitCode, Failure
from operate.playbooks import PlaybookResult
from operate.reporting import Report
from operate.run import Run
from operate.stages import Stage, StageRecord
from operate.watching import Question
from operate.workspace import Workspace
from stacks.providers.xroad.renewal import RENEW_VARIABLE
from trust_services.ceremony.records import History
from trust_services.issuing.profiles import BACKDATED


def named(name: str) -> x509.Certificate:
    """A certificate in force of an authority of this name."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder(subject, subject, key.public_key(), 4711, now, now + timedelta(days=9))
    ).sign(key, hashes.SHA256())


class Site:
    """A site whose stages only note that they were applied."""

    def __init__(self, site: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.workspace = Workspace(site, folder, "lab" if site == "lab" else None)
        self.history = History()
        self.applied: list[tuple[str, ...]] = []
        self.hosts: list[tuple[str, ...]] = []
        self.names: list[str] = []
        self.revoked: list[tuple[str, str]] = []
        self.broken = False
        self.renewed: list[str] = []
        monkeypatch.setattr(rotation, "run_playbook", self.play)
        monkeypatch.setattr(certification, "recorded", lambda _: self.history)
        monkeypatch.setattr(certification, "revoke", self.revoke)
        monkeypatch.setattr(rotation.stages, "apply", self.apply)
        for kind in ("tls", "status", "stamps", "citizens"):
            monkeypatch.setattr(clients, kind, lambda *_: [Question("asked", 200, lambda: None)])
        for name, rotated in rotation.ROTATIONS.items():
            changed = rotation.Rotation(rotated.purpose, (clients.tls,), rotated.act)
            monkeypatch.setitem(rotation.ROTATIONS, name, changed)
        self.certify()

    def run(self) -> Run:
        """A run over the site as it is declared now."""
        return Run(self.workspace, self.workspace.load(), Report())

    def certify(self) -> None:
        """The root certifies what is declared."""
        for name, authority in self.workspace.load().trust.issuing.items():
            self.history.present[name] = named(authority.name)

    def apply(self, run: Run, chosen: Sequence[Stage]) -> list[StageRecord]:
        self.names.append(run.estate.trust.infrastructure_tls.name)
        self.applied.append(tuple(stage.name for stage in chosen))
        self.hosts.append(tuple(run.hosts))
        self.renewed.append(os.environ.get(RENEW_VARIABLE, ""))
        if self.broken:
            raise Failure("a host is down")
        self.certify()
        return []

    def play(self, _workspace: Workspace, name: str, *_: Any, **__: Any) -> PlaybookResult:
        self.applied.append((name,))
        return PlaybookResult(counts={})

    def revoke(self, _: Run, authority: str, digest: str) -> int:
        self.revoked.append((authority, digest))
        return 1


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A lab."""
    return Site("lab", tmp_path, monkeypatch)


def test_a_lab_replaces_an_authority_by_one_of_another_name(lab: Site) -> None:
    """Each time the next; the site's files stay as they are."""
    first = rotation.rotate(lab.run(), "infrastructure-tls")
    rotation.rotate(lab.run(), "infrastructure-tls")

    assert lab.names == ["SMARTGOUV Lab Infrastructure TLS CA G2", "SMARTGOUV Lab Infrastructure TLS CA G3"]
    assert lab.applied == [("trust",), ("trust",)]
    assert lab.revoked == []
    assert first.lost == 0
    assert load("lab").trust.infrastructure_tls.generation == 1


def test_an_interrupted_replacement_is_finished_not_repeated(lab: Site) -> None:
    """Even when the root had certified the successor before the run was interrupted."""
    lab.broken = True
    with pytest.raises(Failure, match="a host is down"):
        rotation.rotate(lab.run(), "infrastructure-tls")
    lab.certify()
    lab.broken = False

    rotation.rotate(lab.run(), "infrastructure-tls")

    assert lab.names == ["SMARTGOUV Lab Infrastructure TLS CA G2"] * 2


@pytest.mark.parametrize(("what", "revoke"), [("trust-services", False), ("infrastructure-tls", True)])
def test_another_command_does_not_step_into_an_unfinished_one(lab: Site, what: str, revoke: bool) -> None:
    """It says which command finishes it."""
    lab.broken = True
    with pytest.raises(Failure):
        rotation.rotate(lab.run(), "infrastructure-tls")

    with pytest.raises(Failure, match="the replacement of 'infrastructure-tls' isn't finished") as refused:
        (rotation.revoke if revoke else rotation.rotate)(lab.run(), what)
    assert refused.value.next_step == "scripts/smartgouv rotate lab infrastructure-tls"


def test_a_compromised_authority_is_revoked_before_its_successor_issues(lab: Site) -> None:
    """By the certificate that was in force when it began, also when the command is repeated."""
    digest = lab.history.present["trust-services"].fingerprint(hashes.SHA256()).hex()
    lab.broken = True
    with pytest.raises(Failure):
        rotation.revoke(lab.run(), "trust-services")
    lab.certify()
    lab.broken = False
    rotation.revoke(lab.run(), "trust-services")

    assert lab.revoked == [("trust-services", digest)] * 2
    assert lab.applied == [
        ("trust",),
        ("trust",),
        ("trust-services",),
        ("rotate_time_stamping",),
        ("federation", "platform"),
    ]


def test_what_is_stamped_and_signed_with_follows_the_authority(lab: Site) -> None:
    """Time-stamping authorities enrol under the successor before the federation learns of it."""
    rotation.rotate(lab.run(), "trust-services")

    assert lab.applied == [
        ("trust",),
        ("trust-services",),
        ("rotate_time_stamping",),
        ("federation", "platform"),
    ]
    assert lab.renewed == ["", "", ""]


def test_hosts_that_have_nothing_of_an_authority_are_left_alone(lab: Site) -> None:
    """Of the trust services CA's, its own host alone has something; of the TLS authority's, every host."""
    rotation.rotate(lab.run(), "trust-services")
    assert lab.hosts == [("ca1",), (), ()]

    rotation.rotate(lab.run(), "infrastructure-tls")
    assert lab.hosts[3:] == [()]


def test_x_road_certificates_older_than_the_first_attempt_are_renewed(lab: Site) -> None:
    """A repeated command renews nothing that the interrupted one renewed; a later one renews all again."""
    lab.broken = True
    with pytest.raises(Failure, match="a host is down"):
        rotation.rotate(lab.run(), "federation")
    lab.broken = False
    rotation.rotate(lab.run(), "federation")
    first, second = (datetime.fromisoformat(text) for text in lab.renewed)

    assert lab.applied == [("federation",)] * 2
    assert first == second
    assert timedelta(0) <= datetime.now(UTC) - BACKDATED - first < timedelta(minutes=1)
    assert RENEW_VARIABLE not in os.environ
    assert not list(lab.workspace.directory.rglob("replacement.json"))


def test_an_authority_is_not_replaced_in_the_middle_of_a_renewal(lab: Site) -> None:
    """Nor the other way around: one marker says which command goes on."""
    lab.broken = True
    with pytest.raises(Failure):
        rotation.rotate(lab.run(), "federation")

    with pytest.raises(Failure, match="the replacement of 'federation' isn't finished") as refused:
        rotation.rotate(lab.run(), "trust-services")
    assert refused.value.next_step == "scripts/smartgouv rotate lab federation"


def test_elsewhere_the_next_generation_is_declared_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reviewed change of the site's file, not a command's side effect."""
    staging = Site("staging", tmp_path, monkeypatch)

    with pytest.raises(Failure) as refused:
        rotation.rotate(staging.run(), "trust-services")

    assert refused.value.code is ExitCode.BAD_INPUT
    assert "set trust.trust_services.generation to 2" in refused.value.next_step
    assert staging.applied == []


def test_what_clients_lost_is_kept(lab: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """As evidence beside the run and in the ledger, also of a rotation that failed."""

    def refused() -> None:
        raise ConnectionRefusedError("nobody listens")

    def fails(_: Run) -> int:
        while not tallied():
            pass
        raise Failure("no host answers")

    def tallied() -> bool:
        return bool(asked)

    asked: list[int] = []

    def noted() -> None:
        asked.append(1)
        refused()

    rotated = rotation.Rotation("everything", (lambda *_: [Question("asked", 200, noted)],), fails)
    monkeypatch.setitem(rotation.ROTATIONS, "hosts", rotated)
    with pytest.raises(Failure, match="no host answers"):
        rotation.rotate(lab.run(), "hosts")

    (kept,) = lab.workspace.directory.rglob("clients.json")
    document: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
    assert document["result"] == "failed"
    assert document["clients"]["failed"] == document["clients"]["requests"] > 0
    entry = list(lab.workspace.ledger.entries())[-1]
    assert (entry["stage"], entry["result"]) == ("rotate hosts", "failed")
    assert entry["failed_requests"] == document["clients"]["failed"]


def test_an_unknown_word_is_answered_with_all_known_ones(lab: Site) -> None:
    """As bad input."""
    with pytest.raises(Failure, match="'everything' can't be rotated") as refused:
        rotation.rotate(lab.run(), "everything")

    assert refused.value.code is ExitCode.BAD_INPUT
    assert "infrastructure-tls" in refused.value.details


@pytest.mark.parametrize("what", ["hosts", "federation", "kubernetes"])
def test_only_an_issuing_authority_is_revoked(lab: Site, what: str) -> None:
    """Whatever else can be rotated."""
    for attempt in (rotation.revoke, partial(rotation.plan, revoke=True)):
        with pytest.raises(Failure, match=f"'{what}' is no issuing authority") as refused:
            attempt(lab.run(), what)
        assert refused.value.code is ExitCode.BAD_INPUT


def test_nobody_asks_about_what_a_revoked_authority_issued(lab: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no answer, as it must be; in good order there is one throughout."""
    monkeypatch.setattr(clients, "status", lambda *_: [Question("status", 200, lambda: None)])
    present = rotation.ROTATIONS["trust-services"]
    asking = replace(present, clients=(clients.status, clients.tls))
    monkeypatch.setitem(rotation.ROTATIONS, "trust-services", asking)

    assert set(rotation.plan(lab.run(), "trust-services")["clients"]) == {"status", "asked"}
    assert set(rotation.plan(lab.run(), "trust-services", revoke=True)["clients"]) == {"asked"}


def test_a_plan_touches_nothing(lab: Site) -> None:
    """It names the clients that would ask."""
    planned = rotation.plan(lab.run(), "infrastructure-tls", revoke=True)

    assert planned["clients"] == {"asked": 200}
    assert not list(lab.workspace.directory.rglob("replacement.json"))
    assert lab.applied == []


def test_a_responder_is_rotated_when_all_tell_so(lab: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not before, however soon the publisher has it."""
    told = iter([{"one": 1, "two": 1}, {"one": 2, "two": 1}, {"one": 2, "two": 2}])
    monkeypatch.setattr(clients, "signers", lambda *_: next(told))
    monkeypatch.setattr(rotation, "run_playbook", lambda *_, **__: PlaybookResult())
    monkeypatch.setattr(rotation.time, "sleep", lambda _: None)

    rotation.rotate(lab.run(), "responder")

    assert next(told, None) is None


def test_a_responder_with_the_former_key_is_told(lab: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its name."""
    told = iter([{"one": 1, "two": 1}])
    monkeypatch.setattr(clients, "signers", lambda *_: next(told, {"one": 2, "two": 1}))
    monkeypatch.setattr(rotation, "run_playbook", lambda *_, **__: PlaybookResult())
    monkeypatch.setattr(rotation, "TOLD_SECONDS", 0)

    with pytest.raises(Failure, match="two still tells answers of the former key"):
        rotation.rotate(lab.run(), "responder")
