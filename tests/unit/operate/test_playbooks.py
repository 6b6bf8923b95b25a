"""A playbook's events become progress, counts and a failure that says what to do next."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from operate import playbooks
from operate.failure import Failure
from operate.playbooks import HostCounts, run_playbook
from operate.reporting import Report
from operate.workspace import Workspace

PLAYBOOK = """
- name: Trial
  hosts: all
  gather_facts: false
  connection: local
  tasks:
    - name: Look
      ansible.builtin.command: "true"
      changed_when: false
    - name: Change something
      ansible.builtin.command: "true"
      changed_when: true
    - name: {task}
      {action}
"""


class Listening(Report):
    """Keeps the changes that people would read."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[str] = []

    def change(self, text: str) -> None:
        self.changes.append(text)


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a playbook of its own against two hosts that are this machine."""
    workspace = Workspace("lab", tmp_path / "state", "lab")
    inventory = tmp_path / "hosts.ini"
    inventory.write_text(
        f"one ansible_python_interpreter={sys.executable}\ntwo ansible_python_interpreter={sys.executable}\n"
    )
    settings = tmp_path / "ansible.cfg"
    plugins = playbooks.ROOT / "ansible" / "plugins" / "callback"
    settings.write_text(f"[defaults]\ncallback_plugins = {plugins}\n")

    def run(task: str, action: str, **environment: str) -> tuple[Any, Listening]:
        playbook = tmp_path / "trial.yml"
        playbook.write_text(PLAYBOOK.format(task=task, action=action))
        base = playbooks._environment

        def command(*_: Any, **__: Any) -> list[str]:
            program = Path(playbooks.sys.executable).parent / "ansible-playbook"
            return [str(program), "--inventory", str(inventory), str(playbook)]

        monkeypatch.setattr(playbooks, "_command", command)
        monkeypatch.setattr(
            playbooks,
            "_environment",
            lambda *given: {**base(*given), "ANSIBLE_CONFIG": str(settings), **environment},
        )
        report = Listening()
        return run_playbook(workspace, "trial", report), report

    return run


def test_counts_results_and_tells_changes_once(play: Any) -> None:
    """One line a task, however many hosts it changed."""
    result, report = play("End", "ansible.builtin.debug: {msg: end}")

    assert result.counts == {"one": HostCounts(ok=2, changed=1), "two": HostCounts(ok=2, changed=1)}
    assert (result.changed, result.ok) == (2, 4)
    assert report.changes == ["Change something  (one, two)"]
    assert set(result.slowest) == {"Look", "Change something", "End"}


def test_a_failure_names_host_task_cause_and_next_command(play: Any) -> None:
    """What a person needs at night."""
    with pytest.raises(Failure) as caught:
        play("Break", "ansible.builtin.command: ls /nowhere-at-all")

    assert caught.value.message == "task 'Break' failed on one, two"
    assert caught.value.details.splitlines()[0] in ("one, two: Break", "two, one: Break")
    assert "/nowhere-at-all" in caught.value.details
    assert "trial.yml" in caught.value.details
    assert "scripts/lab ssh " in caught.value.next_step


def test_a_task_that_handles_a_secret_hides_its_cause(play: Any, tmp_path: Path) -> None:
    """Neither the terminal nor the event file nor the log has it."""
    value = "correct-horse-battery"
    with pytest.raises(Failure) as caught:
        play("Hide", f"ansible.builtin.command: ls /{value}\n      no_log: true")

    written = "".join(path.read_text() for path in (tmp_path / "state" / "runs").rglob("*") if path.is_file())
    assert "handles a secret" in caught.value.details
    assert value not in caught.value.details + written


def test_a_forgotten_no_log_is_caught_by_redaction(play: Any, tmp_path: Path) -> None:
    """Values of the store are replaced in the failure and in the log."""
    store = tmp_path / "state" / "secrets"
    store.mkdir(parents=True)
    (store / "pin").write_text("Correct7Horse\n")
    with pytest.raises(Failure) as caught:
        play("Leak", "ansible.builtin.command: ls /Correct7Horse")

    log = next((tmp_path / "state" / "runs").rglob("ansible.log")).read_text()
    assert "<secret>" in caught.value.details
    assert "Correct7Horse" not in caught.value.details + log


def test_an_unreachable_host_is_told_apart(play: Any) -> None:
    """The next command is another one: there's nothing to read in a log."""
    with pytest.raises(Failure) as caught:
        play(
            "Reach",
            "ansible.builtin.command: 'true'\n      delegate_to: gone\n      vars:\n"
            "        ansible_connection: ssh\n        ansible_host: 127.0.0.1\n        ansible_port: 1",
        )

    assert "can't be reached: the host runs, but its SSH server doesn't" in caught.value.message
    assert caught.value.next_step.startswith("scripts/lab up")


def test_a_silent_host_that_a_task_allows_for_is_no_failure(play: Any) -> None:
    """A role may ask whether a host answers, and go on."""
    play(
        "Ask",
        "ansible.builtin.command: 'true'\n      ignore_unreachable: true\n      delegate_to: gone\n"
        "      vars:\n        ansible_connection: ssh\n        ansible_host: 127.0.0.1\n"
        "        ansible_port: 1",
    )


def test_a_playbook_that_cannot_start_shows_why(play: Any) -> None:
    """No host was touched."""
    with pytest.raises(Failure) as caught:
        play("Typo", "ansible.builtin.no_such_module: {}")

    assert "before any host failed" in caught.value.message
    assert "no_such_module" in caught.value.details


def test_every_event_is_a_line_of_json(play: Any, tmp_path: Path) -> None:
    """The file stays as evidence of the run."""
    play("End", "ansible.builtin.debug: {msg: end}")

    lines = next((tmp_path / "state" / "runs").rglob("events.jsonl")).read_text().splitlines()
    kinds = [json.loads(line)["event"] for line in lines]
    assert kinds[0] == "play"
    assert kinds[-1] == "stats"
    assert kinds.count("result") == 6


def test_a_record_that_is_cut_off_is_a_failure(play: Any) -> None:
    """On a full disk the callback can't write and Ansible goes on: "nothing changed" would be a lie."""
    with pytest.raises(Failure) as caught:
        play("End", "ansible.builtin.debug: {msg: end}", SMARTGOUV_EVENTS="/dev/full")

    assert "cut off" in caught.value.message
    assert "df -h" in caught.value.next_step


def test_a_run_of_some_hosts_and_what_only_it_knows(tmp_path: Path) -> None:
    """A name is an argument of its own, whatever is in it."""
    workspace = Workspace("lab", tmp_path, "lab")
    command = playbooks._command(
        workspace, "restore_server", check=False, hosts=["ss-health", "ss-civil"], variables={"a": {"b": "c d"}}
    )

    assert command[-4:] == ["--limit", "ss-health,ss-civil", "--extra-vars", '{"a": {"b": "c d"}}']
    assert "--limit" not in playbooks._command(workspace, "apply_base", check=True)
