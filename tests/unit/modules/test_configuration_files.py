"""When module `configuration_files` lets a file be refused."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import pytest

SOURCE = Path(__file__).resolve().parents[3] / "ansible/plugins/modules/configuration_files.py"


@pytest.fixture(scope="module")
def configuration_files() -> ModuleType:
    specification = importlib.util.spec_from_file_location("configuration_files", SOURCE)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


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


def test_a_refused_file_is_named_with_what_its_checker_says(
    configuration_files: ModuleType, tmp_path: Path
) -> None:
    """In check mode too: a checker that is there has the last word."""
    for check_mode in (False, True):
        host = Host(tmp_path, status=1, check_mode=check_mode)

        with pytest.raises(RefusedError, match=r"/etc/a\.conf was refused by sh: line 1: no"):
            configuration_files._refuse_invalid(host, wanted("sh -c 'check %s'"))


def test_a_checker_gets_a_copy_in_each_place_that_names_it(
    configuration_files: ModuleType, tmp_path: Path
) -> None:
    host = Host(tmp_path, status=0, check_mode=False)

    configuration_files._refuse_invalid(host, wanted("sh -c 'check --file=%s'"))

    assert host.ran[:2] == ["sh", "-c"]
    assert host.ran[2].startswith(f"check --file={tmp_path}/")


@pytest.mark.parametrize(
    "validate", ["a-checker-that-is-not-there %s", "timeout 1 a-checker-that-is-not-there %s"]
)
def test_a_checker_that_was_only_predicted_is_missed_in_check_mode_only(
    configuration_files: ModuleType, tmp_path: Path, validate: str
) -> None:
    """The package that brings it has only been predicted; whoever starts it says by 127 that it isn't there."""
    configuration_files._refuse_invalid(Host(tmp_path, status=127, check_mode=True), wanted(validate))

    with pytest.raises(RefusedError):
        configuration_files._refuse_invalid(Host(tmp_path, status=127, check_mode=False), wanted(validate))
