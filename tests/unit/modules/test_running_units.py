"""What `running_units` decides from systemd's answers and the files' times."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.ansible_source import loaded

STARTED = 1_790_000_000.25


@pytest.fixture(scope="module")
def running_units() -> ModuleType:
    return loaded("ansible/plugins/module_utils/running_units.py")


def shown(**changes: str) -> str:
    """What `systemctl show` says of a healthy unit, with changes."""
    lines = {
        "LoadState": "loaded",
        "ActiveState": "active",
        "UnitFileState": "enabled",
        "NeedDaemonReload": "no",
        "FragmentPath": "",
        "DropInPaths": "",
        "ActiveEnterTimestamp": "Mon 2026-09-21 14:13:20.250000 UTC",
        "StateChangeTimestamp": "Mon 2026-09-21 14:13:20.250000 UTC",
    }
    return "\n".join(f"{name}={value}" for name, value in {**lines, **changes}.items())


def unit(**changes: Any) -> dict[str, Any]:
    return {"name": "a.service", "enabled": True, "reads": [], "reloads": [], **changes}


def file(path: Path, *, seconds_after_start: float) -> str:
    path.touch()
    os.utime(path, (STARTED + seconds_after_start,) * 2)
    return str(path)


def test_times_are_read_in_utc_with_microseconds(running_units: ModuleType) -> None:
    """A second's precision would miss a file written in the second in which the unit started."""
    assert running_units.moment("Mon 2026-09-21 14:13:20.250000 UTC") == STARTED
    assert running_units.moment("n/a") == 0
    assert running_units.moment("") == 0


@pytest.mark.parametrize(
    ("changes", "verbs"),
    [
        ({}, []),
        ({"UnitFileState": "static"}, []),
        ({"UnitFileState": "disabled"}, ["enable"]),
        ({"ActiveState": "inactive"}, ["start"]),
        ({"ActiveState": "failed"}, ["start"]),
        ({"ActiveState": "activating"}, []),
        ({"NeedDaemonReload": "yes"}, ["restart"]),
        (
            {
                "LoadState": "not-found",
                "ActiveState": "inactive",
                "UnitFileState": "",
                "ActiveEnterTimestamp": "",
            },
            ["enable", "start"],
        ),
    ],
)
def test_state_decides(running_units: ModuleType, changes: dict[str, str], verbs: list[str]) -> None:
    """Only what differs from enabled, started and read is done."""
    assert running_units.due(unit(), running_units.state(shown(**changes))) == verbs


def test_a_unit_of_a_generator_is_never_enabled(running_units: ModuleType) -> None:
    """It starts at boot by its generator and has no file that could be enabled."""
    found = running_units.state(shown(UnitFileState="disabled"))

    assert running_units.due(unit(enabled=False), found) == []


@pytest.mark.parametrize(("seconds", "verbs"), [(-1, []), (0, []), (0.01, ["restart"])])
def test_a_newer_file_is_a_reason_for_a_restart(
    running_units: ModuleType, tmp_path: Path, seconds: float, verbs: list[str]
) -> None:
    """Whoever wrote it: a run that was killed, a renewal, an operator."""
    path = file(tmp_path / "settings", seconds_after_start=seconds)

    assert running_units.due(unit(reads=[path]), running_units.state(shown())) == verbs


def test_a_newer_unit_file_is_a_reason_for_a_restart(running_units: ModuleType, tmp_path: Path) -> None:
    """Somebody else may have let systemd read it without a restart."""
    path = file(tmp_path / "drop-in.conf", seconds_after_start=1)

    assert running_units.due(unit(), running_units.state(shown(DropInPaths=path))) == ["restart"]


def test_a_file_that_is_read_again_needs_a_reload_only(running_units: ModuleType, tmp_path: Path) -> None:
    """Since the last reload, not since the start."""
    path = file(tmp_path / "rules", seconds_after_start=10)
    later = "Mon 2026-09-21 14:13:31.000000 UTC"

    assert running_units.due(unit(reloads=[path]), running_units.state(shown())) == ["reload"]
    assert running_units.due(unit(reloads=[path]), running_units.state(shown(StateChangeTimestamp=later))) == []


def test_a_restart_takes_the_place_of_a_reload(running_units: ModuleType, tmp_path: Path) -> None:
    """A reload of a process that has only just started would end some of them."""
    path = file(tmp_path / "settings", seconds_after_start=1)

    assert running_units.due(unit(reads=[path], reloads=[path]), running_units.state(shown())) == ["restart"]


@pytest.mark.parametrize(
    ("changes", "again"),
    [
        ({}, False),
        ({"UnitFileState": "disabled"}, False),
        ({"LoadState": "not-found", "ActiveState": "inactive"}, True),
        ({"NeedDaemonReload": "yes"}, True),
        ({"ActiveState": "inactive"}, True),
    ],
)
def test_unit_files_are_read_before_anything_starts(
    running_units: ModuleType, changes: dict[str, str], again: bool
) -> None:
    """A unit that is started may bring others along, whose files nobody looked at."""
    found = running_units.state(shown(**changes))

    assert running_units.must_read_again({"a": running_units.due(unit(), found)}, {"a": found}) is again


def test_a_link_counts_as_its_target(running_units: ModuleType, tmp_path: Path) -> None:
    """Renewed certificates are read through links."""
    target = file(tmp_path / "new.crt", seconds_after_start=1)
    link = tmp_path / "link.crt"
    link.symlink_to(target)

    assert running_units.newer([str(link), str(tmp_path / "missing")], STARTED) == [str(link)]
