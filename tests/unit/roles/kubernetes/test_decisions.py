"""Which control plane makes the cluster, which ones join it and through whom, from what each of them answered.

The role's own variables, evaluated by Ansible for every case at once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[4]
ALL = ("control1", "control2", "control3")

NOTHING = {"holds": False, "control_plane": False, "ready": False, "keys": False}
KEYS = {**NOTHING, "keys": True}
HALF = {**NOTHING, "holds": True}
SERVES = {"holds": True, "control_plane": True, "ready": True, "keys": True}
DOWN = {**SERVES, "ready": False}
SILENT: dict[str, bool] = {}


class Case(NamedTuple):
    """What the three control planes answered, and what follows."""

    answers: tuple[dict[str, bool], dict[str, bool], dict[str, bool]]
    begins: bool
    joining: tuple[str, ...]
    host: str
    silent: tuple[str, ...] = ()


CASES = {
    "fresh": Case((KEYS, NOTHING, NOTHING), begins=True, joining=("control2", "control3"), host="control1"),
    "interrupted start": Case(
        (HALF, NOTHING, NOTHING), begins=True, joining=("control2", "control3"), host="control1"
    ),
    "whole": Case((SERVES, SERVES, SERVES), begins=False, joining=(), host="control1"),
    "first is made anew": Case((NOTHING, SERVES, SERVES), begins=False, joining=("control1",), host="control2"),
    "first is made anew, another down": Case(
        (NOTHING, DOWN, SERVES), begins=False, joining=("control1",), host="control3"
    ),
    "first is down": Case((DOWN, SERVES, SERVES), begins=False, joining=(), host="control2"),
    "first is silent": Case(
        (SILENT, SERVES, SERVES), begins=False, joining=("control1",), host="control2", silent=("control1",)
    ),
    "interrupted join": Case(
        (SERVES, HALF, NOTHING), begins=False, joining=("control2", "control3"), host="control1"
    ),
    "first is made anew beside half a join": Case(
        (NOTHING, HALF, NOTHING), begins=False, joining=ALL, host="control1"
    ),
    "others are silent, nothing is there": Case(
        (NOTHING, SILENT, SILENT),
        begins=True,
        joining=("control2", "control3"),
        host="control1",
        silent=("control2", "control3"),
    ),
    "all are down": Case((DOWN, DOWN, DOWN), begins=False, joining=(), host="control1"),
}

PLAYBOOK = """
- hosts: control1
  gather_facts: false
  connection: local
  vars_files: [{variables}]
  tasks:
    - ansible.builtin.copy:
        dest: {folder}/{{{{ item.name }}}}.json
        mode: "0600"
        content: >-
          {{{{ {{'begins': __kubernetes_begins, 'joining': __kubernetes_joining, 'host': __kubernetes_host,
                'silent': __kubernetes_silent}} | to_json }}}}
      loop: "{{{{ cases }}}}"
      vars:
        __kubernetes_examined: "{{{{ item.examined }}}}"
"""


@pytest.fixture(scope="module")
def decided(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the role makes of each case."""
    folder = tmp_path_factory.mktemp("decisions")
    variables = ROOT / "roles/kubernetes/vars/main.yml"
    (folder / "play.yml").write_text(PLAYBOOK.format(variables=variables, folder=folder))
    cases = [
        {
            "name": name,
            "examined": {
                "results": [{"item": host, **answer} for host, answer in zip(ALL, case.answers, strict=True)]
            },
        }
        for name, case in CASES.items()
    ]
    given = {"cases": cases, "kubernetes_cluster": {"control_planes": list(ALL)}}
    (folder / "vars.json").write_text(json.dumps(given))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "ansible", "playbook", "--inventory", "control1,", folder / "play.yml"),
            *("--extra-vars", f"@{folder}/vars.json"),
            *("--extra-vars", f"ansible_python_interpreter={sys.executable}"),
        ],
        env={**os.environ, "ANSIBLE_LOCALHOST_WARNING": "false"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {name: json.loads((folder / f"{name}.json").read_text()) for name in CASES}


@pytest.mark.parametrize("name", CASES)
def test_decision(decided: dict[str, Any], name: str) -> None:
    case = CASES[name]
    assert decided[name] == {
        "begins": case.begins,
        "joining": list(case.joining),
        "host": case.host,
        "silent": list(case.silent),
    }
