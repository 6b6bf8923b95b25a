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

NOTHING: dict[str, Any] = {
    "holds": False,
    "control_plane": False,
    "ready": False,
    "keys": False,
    "encryption_keys": [],
}
KEYS = {**NOTHING, "keys": True}
HALF = {**NOTHING, "holds": True}
SERVES = {**NOTHING, "holds": True, "control_plane": True, "ready": True, "keys": True}
DOWN = {**SERVES, "ready": False}
SILENT: dict[str, Any] = {}


class Case(NamedTuple):
    """What the three control planes answered, and what follows."""

    answers: tuple[dict[str, Any], dict[str, Any], dict[str, Any]]
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


class KeyCase(NamedTuple):
    """What the control planes read secrets with, and what follows where `key-2` is wanted and `key-1` was."""

    reading: tuple[list[str] | None, list[str] | None, list[str] | None]
    """None: silent. Without any key: no control plane yet, or one from before secrets were encrypted."""
    order: tuple[str, ...]
    used: bool = False
    members: bool = True


NEW, OLD, MIXED = ["key-2", "key-1", "identity"], ["key-1", "identity"], ["key-1", "key-2", "identity"]

KEY_CASES = {
    "no cluster yet": KeyCase(([], [], []), order=tuple(NEW), used=True, members=False),
    "never encrypted": KeyCase(([], [], []), order=("identity", "key-2", "key-1")),
    "nobody knows it": KeyCase((OLD, OLD, OLD), order=tuple(MIXED)),
    "one doesn't know it": KeyCase((MIXED, MIXED, OLD), order=tuple(MIXED)),
    "all know it": KeyCase((MIXED, MIXED, MIXED), order=tuple(NEW)),
    "one uses it": KeyCase((NEW, MIXED, MIXED), order=tuple(NEW)),
    "all use it": KeyCase((NEW, NEW, NEW), order=tuple(NEW), used=True),
    "one is silent before": KeyCase((OLD, OLD, None), order=tuple(MIXED)),
    "one is silent on the way": KeyCase((MIXED, MIXED, None), order=tuple(MIXED)),
    "one is silent afterwards": KeyCase((None, NEW, NEW), order=tuple(NEW)),
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
                'silent': __kubernetes_silent, 'order': __kubernetes_encryption_order,
                'used': __kubernetes_key_is_used}} | to_json }}}}
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
    cases += [
        {
            "name": name,
            "examined": {
                "results": [_reads(*item, case.members) for item in zip(ALL, case.reading, strict=True)]
            },
        }
        for name, case in KEY_CASES.items()
    ]
    keys = [{"name": "key-2", "secret": "second"}, {"name": "key-1", "secret": "first"}]
    given = {
        "cases": cases,
        "kubernetes_cluster": {"control_planes": list(ALL)},
        "kubernetes_encryption_keys": keys,
    }
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
    return {case["name"]: json.loads((folder / f"{case['name']}.json").read_text()) for case in cases}


def _reads(host: str, keys: list[str] | None, member: bool) -> dict[str, Any]:
    """What a host answers that reads secrets with these keys."""
    if keys is None:
        return {"item": host}
    return {"item": host, **(SERVES if member else NOTHING), "encryption_keys": keys}


@pytest.mark.parametrize("name", CASES)
def test_decision(decided: dict[str, Any], name: str) -> None:
    case = CASES[name]
    found = {key: decided[name][key] for key in ("begins", "joining", "host", "silent")}
    assert found == {
        "begins": case.begins,
        "joining": list(case.joining),
        "host": case.host,
        "silent": list(case.silent),
    }


@pytest.mark.parametrize("name", KEY_CASES)
def test_nobody_writes_secrets_with_a_key_that_another_cannot_read(decided: dict[str, Any], name: str) -> None:
    """And they are written again only once everybody uses it."""
    case = KEY_CASES[name]
    assert (decided[name]["order"], decided[name]["used"]) == (list(case.order), case.used)
