"""Which authorities the root is still to certify, and what an apply does about it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from estate.load import load
from estate.project.ceremony import agenda
from estate.site import Overlay
from operate import certification
from operate.failure import Failure
from operate.playbooks import PlaybookResult
from operate.reporting import Report
from operate.run import Run
from operate.workspace import Workspace
from trust_services.ceremony.agenda import Agenda
from trust_services.ceremony.records import History
from trust_services.ceremony.requests import Content
from trust_services.ceremony.transcript import RevokedEntry

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def certificate(subject: x509.Name, days: int = 100) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )


@pytest.fixture
def history(monkeypatch: pytest.MonkeyPatch) -> History:
    """What the records say; nothing at first."""
    found = History()
    monkeypatch.setattr(certification, "recorded", lambda _: found)
    return found


def run_of(site: str, tmp_path: Path) -> Run:
    return Run(Workspace(site, tmp_path, "lab" if site == "lab" else None), load(site), Report())


def certify(history: History, run: Run) -> None:
    told = Agenda.model_validate(agenda(run.estate))
    for name, authority in told.authorities.items():
        history.present[name] = certificate(told.subject(authority.common_name))


def test_without_records_every_authority_is_wanting(tmp_path: Path, history: History) -> None:
    run = run_of("lab", tmp_path)
    assert certification.wanting(run, NOW) == [
        "trust-services",
        "infrastructure-tls",
        "kubernetes",
        "kubernetes-etcd",
        "kubernetes-front-proxy",
    ]
    assert certification.plan(run).startswith("the root would certify trust-services, infrastructure-tls, kube")
    certify(history, run)
    assert certification.wanting(run, NOW) == []


def test_certificates_are_renewed_before_they_end(tmp_path: Path, history: History) -> None:
    run = run_of("lab", tmp_path)
    certify(history, run)
    assert certification.wanting(run, NOW + timedelta(days=74)) == []
    assert len(certification.wanting(run, NOW + timedelta(days=76))) == 5
    assert len(certification.wanting(run, NOW + timedelta(days=700))) == 5


def test_another_name_is_another_authority(tmp_path: Path, history: History) -> None:
    run = run_of("lab", tmp_path)
    certify(history, run)
    told = Agenda.model_validate(agenda(run.estate))
    history.present["trust-services"] = certificate(told.subject("Another CA"))
    assert certification.wanting(run, NOW) == ["trust-services"]


def test_outside_a_lab_requests_are_carried(
    tmp_path: Path, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The apply stops with the files to carry; nobody's root is used behind their back."""
    run = run_of("staging", tmp_path)
    waiting = tmp_path / "ceremony" / "requests" / "trust-services-issue-1.json"

    def prepare(*_: object, **__: object) -> PlaybookResult:
        waiting.parent.mkdir(parents=True)
        waiting.write_text("{}", encoding="utf-8")
        return PlaybookResult()

    monkeypatch.setattr(certification, "run_playbook", prepare)
    with pytest.raises(Failure, match=r"1 requests wait for the root's ceremony") as refused:
        certification.settle(run)
    assert str(waiting) in refused.value.details
    assert "docs/root-ceremony.md" in refused.value.next_step


def test_what_is_in_force_is_published_once(tmp_path: Path, history: History) -> None:
    run = run_of("lab", tmp_path)
    certify(history, run)
    for name, found in history.present.items():
        # Valid today, whenever that is.
        history.present[name] = certificate(found.subject, days=36500)
    history.root = certificate(x509.Name([]))
    record = tmp_path / "ceremony" / "records" / "0001"
    record.mkdir(parents=True)
    (record / "root.crl").write_text("list\n", encoding="ascii")
    history.folders.append(record)
    history.transcripts.append(SimpleNamespace(issued=()))  # type: ignore[arg-type] # that issued nothing more
    assert certification.settle(run).changed == 7
    assert certification.settle(run).changed == 0
    issued = tmp_path / "ceremony" / "issued"
    assert {path.name for path in issued.iterdir()} == {
        "root.crt",
        "root.crl",
        "trust-services.crt",
        "infrastructure-tls.crt",
        "kubernetes.crt",
        "kubernetes-etcd.crt",
        "kubernetes-front-proxy.crt",
    }
    written = x509.load_pem_x509_certificate((issued / "trust-services.crt").read_bytes())
    assert written.public_bytes(Encoding.DER) == history.present["trust-services"].public_bytes(Encoding.DER)


def test_what_was_revoked_is_published_no_more(tmp_path: Path, history: History) -> None:
    """A role that would use it finds nothing and says that the root must certify again."""
    test_what_is_in_force_is_published_once(tmp_path, history)
    run = run_of("lab", tmp_path)
    issued = tmp_path / "ceremony" / "issued"
    (issued / "former.crt").write_text("a certificate\n", encoding="ascii")

    assert certification.settle(run).changed == 1
    assert not (issued / "former.crt").exists()


def test_outside_a_lab_the_custodians_revoke(tmp_path: Path, history: History) -> None:
    """With a request that nobody signed: a thief of the key could have signed one as well."""
    run = run_of("staging", tmp_path)
    certify(history, run)
    digest = history.present["trust-services"].fingerprint(hashes.SHA256()).hex()

    with pytest.raises(Failure, match="the custodians must decide") as refused:
        certification.revoke(run, "trust-services", digest)

    (request,) = (tmp_path / "ceremony" / "requests").glob("*.json")
    content = Content.model_validate_json(request.read_bytes())
    assert (content.kind, content.certificate, content.reason) == ("revoke", digest, "key_compromise")
    assert f"--request {request} --by-quorum {request.name}" in refused.value.next_step
    with pytest.raises(Failure):
        certification.revoke(run, "trust-services", digest)
    assert list((tmp_path / "ceremony" / "requests").glob("*.json")) == [request]


def test_what_is_revoked_already_is_not_revoked_again(tmp_path: Path, history: History) -> None:
    """The successor stays."""
    run = run_of("lab", tmp_path)
    certify(history, run)

    assert certification.revoke(run, "trust-services", "00" * 32) == 0
    history.present.clear()
    assert certification.revoke(run, "trust-services", "00" * 32) == 0


def test_former_generations_are_published_until_they_are_revoked(
    tmp_path: Path, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last certificate of each: what it issued is still told about."""
    test_what_is_in_force_is_published_once(tmp_path, history)
    run = run_of("lab", tmp_path)
    run = replace(run, estate=run.estate.with_overlay(Overlay(generations={"trust-services": 2})))
    told = Agenda.model_validate(agenda(run.estate))
    names = ("SMARTGOUV Lab Trust Services CA", "SMARTGOUV Lab Trust Services CA G2")
    first, last, successor = (
        certificate(told.subject(name), days=36500) for name in (names[0], names[0], names[1])
    )
    history.present["trust-services"] = successor
    issued = {"trust-services": [first, last, successor]}
    monkeypatch.setattr(history, "certificates", lambda name: issued.get(name, []))
    folder = tmp_path / "ceremony" / "issued"

    certification.settle(run)
    former = x509.load_pem_x509_certificate((folder / "trust-services-1.crt").read_bytes())
    assert former.serial_number == last.serial_number
    assert (folder / "trust-services-2.crt").read_bytes() == (folder / "trust-services.crt").read_bytes()

    entry = RevokedEntry(serial=last.serial_number, at=NOW, reason="key_compromise")
    gone = RevokedEntry(serial=first.serial_number, at=NOW, reason="key_compromise")
    history.revoked = (entry, gone)
    certification.settle(run)
    assert not (folder / "trust-services-1.crt").exists()
