"""The admin accounts' hashes are those that a host already has, and no process list shows the password."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import Environment

ROLES = Path(__file__).resolve().parents[3] / "roles"

KNOWN = {
    "a-long-password": "sh2YaBjJvmk7j13tlYgdrnUVTTyFE5Q2r6ZXS10HJJeRipMYrf5Rai0TMaqcMqTDOnqTqyS7jLkOc.GhX6c6r.",
    "pâß wörd$x\\'\"": "Dt/hHkLw7Gt.BfIRemES0Rv96IF3CJH9bDj9pBWHvW8UwGguyoCgnht.Wq955C1FZ3fBZqn2xNSzxzsWAsHKT/",
    "x" * 80: ".pMAHY0jLBdzPeArSGDc77iW7CcpzFm0KMAHLGf3can.YStASXk8Q5WN7MzRP9YZe9ISEHLCK6C.xeOZ9/F4k1",
}
"""SHA-512 crypt of 5000 rounds with the salt of host ss1, computed by passlib."""


@pytest.fixture
def task() -> dict[str, Any]:
    """The task that makes the hash."""
    tasks = yaml.safe_load((ROLES / "xroad_server/tasks/configure.yml").read_text(encoding="utf-8"))
    (found,) = (each for each in tasks if each.get("register") == "__xroad_server_answers")
    return dict(found)


def argv(task: dict[str, Any]) -> list[str]:
    """The command on host ss1, of which it may know the name alone."""
    templates = Environment(autoescape=False)  # noqa: S701 - a command, not a page
    templates.filters["hash"] = lambda text, kind: hashlib.new(kind, text.encode()).hexdigest()
    words = task["vars"]["__xroad_server_account"]["hash"]["argv"]
    return [templates.from_string(word).render(inventory_hostname="ss1") for word in words]


@pytest.mark.parametrize(("password", "checksum"), KNOWN.items())
def test_a_password_has_one_hash(task: dict[str, Any], password: str, checksum: str) -> None:
    """Else each apply would change the account."""
    done = subprocess.run(argv(task), input=f"{password}\n", capture_output=True, text=True, check=True)

    assert done.stdout.strip() == f"$6$b2c21dbb68957cc0${checksum}"


def test_the_password_is_shown_nowhere(task: dict[str, Any]) -> None:
    """Not among a process's arguments, nor in a run's output."""
    command = task["vars"]["__xroad_server_account"]["hash"]

    assert "password" not in str(command["argv"])
    assert "_admin.password" in command["stdin"]
    assert task["no_log"] is True
