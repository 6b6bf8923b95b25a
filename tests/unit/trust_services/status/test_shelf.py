"""A responder's host keeps the last good files in force."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from trust_services.certificate_state import CertificateState
from trust_services.refusal import Refusal
from trust_services.status.shelf import Shelf


def test_nothing_is_complete_before_the_first_publication(site: Any) -> None:
    shelf = site.shelf()

    assert not shelf.complete
    assert shelf.stale(time.time()) == ["trust.answers"]


def test_a_new_publication_replaces_the_old(
    site: Any, good: CertificateState, revoked: CertificateState
) -> None:
    site.publish(site.pki.publication(good))
    shelf = site.shelf()
    before = shelf.answers
    site.publish(site.pki.publication(good, revoked))
    shelf.look()

    assert len(before) == 2
    assert len(shelf.answers) == 4
    assert shelf.complete
    assert shelf.stale(time.time()) == []


@pytest.mark.parametrize("damage", ["truncated", "corrupted", "empty", "older"])
def test_a_bad_publication_is_refused_as_a_whole(
    site: Any,
    good: CertificateState,
    revoked: CertificateState,
    damage: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    site.publish(site.pki.publication(good))
    shelf = site.shelf()
    before = shelf.answers
    content = site.pki.publication(good, revoked)
    site.publish(
        {
            "truncated": content[:-1],
            "corrupted": content[:-1] + bytes([content[-1] ^ 1]),
            "empty": b"",
            "older": site.pki.publication(good, revoked, age=30),
        }[damage]
    )
    shelf.look()
    shelf.look()

    assert shelf.answers is before
    assert shelf.publications["trust"].refused
    # Told once, not at each look.
    assert capsys.readouterr().err.count("is refused, what was in force stays") == 1

    site.publish(site.pki.publication(good, revoked))
    shelf.look()
    assert len(shelf.answers) == 4
    assert not shelf.publications["trust"].refused


def test_a_file_that_vanishes_changes_nothing(site: Any, good: CertificateState) -> None:
    place = site.publish(site.pki.publication(good))
    shelf = site.shelf()
    place.unlink()
    shelf.look()

    assert len(shelf.answers) == 2


def test_authorities_are_served_together(site: Any, other: Any, good: CertificateState) -> None:
    (site.folder / "other.pem").write_bytes(other.certificate.public_bytes(Encoding.PEM))
    authorities = [
        *site.document()["authorities"],
        {"name": "other", "certificate": str(site.folder / "other.pem"), "publishes": ["answers"]},
    ]
    site.publish(site.pki.publication(good))
    shelf = site.shelf(authorities=authorities)
    assert not shelf.complete

    site.publish(other.publication(good), "other.answers")
    shelf.look()
    assert shelf.complete
    assert {site.pki.request(good.serial), other.request(good.serial)} <= set(shelf.answers)


def test_staleness_is_seen(site: Any, good: CertificateState, revoked: CertificateState) -> None:
    site.publish(site.pki.publication(good, age=3500))
    shelf = site.shelf()

    assert shelf.stale(time.time()) == []
    assert shelf.stale(time.time() + 101) == ["trust.answers"]


def test_the_watch_finds_a_change_and_survives_trouble(
    site: Any, good: CertificateState, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = site.shelf(poll_seconds=0.02)
    look, troubles = shelf.look, [RuntimeError("once")]

    def troubled() -> None:
        if troubles:
            raise troubles.pop()
        look()

    monkeypatch.setattr(shelf, "look", troubled)
    shelf.watch()
    site.publish(site.pki.publication(good))
    deadline = time.monotonic() + 20
    while not shelf.complete and time.monotonic() < deadline:
        time.sleep(0.02)

    assert shelf.complete
    assert troubles == []


def test_a_certificate_that_cant_be_read_is_refused(site: Any, tmp_path: Path) -> None:
    settings = site.settings()
    (tmp_path / "authority.pem").write_text("no certificate")

    with pytest.raises(Refusal, match=r"authority 'trust': .*authority\.pem can't be read"):
        Shelf(settings)
