"""Backups on this machine: for their owner alone, there when they are whole, known for damaged."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from operate.backups import kept
from operate.failure import ExitCode, Failure


def keep(place: Path, name: str, day: int, sealed: bytes = b"sealed") -> Path:
    manifest = kept.Manifest(
        host="ss-civil",
        identity="TEST/GOV/CIVILREG/SS-CIVIL",
        version="7.8.0",
        system="ubuntu-24.04",
        taken_at=datetime(2026, 11, day, tzinfo=UTC),
        sha256=kept.digest(sealed),
        size=len(sealed),
    )
    return kept.keep(place, name, sealed, manifest)


def test_the_latest_is_the_last_that_was_taken_and_has_its_manifest(place: Path) -> None:
    """A run that was killed between the two files left a backup that doesn't count, and a part that goes."""
    keep(place, "b.gpg", 20)
    last = keep(place, "a.gpg", 21)
    (place / "ss-civil" / "c.gpg").write_bytes(b"no manifest yet")
    assert kept.latest(place, "ss-civil") == last

    (place / "ss-civil" / ".c.gpg.4711").write_bytes(b"a part")
    assert kept.latest(place, "ss-civil") == last
    assert kept.latest(place, "ss-civil") != keep(place, "c.gpg", 22)
    assert sorted(item.name for item in (place / "ss-civil").iterdir() if item.name.startswith(".")) == []


def test_nobody_else_can_read_it(place: Path) -> None:
    path = keep(place, "a.gpg", 20)
    assert {item.stat().st_mode & 0o777 for item in (path, kept.beside(path))} == {0o600}
    assert {folder.stat().st_mode & 0o777 for folder in (place, path.parent)} == {0o700}


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"seal", "4 bytes, 6 were taken"), (b"sealeD", "its SHA-256 isn't that of its manifest")],
)
def test_a_damaged_one_is_told(place: Path, content: bytes, why: str) -> None:
    path = keep(place, "a.gpg", 20)
    manifest = kept.manifest_of(path)
    assert manifest is not None
    assert manifest.host == "ss-civil"
    path.write_bytes(content)
    with pytest.raises(Failure, match=why) as refused:
        kept.manifest_of(path)
    assert refused.value.code is ExitCode.BAD_INPUT


def test_what_has_no_manifest_speaks_for_itself(place: Path) -> None:
    """As the files that a host's timer brought away; what isn't there is told."""
    path = keep(place, "a.gpg", 20)
    kept.beside(path).unlink()
    assert kept.manifest_of(path) is None
    with pytest.raises(Failure, match="there is no backup of 'ss-civil'"):
        kept.latest(place, "ss-civil")
    path.unlink()
    with pytest.raises(Failure, match="No such file"):
        kept.manifest_of(path)


def test_a_manifest_that_is_none_is_told(place: Path) -> None:
    path = keep(place, "a.gpg", 20)
    kept.beside(path).write_text("{}", encoding="utf-8")
    with pytest.raises(Failure, match="can't be read"):
        kept.manifest_of(path)
