"""What module `password_file` keeps of a file and what it makes anew."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SOURCE = Path(__file__).resolve().parents[3] / "ansible/plugins/modules/password_file.py"
ACCOUNTS = [{"name": "push", "password": "one"}, {"name": "pull", "password": "two"}]


@pytest.fixture(scope="module")
def password_file() -> ModuleType:
    specification = importlib.util.spec_from_file_location("password_file", SOURCE)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def fits(password: str, kept: str) -> bool:
    """A hash that shows its password."""
    return kept == f"hash of {password}"


def test_a_hash_that_fits_stays(password_file: ModuleType) -> None:
    """Its salt makes each new one differ, so the file would change at each run."""
    kept = password_file.hashes("push:hash of one\npull:hash of two\n")

    assert password_file.unfit(ACCOUNTS, kept, fits) == []
    assert password_file.rendered(ACCOUNTS, kept) == "push:hash of one\npull:hash of two\n"


@pytest.mark.parametrize("text", ["", "push:hash of one\n", "pull:hash of three\npush:hash of one\n"])
def test_a_new_account_or_password_needs_a_hash(password_file: ModuleType, text: str) -> None:
    lacking = password_file.unfit(ACCOUNTS, password_file.hashes(text), fits)

    assert "pull" in [one["name"] for one in lacking]
    assert ("push" in [one["name"] for one in lacking]) == (text == "")


def test_an_account_that_is_no_longer_listed_is_gone(password_file: ModuleType) -> None:
    kept = password_file.hashes("former:hash of one\npush:hash of one\npull:hash of two\n")

    assert "former" not in password_file.rendered(ACCOUNTS, kept)
