"""When the action of `host_state` asks apt, and what it makes of the answers."""

from __future__ import annotations

from typing import Any

import pytest
from tests.ansible_source import loaded

SETTLED = {"changed": False, "missing": [], "outdated": [], "paths": [], "actions": []}
WANTED = {
    "packages": ["chrony", "sudo", "ours"],
    "newest": ["ours"],
    "files": [{"path": "/a", "content": "a"}],
}


def run(answers: dict[str, list[dict[str, Any]]]) -> tuple[dict[str, Any], list[tuple[str, dict[str, Any]]]]:
    """The action's result and the modules that it ran, where each module gives the answers in turn."""
    plugin = loaded("ansible/plugins/action/host_state.py")
    ran: list[tuple[str, dict[str, Any]]] = []

    class Action(plugin.ActionModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            self._task = type("Task", (), {"args": WANTED})

        def _module(self, name: str, arguments: dict[str, Any], _: Any) -> dict[str, Any]:
            ran.append((name, arguments))
            return answers[name].pop(0)

    plugin.ActionBase.run = lambda *_: {}
    return Action().run(), ran


@pytest.fixture(autouse=True)
def unharmed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The base class is as it was after each test."""
    from ansible.plugins.action import ActionBase

    monkeypatch.setattr(ActionBase, "run", ActionBase.run)


def test_apt_is_not_asked_if_nothing_is_missing_or_outdated() -> None:
    """A settled host costs one module."""
    result, ran = run({"host_state": [SETTLED]})

    assert result == SETTLED
    assert [name for name, _ in ran] == ["host_state"]


def test_missing_packages_come_before_files_and_units() -> None:
    """All of the role's packages go to apt together, so that it solves them together."""
    result, ran = run(
        {
            "host_state": [{**SETTLED, "missing": ["chrony"]}, {**SETTLED, "paths": ["/a"]}],
            "ansible.builtin.apt": [{"changed": True}],
        }
    )

    assert [name for name, _ in ran] == ["host_state", "ansible.builtin.apt", "host_state"]
    assert ran[1][1]["name"] == WANTED["packages"]
    assert ran[1][1]["state"] == "present"
    assert ran[2][1] == {**WANTED, "packages": [], "newest": []}
    assert (result["changed"], result["paths"]) == (True, ["/a"])


def test_an_outdated_package_is_upgraded_before_files_and_units() -> None:
    """It alone: the role's other packages stay as old as they are."""
    result, ran = run(
        {
            "host_state": [{**SETTLED, "outdated": ["ours"]}, SETTLED],
            "ansible.builtin.apt": [{"changed": True}],
        }
    )

    assert [name for name, _ in ran] == ["host_state", "ansible.builtin.apt", "host_state"]
    assert (ran[1][1]["name"], ran[1][1]["state"]) == (["ours"], "latest")
    assert ran[2][1] == {**WANTED, "packages": [], "newest": []}
    assert result["changed"] is True


def test_what_is_missing_is_installed_in_its_newest_version_at_once() -> None:
    """The index has just been read. What is named among the newest alone is installed all the same."""
    _, ran = run(
        {
            "host_state": [{**SETTLED, "missing": ["sudo", "ours"], "outdated": ["ours", "other"]}, SETTLED],
            "ansible.builtin.apt": [{"changed": True}, {"changed": True}],
        }
    )

    assert [(asked["name"], asked["state"]) for name, asked in ran if name == "ansible.builtin.apt"] == [
        (WANTED["packages"], "present"),
        (["other"], "latest"),
    ]


def test_an_upgrade_that_apt_does_not_make_changes_nothing() -> None:
    """As of a package that is pinned to an older version than it has."""
    result, _ = run(
        {
            "host_state": [{**SETTLED, "outdated": ["ours"]}, SETTLED],
            "ansible.builtin.apt": [{"changed": False}],
        }
    )

    assert result["changed"] is False


def test_warnings_of_the_first_look_are_kept() -> None:
    """Why the index couldn't be read also explains what apt installed."""
    result, _ = run(
        {
            "host_state": [{**SETTLED, "outdated": ["ours"], "warnings": ["no index"]}, SETTLED],
            "ansible.builtin.apt": [{"changed": True, "warnings": ["slow"]}],
        }
    )

    assert result["warnings"] == ["no index", "slow"]


def test_what_apt_refuses_is_the_result() -> None:
    """Nothing is written for packages that aren't there."""
    refused = {"failed": True, "msg": "No package matching 'chrony'"}
    result, ran = run({"host_state": [{**SETTLED, "missing": ["chrony"]}], "ansible.builtin.apt": [refused]})

    assert (result["failed"], result["msg"]) == (True, refused["msg"])
    assert len(ran) == 2


def test_nothing_is_upgraded_if_something_missing_is_refused() -> None:
    result, ran = run(
        {
            "host_state": [{**SETTLED, "missing": ["chrony"], "outdated": ["ours"], "warnings": ["no index"]}],
            "ansible.builtin.apt": [{"failed": True, "msg": "no"}],
        }
    )

    assert (result["failed"], result["warnings"]) == (True, ["no index"])
    assert len(ran) == 2


def test_a_file_that_is_refused_after_the_installation_fails() -> None:
    """The package's checker is asked as soon as it is there."""
    refused = {"failed": True, "msg": "/a was refused by check: no"}
    result, _ = run(
        {
            "host_state": [{**SETTLED, "missing": ["chrony"]}, refused],
            "ansible.builtin.apt": [{"changed": True}],
        }
    )

    assert (result["failed"], result["msg"]) == (True, refused["msg"])
