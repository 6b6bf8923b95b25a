"""Files and links are replaced in one step."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trust_services import files


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "file"
    files.write(place, b"old")

    def no_room(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(OSError, match="No space left"):
        files.write(place, b"new")

    assert place.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [place]


def test_a_written_file_can_be_read_by_others(tmp_path: Path) -> None:
    files.write(tmp_path / "file", b"content")

    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


def test_a_link_takes_the_place_of_a_file_or_a_link(tmp_path: Path) -> None:
    place = tmp_path / "link"
    place.write_text("a file")
    (tmp_path / ".link.link").symlink_to("left by a run that was killed")
    for target in ("one", "two"):
        files.link(place, Path(target))
        assert place.readlink() == Path(target)
    assert list(tmp_path.iterdir()) == [place]
