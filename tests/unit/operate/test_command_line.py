"""However a command ends, people read a sentence and a next step, and programs an exit code."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import typer

from operate import command_line
from operate.failure import ExitCode
from operate.reporting import Report


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_with_the_place(
    number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wherever it was met: not a traceback."""
    with pytest.raises(typer.Exit) as caught, command_line.reported(Report()):
        raise OSError(number, "no room", str(tmp_path / "runs/events.jsonl"))

    assert caught.value.exit_code == ExitCode.FAILED
    shown = capsys.readouterr().out
    assert f"the disk that holds {tmp_path / 'runs'} is full" in shown
    assert f"df -h {tmp_path / 'runs'}" in shown


def test_a_full_disk_without_a_name_is_told_with_the_state(capsys: pytest.CaptureFixture[str]) -> None:
    """A failed write doesn't say of which file."""
    with pytest.raises(typer.Exit), command_line.reported(Report()):
        Path("/dev/full").write_text("x", encoding="utf-8")

    assert "smartgouv is full" in capsys.readouterr().out


def test_another_error_of_the_system_stays_an_error() -> None:
    """A defect must not pass as a full disk."""
    with pytest.raises(PermissionError), command_line.reported(Report()):
        raise PermissionError(errno.EACCES, "refused", "/x")


def test_stopping_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C ends with 130."""
    with pytest.raises(typer.Exit) as caught, command_line.reported(Report(), interrupted="Again goes on."):
        raise KeyboardInterrupt

    assert caught.value.exit_code == ExitCode.INTERRUPTED
    assert "stopped. Again goes on." in capsys.readouterr().out
