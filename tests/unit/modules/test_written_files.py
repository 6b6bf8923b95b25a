"""When `written_files` lets a file be refused."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import pytest
from tests.ansible_source import loaded


@pytest.fixture(scope="module")
def written_files() -> ModuleType:
    return loaded("ansible/plugins/module_utils/written_files.py")


class RefusedError(Exception):
    """What the module says instead of writing."""


class Host:
    """As much of an Ansible module as a validation needs, with a checker that ends as told."""

    def __init__(self, folder: Path, *, status: int, check_mode: bool) -> None:
        self.tmpdir = str(folder)
        self.check_mode = check_mode
        self._status = status
        self.ran: list[str] = []

    def run_command(self, command: list[str]) -> tuple[int, str, str]:
        self.ran = command
        return self._status, "", "line 1: no"

    def fail_json(self, msg: str) -> NoReturn:
        raise RefusedError(msg)


def wanted(validate: str) -> dict[str, Any]:
    return {"path": "/etc/a.conf", "content": "a\n", "validate": validate}


def test_a_refused_file_is_named_with_what_its_checker_says(written_files: ModuleType, tmp_path: Path) -> None:
    """In check mode too: a checker that is there has the last word."""
    for check_mode in (False, True):
        host = Host(tmp_path, status=1, check_mode=check_mode)

        with pytest.raises(RefusedError, match=r"/etc/a\.conf was refused by sh: line 1: no"):
            written_files._refuse_invalid(host, wanted("sh -c 'check %s'"))


def test_a_checker_gets_a_copy_in_each_place_that_names_it(written_files: ModuleType, tmp_path: Path) -> None:
    host = Host(tmp_path, status=0, check_mode=False)

    written_files._refuse_invalid(host, wanted("sh -c 'check --file=%s'"))

    assert host.ran[:2] == ["sh", "-c"]
    assert host.ran[2].startswith(f"check --file={tmp_path}/")


@pytest.mark.parametrize(
    "validate", ["a-checker-that-is-not-there %s", "timeout 1 a-checker-that-is-not-there %s"]
)
def test_a_checker_that_was_only_predicted_is_missed_in_check_mode_only(
    written_files: ModuleType, tmp_path: Path, validate: str
) -> None:
    """The package that brings it has only been predicted; whoever starts it says by 127 that it isn't there."""
    written_files._refuse_invalid(Host(tmp_path, status=127, check_mode=True), wanted(validate))

    with pytest.raises(RefusedError):
        written_files._refuse_invalid(Host(tmp_path, status=127, check_mode=False), wanted(validate))


def file(path: Path, content: str = "a\n", **changes: Any) -> dict[str, Any]:
    me = {"owner": pwd.getpwuid(os.getuid()).pw_name, "group": grp.getgrgid(os.getgid()).gr_name}
    return {"path": str(path), "content": content, "mode": "0644", "validate": None, **me, **changes}


def test_only_what_differs_is_written(written_files: ModuleType, tmp_path: Path) -> None:
    """A second run finds nothing."""
    host = Host(tmp_path, status=0, check_mode=False)
    wanted_files = [file(tmp_path / "etc/a.conf"), file(tmp_path / "etc/b.conf", mode="0600")]
    links = {str(tmp_path / "etc/c"): "a.conf"}
    pending = written_files.compare(host, wanted_files, links, [])
    pending.write()

    assert pending.paths == [str(tmp_path / "etc" / name) for name in ("a.conf", "b.conf", "c")]
    assert (tmp_path / "etc/c").read_text() == "a\n"
    assert (tmp_path / "etc/b.conf").stat().st_mode & 0o777 == 0o600
    assert written_files.compare(host, wanted_files, links, []).paths == []


def test_a_mode_alone_is_a_difference(written_files: ModuleType, tmp_path: Path) -> None:
    """Whoever changed it."""
    host = Host(tmp_path, status=0, check_mode=False)
    wanted_files = [file(tmp_path / "a.conf")]
    written_files.compare(host, wanted_files, {}, []).write()
    (tmp_path / "a.conf").chmod(0o666)

    assert written_files.compare(host, wanted_files, {}, []).paths == [str(tmp_path / "a.conf")]


def test_one_refused_file_leaves_all_as_they_were(written_files: ModuleType, tmp_path: Path) -> None:
    """Nothing is written before everything was accepted."""
    host = Host(tmp_path, status=1, check_mode=False)
    wanted_files = [file(tmp_path / "a.conf"), file(tmp_path / "b.conf", validate="check %s")]

    with pytest.raises(RefusedError):
        written_files.compare(host, wanted_files, {}, [])
    assert not (tmp_path / "a.conf").exists()


def test_strangers_in_an_owned_directory_go(written_files: ModuleType, tmp_path: Path) -> None:
    """An operator who was taken off the list has no key any more."""
    host = Host(tmp_path, status=0, check_mode=False)
    folder = tmp_path / "keys"
    folder.mkdir()
    (folder / "former").touch()
    pending = written_files.compare(host, [file(folder / "present")], {}, [str(folder)])
    pending.write()

    assert sorted(path.name for path in folder.iterdir()) == ["present"]
