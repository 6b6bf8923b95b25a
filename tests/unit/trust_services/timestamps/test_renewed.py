"""A renewed certificate and key are taken over while the service runs, if they are right."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.unit.trust_services.timestamps.conftest import CertificateAuthority

from trust_services import files
from trust_services.timestamps.renewed import IdentityWatch
from trust_services.timestamps.settings import Identity, read_settings

Looks = Callable[[], list[Identity]]


@pytest.fixture
def look(config: Path) -> Looks:
    """Looks once; what the service was given."""
    watch = IdentityWatch(config, read_settings(config))

    def once() -> list[Identity]:
        given: list[Identity] = []
        assert watch.look(given.append) == bool(given)
        return given

    return once


def test_what_stays_isnt_given_again(look: Looks) -> None:
    assert look() == []


def test_a_renewed_certificate_is_given_once(look: Looks, config: Path, authority: Any, key: Any) -> None:
    made = authority.issue(key)
    files.write(config.parent / "certificate.pem", authority.pem(made))
    (given,) = look()

    assert given.certificate == made
    assert look() == []


def test_a_new_key_is_given_with_its_certificate_only(
    look: Looks, config: Path, authority: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """While one of them is still the old one, the old ones stay; that is told once."""
    key = rsa.generate_private_key(65537, 3072)
    files.write(config.parent / "key.pem", authority.encrypted(key), 0o600)
    assert look() == []
    assert look() == []
    assert capsys.readouterr().err.count("the old ones stay") == 1
    made = authority.issue(key)
    files.write(config.parent / "certificate.pem", authority.pem(made))
    (given,) = look()

    assert given.certificate == made
    assert given.key.public_key() == key.public_key()


@pytest.mark.parametrize("bad", ["gone", "nonsense", "ended", "of another chain", "for something else"])
def test_a_bad_one_is_told_and_the_old_one_stays(
    look: Looks, config: Path, authority: Any, key: Any, bad: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place = config.parent / "certificate.pem"
    good = place.read_bytes()
    if bad == "gone":
        place.unlink()
    else:
        content = {
            "nonsense": b"nonsense",
            "ended": authority.pem(authority.issue(key, ends=timedelta(hours=-1))),
            "of another chain": authority.pem(CertificateAuthority("Another").issue(key)),
            "for something else": authority.pem(authority.issue(key, [])),
        }[bad]
        files.write(place, content)
    for _ in range(3):
        assert look() == []
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "certificate.pem" in told or "chain.pem" in told

    files.write(place, good)
    assert [given.certificate for given in look()] == [authority_certificate(good)]


def authority_certificate(pem: bytes) -> Any:
    from cryptography import x509

    return x509.load_pem_x509_certificate(pem)


def test_a_worker_that_starts_later_takes_over_what_is_there(config: Path, authority: Any, key: Any) -> None:
    """Although its server read the files before they were exchanged."""
    watch = IdentityWatch(config, read_settings(config))
    made = authority.issue(key)
    files.write(config.parent / "certificate.pem", authority.pem(made))
    given: list[Identity] = []
    watch.start(given.append, seconds=3600)
    watch.stop()

    assert [one.certificate for one in given] == [made]


def test_the_chain_may_be_left_out(config: Path) -> None:
    told = json.loads(config.read_text())
    del told["chain"]
    config.write_text(json.dumps(told))

    assert not IdentityWatch(config, read_settings(config)).look(lambda _: None)
