"""The roles of the exchange hosts: what X-Road's own distribution gets, and where it is refused.

X-Road's packages can't be installed here: what the roles would hand to them is rendered instead.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
REPOSITORY = {"url": "https://mirror.example.test/xroad", "suite": "noble-7.8.0", "key_fingerprint": "A" * 40}
ROLES = ("central_server", "security_server")


def play(tmp_path: Path, tasks: list[dict[str, Any]], **variables: Any) -> subprocess.CompletedProcess[str]:
    """Run tasks on this machine, with nothing but these variables."""
    playbook = tmp_path / "play.yml"
    playbook.write_text(
        yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "vars": variables, "tasks": tasks}])
    )
    return subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", "localhost,", "-c", "local", playbook],
        env={
            **os.environ,
            "ANSIBLE_ROLES_PATH": str(ROOT / "roles"),
            "ANSIBLE_LIBRARY": str(ROOT / "ansible/plugins/modules"),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "ANSIBLE_NOCOLOR": "true",
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def rendered(tmp_path: Path, role: str, expression: str, **variables: Any) -> Any:
    """The value of an expression over a role's defaults and variables."""
    files = [ROOT / f"roles/{role}/{part}/main.yml" for part in ("defaults", "vars")]
    result = tmp_path / "result"
    tasks: list[dict[str, Any]] = [{"ansible.builtin.include_vars": str(path)} for path in files]
    if variables:
        tasks.append({"ansible.builtin.set_fact": variables})
    tasks.append(
        {"ansible.builtin.copy": {"content": f"{{{{ {expression} | to_json }}}}", "dest": str(result)}}
    )
    finished = play(tmp_path, tasks)
    assert finished.returncode == 0, finished.stdout
    return json.loads(result.read_text())


def test_security_server_packages_are_pinned_and_the_database_comes_first(tmp_path: Path) -> None:
    assert rendered(
        tmp_path,
        "security_server",
        "__security_server_package_sets.niis",
        security_server_database="remote",
    ) == [
        "xroad-database-remote=7.8.0*",
        "xroad-securityserver=7.8.0*",
        "xroad-autologin=7.8.0*",
        "python3-cryptography",
    ]


def test_central_server_packages_are_pinned(tmp_path: Path) -> None:
    assert rendered(tmp_path, "central_server", "__central_server_package_sets.niis") == [
        "xroad-database-local=7.8.0*",
        "xroad-centralserver=7.8.0*",
        "xroad-autologin=7.8.0*",
        "python3-cryptography",
    ]


@pytest.mark.parametrize("role", ROLES)
def test_x_road_takes_a_changed_pin(role: str, tmp_path: Path) -> None:
    """Its unit for the PIN ends after the log-in and comes back with the signer, which so has to restart."""
    units = rendered(tmp_path, role, f"__{role}_units.niis", **{f"{role}_distribution": "niis"})

    assert units[0]["name"] == "xroad-signer.service"
    assert set(units[0]["reads"]) > {
        "/etc/xroad/token-pin",
        "/etc/systemd/system/xroad-autologin.service.d/pin.conf",
        "/usr/share/xroad/autologin/custom-fetch-pin.sh",
    }


def test_settings_become_an_ini_file(tmp_path: Path) -> None:
    template = ROOT / "roles/security_server/templates/local.ini.j2"
    text = rendered(
        tmp_path,
        "security_server",
        f"lookup('ansible.builtin.template', '{template}')",
        security_server_settings={
            "proxy": {"health-check-port": 5588, "enforce-client-is-cert-validity-period-check": True},
            "configuration-client": {"update-interval": 60},
        },
    )
    assert [line for line in text.splitlines() if line and not line.startswith(";")] == [
        "[configuration-client]",
        "update-interval = 60",
        "[proxy]",
        "enforce-client-is-cert-validity-period-check = true",
        "health-check-port = 5588",
    ]


@pytest.mark.parametrize("role", ROLES)
def test_x_road_is_refused_where_it_has_no_packages(role: str, tmp_path: Path) -> None:
    finished = play(
        tmp_path,
        [{"ansible.builtin.include_role": {"name": role}}],
        **{
            f"{role}_distribution": "niis",
            f"{role}_repository": REPOSITORY,
            f"{role}_admin": {"name": "operator", "password": "a-long-password"},
            f"{role}_pin": "Secret-1234",
            f"{role}_api_key_name": "key",
            f"{role}_secrets_directory": str(tmp_path),
        },
    )
    assert finished.returncode != 0
    assert "X-Road 7.8.0 runs on Ubuntu 22.04 and Ubuntu 24.04" in finished.stdout
    assert "Install |" not in finished.stdout
