"""Where the roles of the exchange refuse to go on, and that nothing was touched before."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[4]
REPOSITORY = {
    "url": "https://mirror.example.test/xroad",
    "suite": "noble-7.8.0",
    "key_fingerprint": "A" * 40,
    "operating_system": "ubuntu-24.04",
}
ROLES = ("central_server", "security_server")


def play(
    tmp_path: Path, tasks: list[dict[str, Any]], *options: str, **variables: Any
) -> subprocess.CompletedProcess[str]:
    """Run tasks on this machine, with nothing but these variables."""
    playbook = tmp_path / "play.yml"
    playbook.write_text(
        yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "vars": variables, "tasks": tasks}])
    )
    return subprocess.run(
        [
            *(Path(sys.executable).with_name("ansible-playbook"), "-i", "localhost,", "-c", "local"),
            *(playbook, *options),
        ],
        env={
            **os.environ,
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "ANSIBLE_ROLES_PATH": str(ROOT / "roles"),
            "ANSIBLE_LIBRARY": str(ROOT / "ansible/plugins/modules"),
            "ANSIBLE_ACTION_PLUGINS": str(ROOT / "ansible/plugins/action"),
            "ANSIBLE_MODULE_UTILS": str(ROOT / "ansible/plugins/module_utils"),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "ANSIBLE_NOCOLOR": "true",
            "PYTHONPATH": str(ROOT / "inventories"),
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def described(tmp_path: Path) -> dict[str, Any]:
    """What every server is told."""
    return {
        "xroad_server_distribution": "niis",
        "xroad_server_repository": REPOSITORY,
        "xroad_server_admin": {"name": "operator", "password": "a-long-password"},
        "xroad_server_pin": "Secret-1234",
        "xroad_server_api_key_name": "key",
        "xroad_server_secrets_directory": str(tmp_path),
    }


@pytest.mark.parametrize("role", ROLES)
def test_x_road_is_refused_where_it_has_no_packages(role: str, tmp_path: Path) -> None:
    finished = play(tmp_path, [{"ansible.builtin.include_role": {"name": role}}], **described(tmp_path))

    assert finished.returncode != 0
    assert "X-Road 7.8.0 runs on Ubuntu 22.04 and 24.04" in finished.stdout
    assert "Install |" not in finished.stdout


def test_the_common_role_alone_says_by_whom_it_is_applied(tmp_path: Path) -> None:
    finished = play(
        tmp_path, [{"ansible.builtin.include_role": {"name": "xroad_server"}}], **described(tmp_path)
    )

    assert finished.returncode != 0
    assert "System |" not in finished.stdout


def released(
    tmp_path: Path, installed: str, wanted: str, *options: str, **arguments: str
) -> subprocess.CompletedProcess[str]:
    """The judgement on a host whose package manager says that a version is installed; none if empty."""
    query = tmp_path / "dpkg-query"
    query.write_text(f"#!/bin/sh\n[ -n '{installed}' ] && echo 'installed {installed}'\n")
    query.chmod(0o755)
    task = {"xroad_release": {"package": "xroad-proxy", "wanted": wanted, **arguments}, "register": "found"}
    told = {"ansible.builtin.debug": {"msg": "{{ found.step }}: {{ found.told }}"}}
    return play(tmp_path, [task, told], *options)


def test_a_step_is_told(tmp_path: Path) -> None:
    finished = released(tmp_path, "7.7.1-1.ubuntu24.04", "7.8.0", central="7.8.0")

    assert finished.returncode == 0, finished.stdout
    assert "upgrade: X-Road 7.7.1 is upgraded to 7.8.0" in finished.stdout


def test_a_jump_is_refused(tmp_path: Path) -> None:
    finished = released(tmp_path, "7.6.3-1.ubuntu22.04", "7.8.0")

    assert finished.returncode != 0
    assert "jumps over a minor. Next: set version to 7.7.x" in finished.stdout


def test_a_security_server_is_not_upgraded_before_its_central_server(tmp_path: Path) -> None:
    finished = released(tmp_path, "7.7.1-1.ubuntu24.04", "7.8.0", central="7.7.1")

    assert finished.returncode != 0
    assert "Next: upgrade the central server first" in finished.stdout


def test_a_preview_of_both_upgrades_goes_on_and_says_which_is_first(tmp_path: Path) -> None:
    """The apply upgrades the central server before it comes to this one; a preview upgrades nothing."""
    finished = released(tmp_path, "7.7.1-1.ubuntu24.04", "7.8.0", "--check", central="7.7.1")

    assert finished.returncode == 0, finished.stdout
    assert "upgrade: X-Road 7.7.1 is upgraded to 7.8.0" in finished.stdout
    assert "Next: upgrade the central server first" in " ".join(finished.stderr.split())
