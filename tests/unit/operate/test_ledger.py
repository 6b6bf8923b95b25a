"""The ledger shows every change to what was written, and survives being killed."""

from __future__ import annotations

import json
from multiprocessing import get_context
from pathlib import Path

import pytest

from operate.ledger import GENESIS, Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A ledger with three entries."""
    found = Ledger(tmp_path / "ledger.jsonl")
    for stage in ("base", "trust", "data"):
        found.append({"stage": stage, "result": "ok"})
    return found


def test_entries_are_linked(ledger: Ledger) -> None:
    """Each entry carries the digest of the one before; the first carries none."""
    entries = list(ledger.entries())
    result = ledger.verify()

    assert [entry["stage"] for entry in entries] == ["base", "trust", "data"]
    assert entries[0]["previous"] == GENESIS
    assert [entry["previous"] for entry in entries[1:]] == list(result.digests[:-1])
    assert (result.entries, result.breaks, result.torn) == (3, (), False)


def test_the_digest_of_an_entry_is_returned(tmp_path: Path) -> None:
    """Whoever appends can keep the digest elsewhere."""
    ledger = Ledger(tmp_path / "ledger.jsonl")

    assert ledger.append({"stage": "base"}) == ledger.verify().head


@pytest.mark.parametrize(
    ("change", "line"),
    [
        pytest.param(lambda lines: [lines[0], lines[1].replace("trust", "data"), lines[2]], 3, id="changed"),
        pytest.param(lambda lines: [lines[0], lines[2]], 2, id="removed"),
        pytest.param(lambda lines: lines[1:], 1, id="beginning-cut"),
        pytest.param(lambda lines: [lines[1], lines[0], lines[2]], 1, id="reordered"),
        pytest.param(lambda lines: [lines[0], "not json", lines[2]], 2, id="not-json"),
        pytest.param(lambda lines: [lines[0].replace('":"', '": "', 1), *lines[1:]], 1, id="rewritten"),
    ],
)
def test_tampering_is_found_where_it_happened(ledger: Ledger, change, line: int) -> None:
    """Verification names the first line whose link doesn't hold."""
    lines = ledger.path.read_text().splitlines()
    ledger.path.write_text("\n".join(change(lines)) + "\n")

    assert ledger.verify().breaks[0].line == line


def test_cutting_the_end_is_found_with_a_digest_kept_elsewhere(ledger: Ledger) -> None:
    """The file alone can't show it."""
    head = ledger.verify().head
    lines = ledger.path.read_text().splitlines()
    ledger.path.write_text("\n".join(lines[:-1]) + "\n")

    result = ledger.verify()

    assert result.breaks == ()
    assert head not in result.digests


def test_a_torn_last_line_is_kept_as_evidence_and_repaired(ledger: Ledger) -> None:
    """A run that was killed while writing costs nothing but its own entry."""
    with ledger.path.open("a") as file:
        file.write('{"stage":"clus')
    assert ledger.verify().torn
    assert [entry["stage"] for entry in ledger.entries()] == ["base", "trust", "data"]

    ledger.append({"stage": "cluster"})

    result = ledger.verify()
    assert (result.entries, result.breaks, result.torn) == (4, (), False)
    assert list(ledger.entries())[-1]["repaired_bytes"] == 14
    assert ledger.path.with_suffix(".torn").read_text() == '{"stage":"clus\n'


def test_entries_of_several_processes_make_one_chain(tmp_path: Path) -> None:
    """Writers wait for one another."""
    path = tmp_path / "ledger.jsonl"
    context = get_context("fork")
    writers = [context.Process(target=_write, args=(path, number)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    result = Ledger(path).verify()

    assert (result.entries, result.breaks) == (40, ())


def test_the_file_is_private(ledger: Ledger) -> None:
    """It says who did what."""
    assert ledger.path.stat().st_mode & 0o777 == 0o600


def test_no_file_is_an_empty_ledger(tmp_path: Path) -> None:
    """Before the first run there's nothing to verify."""
    result = Ledger(tmp_path / "ledger.jsonl").verify()

    assert (result.entries, result.head, result.torn) == (0, GENESIS, False)


def test_lines_are_json_that_others_can_read(ledger: Ledger) -> None:
    """An auditor needs no program of ours."""
    for line in ledger.path.read_text().splitlines():
        assert json.loads(line)["result"] == "ok"


def _write(path: Path, number: int) -> None:
    for count in range(10):
        Ledger(path).append({"writer": number, "count": count})
