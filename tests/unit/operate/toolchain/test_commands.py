"""A program's failure becomes a sentence, its last words, and the next step."""

from __future__ import annotations

import pytest

from operate.failure import Failure
from operate.toolchain.commands import run


def test_gives_the_output() -> None:
    """And hands over what goes to standard input."""
    assert run(["cat"], purpose="echoing", given="text") == "text"


def test_a_missing_program_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    """The package may be called otherwise than the program."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Failure) as caught:
        run(["apt-ftparchive"], purpose="indexing")
    assert caught.value.message == "indexing needs the program apt-ftparchive, which isn't installed"
    assert caught.value.next_step == "apt-get install --yes apt-utils"


def test_a_failure_shows_the_last_lines() -> None:
    """Of both outputs, with the status."""
    with pytest.raises(Failure) as caught:
        run(["sh", "-c", "seq 40; echo broken >&2; exit 3"], purpose="counting", next_step="count again")
    assert caught.value.message == "counting failed: sh ended with status 3"
    assert caught.value.details.splitlines()[-1] == "broken"
    assert len(caught.value.details.splitlines()) == 12
    assert caught.value.next_step == "count again"


def test_a_full_disk_is_recognised() -> None:
    """Whichever program met it."""
    with pytest.raises(Failure) as caught:
        run(["sh", "-c", "echo 'write: No space left on device' >&2; exit 1"], purpose="packing")
    assert "no room left" in caught.value.message
    assert caught.value.next_step.startswith("df -h")
