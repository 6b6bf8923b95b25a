"""Hosts that stand in for one another restart one after the other, each once the one before it serves again.

The roles' own tasks run on this machine, as two hosts. What they do to units and what is asked of a host's
health goes into one log.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
HOSTS = ("one", "two")
ROLES = ("status_responder", "time_stamping")

RECORDER = """
import os
from ansible.module_utils.basic import AnsibleModule

module = AnsibleModule({"units": {"type": "list", "elements": "dict"}}, supports_check_mode=True)
host, verb = os.environ["RECORDED_HOST"], os.environ["RECORDED_VERB"]
actions = [f"{verb} {unit['name']}" for unit in module.params["units"]] if verb else []
if not module.check_mode:
    with open(os.environ["RECORDED_LOG"], "a") as log:
        log.write(f"{verb} {host}\\n")
    if os.environ["RECORDED_FAILS"]:
        module.fail_json(msg="systemctl failed")
module.exit_json(changed=bool(actions), actions=actions)
"""
"""Module `host_state` as far as this needs it: what is due is one verb, and doing it leaves a line."""


class Health(ThreadingHTTPServer):
    """What a host answers about its health: after the first question that it is well."""

    daemon_threads = True

    def __init__(self, host: str, log: Path) -> None:
        self.host, self.log = host, log
        self.status = 503
        super().__init__(("127.0.0.1", 0), Asked)


class Asked(BaseHTTPRequestHandler):
    """One question."""

    server: Health

    def do_GET(self) -> None:
        status, self.server.status = self.server.status, 200
        with self.server.log.open("a") as log:
            log.write(f"{status} {self.server.host}\n")
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Play:
    """A role's part that serves, on the hosts."""

    def __init__(self, role: str, folder: Path) -> None:
        self.role, self._folder = role, folder
        self._log = folder / "log"
        self._log.touch()
        self.health = {host: Health(host, self._log) for host in HOSTS}
        library = folder / "library"
        library.mkdir()
        (library / "host_state.py").write_text(RECORDER)
        (folder / "certificate.pem").write_text("a certificate")

    def run(self, due: dict[str, str], *, fails: bool = False) -> list[str]:
        """What happened, in its order, where each host has something due with its units."""
        inventory = {
            host: {
                "ansible_connection": "local",
                "due": due.get(host, ""),
                f"{self.role}_port": self.health[host].server_port,
            }
            for host in HOSTS
        }
        recorded = {
            "RECORDED_HOST": "{{ inventory_hostname }}",
            "RECORDED_VERB": "{{ due }}",
            "RECORDED_LOG": str(self._log),
            "RECORDED_FAILS": "yes" if fails else "",
        }
        task = {"ansible.builtin.import_role": {"name": self.role, "tasks_from": "service.yml"}}
        play = {"hosts": "all", "gather_facts": False, "environment": recorded, "tasks": [task]}
        (self._folder / "inventory.yml").write_text(yaml.safe_dump({"all": {"hosts": inventory}}))
        (self._folder / "play.yml").write_text(yaml.safe_dump([play]))
        changed = {
            "__status_responder_seen_seconds": 0,
            "__time_stamping_state": str(self._folder),
            "time_stamping_certificates_directory": str(self._folder / "brought"),
            "status_responder_authorities": [],
        }
        finished = subprocess.run(
            [
                Path(sys.executable).with_name("ansible-playbook"),
                f"--inventory={self._folder / 'inventory.yml'}",
                f"--extra-vars={json.dumps(changed)}",
                self._folder / "play.yml",
            ],
            env={
                **os.environ,
                # With an apply's settings, but without its plugins.
                "ANSIBLE_CONFIG": str(ROOT / "ansible/ansible.cfg"),
                "ANSIBLE_ACTION_PLUGINS": str(self._folder / "none"),
                "ANSIBLE_CALLBACK_PLUGINS": str(self._folder / "none"),
                "ANSIBLE_INVENTORY_ENABLED": "yaml",
                "ANSIBLE_LIBRARY": str(self._folder / "library"),
                "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
                "ANSIBLE_NOCOLOR": "true",
            },
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert (finished.returncode != 0) is fails, finished.stdout + finished.stderr
        return self._log.read_text().splitlines()


@pytest.fixture(params=ROLES)
def play(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Play]:
    """Each role."""
    made = Play(request.param, tmp_path)
    for server in made.health.values():
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield made
    for server in made.health.values():
        server.shutdown()
        server.server_close()


def test_each_serves_again_before_the_next_restarts(play: Play) -> None:
    """A balancer, or a client that knows both, always finds one."""
    happened = play.run({"one": "restart", "two": "restart"})

    first, second = HOSTS if happened[0] == "restart one" else HOSTS[::-1]
    assert happened == [f"{word} {host}" for host in (first, second) for word in ("restart", "503", "200")]


def test_what_does_not_run_starts_before_others_restart(play: Play) -> None:
    """Else the restart takes the last one that serves."""
    assert play.run({"one": "restart", "two": "start"}) == [
        *("start two", "503 two", "200 two"),
        *("restart one", "503 one", "200 one"),
    ]


def test_where_nothing_is_due_only_health_is_asked(play: Play) -> None:
    for server in play.health.values():
        server.status = 200

    assert sorted(play.run({})) == ["200 one", "200 two"]


def test_one_that_does_not_come_up_again_leaves_the_others_alone(play: Play) -> None:
    """A package that can't serve takes one host."""
    (happened,) = play.run({"one": "restart", "two": "restart"}, fails=True)

    assert happened in {"restart one", "restart two"}
