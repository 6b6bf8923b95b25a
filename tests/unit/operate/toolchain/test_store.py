"""Cache entries appear whole or not at all, under names made of their parts."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from operate.failure import Failure
from operate.toolchain import store


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_digest_tells_parts_apart() -> None:
    """Parts that run together to the same text have different names; the same parts have one."""
    assert store.digest("ab", "c") != store.digest("a", "bc")
    assert store.digest("ab", b"c") == store.digest("ab", "c")
    assert len(store.digest("x")) == 16


def test_tree_digest_sees_content_names_and_mode(tmp_path: Path) -> None:
    """Whatever reaches a node changes the name; compiled Python doesn't reach one."""
    folder = tmp_path / "tree"
    folder.mkdir()
    script = folder / "setup"
    script.write_text("#!/bin/sh\n")
    before = store.tree_digest(folder)

    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "x.pyc").write_bytes(b"1")
    assert store.tree_digest(folder) == before

    script.chmod(0o755)
    executable = store.tree_digest(folder)
    assert executable != before

    script.rename(folder / "other")
    assert store.tree_digest(folder) != executable


def test_an_entry_appears_when_it_is_whole(tmp_path: Path) -> None:
    """Inside the block the final name doesn't exist; afterwards it holds everything."""
    final = tmp_path / "entry"
    with store.building(final) as folder:
        (folder / "a").write_text("1")
        assert not final.exists()
    assert (final / "a").read_text() == "1"
    assert list(tmp_path.iterdir()) == [final]


def test_a_failed_entry_leaves_nothing(tmp_path: Path) -> None:
    """An exception takes the unfinished folder with it."""

    def fail(folder: Path) -> None:
        (folder / "a").write_text("1")
        raise RuntimeError

    with pytest.raises(RuntimeError), store.building(tmp_path / "entry") as folder:
        fail(folder)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_swept_away(tmp_path: Path) -> None:
    """The next run starts from an empty folder."""
    left_over = tmp_path / ".unfinished-entry"
    left_over.mkdir()
    (left_over / "half").write_text("")
    with store.building(tmp_path / "entry") as folder:
        assert list(folder.iterdir()) == []


def test_a_full_disk_is_said_in_words(tmp_path: Path) -> None:
    """The operating system's error becomes a failure with the next command."""
    with pytest.raises(Failure) as caught, store.building(tmp_path / "entry"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert "is full" in caught.value.message
    assert caught.value.next_step.startswith("df -h ")


def test_refuses_to_begin_without_room() -> None:
    """Before anything is written, with the figures."""
    with pytest.raises(Failure) as caught:
        store.require_room(1e9, "building everything")
    assert "building everything needs 1e+09 GiB" in caught.value.message
    assert "XDG_CACHE_HOME" in caught.value.next_step


def test_a_link_is_exchanged_and_relative(tmp_path: Path) -> None:
    """Relative, because nodes see the folder under another path."""
    link = tmp_path / "dists"
    for name in ("first", "second", "second"):
        store.point(link, tmp_path / "indices" / name)
    assert os.readlink(link) == "indices/second"  # noqa: PTH115 - the text itself is what counts
    assert [path.name for path in tmp_path.iterdir()] == ["dists"]
