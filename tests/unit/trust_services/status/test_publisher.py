"""The authority's side signs only what is due, and publishes at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from trust_services import files
from trust_services.certificate_state import CertificateState
from trust_services.refusal import Refusal
from trust_services.status.publisher import Published, Publisher, publish_crl
from trust_services.status.verification import HeldAnswers

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)
MANY = [CertificateState(serial) for serial in range(1, 21)]


def publisher(pki: Any, folder: Path) -> Publisher:
    return Publisher(folder / "trust.answers", pki.signer, HOUR)


def read(pki: Any, folder: Path, now: datetime = NOW) -> HeldAnswers:
    found: HeldAnswers = pki.authority.answers((folder / "trust.answers").read_bytes(), None, now)
    return found


def test_a_publication_holds_two_answers_for_each_certificate(pki: Any, tmp_path: Path) -> None:
    assert publisher(pki, tmp_path).publish(MANY, NOW) == Published(signed=20, waiting=0, answers=40)
    assert len(read(pki, tmp_path).by_request) == 40


def test_revoking_one_signs_that_one_alone_and_publishes_it(pki: Any, tmp_path: Path) -> None:
    made = publisher(pki, tmp_path)
    made.publish(MANY, NOW)
    before = read(pki, tmp_path).by_request
    later = NOW + timedelta(seconds=5)

    states = [
        CertificateState(7, later, x509.ReasonFlags.superseded),
        *(one for one in MANY if one.serial != 7),
    ]
    assert made.publish(states, later) == Published(signed=1, waiting=0, answers=40)

    after = read(pki, tmp_path).by_request
    changed = {
        after[request].answer.serial for request in after if after[request].answer != before[request].answer
    }
    assert changed == {7}
    assert after[pki.request(7)].answer.revoked_at == later.replace(microsecond=0)


def test_a_round_without_anything_due_writes_nothing(pki: Any, tmp_path: Path) -> None:
    made = publisher(pki, tmp_path)
    made.publish(MANY, NOW)
    before = (tmp_path / "trust.answers").stat()

    assert made.publish(MANY, NOW + timedelta(minutes=5)) == Published(signed=0, waiting=0, answers=40)
    assert (tmp_path / "trust.answers").stat().st_ino == before.st_ino


def test_a_file_that_was_removed_is_written_again(pki: Any, tmp_path: Path) -> None:
    made = publisher(pki, tmp_path)
    made.publish(MANY, NOW)
    (tmp_path / "trust.answers").unlink()

    assert made.publish(MANY, NOW).signed == 0
    assert len(read(pki, tmp_path).by_request) == 40


def test_rounds_are_bounded_and_a_revocation_doesnt_wait_for_old_answers(pki: Any, tmp_path: Path) -> None:
    made = publisher(pki, tmp_path)
    made.publish(MANY, NOW)
    later = NOW + timedelta(minutes=25)
    states = [*MANY[:-1], CertificateState(20, later)]

    assert made.publish(states, later, at_most=3) == Published(signed=3, waiting=17, answers=40)
    assert read(pki, tmp_path, later).by_request[pki.request(20)].answer.revoked_at is not None
    assert made.publish(states, later, at_most=100) == Published(signed=17, waiting=0, answers=40)


def test_a_certificate_that_is_gone_loses_its_answers(pki: Any, tmp_path: Path) -> None:
    made = publisher(pki, tmp_path)
    made.publish(MANY, NOW)

    assert made.publish(MANY[1:], NOW).answers == 38
    assert pki.request(1) not in read(pki, tmp_path).by_request


def test_a_restart_goes_on_where_it_was(pki: Any, tmp_path: Path) -> None:
    publisher(pki, tmp_path).publish(MANY, NOW)
    made = publisher(pki, tmp_path)

    assert made.resume(NOW) == ""
    assert made.publish(MANY, NOW).signed == 0


@pytest.mark.parametrize("content", [None, b"damaged"])
def test_a_restart_without_a_good_publication_signs_all(
    pki: Any, tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "trust.answers").write_bytes(content)
    made = publisher(pki, tmp_path)

    assert made.resume(NOW) != ""
    assert made.publish(MANY, NOW).signed == 20
    assert len(read(pki, tmp_path).by_request) == 40


def test_a_full_disk_keeps_the_old_file_and_the_next_round_writes(
    pki: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = publisher(pki, tmp_path)
    made.publish(MANY, NOW)
    later = [CertificateState(1, NOW), *MANY[1:]]

    def no_room(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files, "write", no_room)
        with pytest.raises(OSError, match="No space left"):
            made.publish(later, NOW)
    assert read(pki, tmp_path).by_request[pki.request(1)].answer.revoked_at is None

    made.publish(later, NOW)
    assert read(pki, tmp_path).by_request[pki.request(1)].answer.revoked_at is not None


def test_a_crl_lies_beside(pki: Any, tmp_path: Path) -> None:
    place = tmp_path / "trust.crl"
    arguments: dict[str, Any] = {"this_update": NOW, "next_update": NOW + HOUR}
    publish_crl(place, pki.certificate, pki.key, [CertificateState(7, NOW)], number=3, **arguments)

    held = pki.authority.revocation_list(place.read_bytes(), None, NOW)
    assert held.number == 3
    with pytest.raises(Refusal):
        publish_crl(place, pki.certificate, pki.responder_key, [], number=4, **arguments)
    assert place.read_bytes() == held.der
