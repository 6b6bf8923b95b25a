"""The commands end with exact exit codes, and with JSON where it is asked for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from operate.locations import ROOT


@pytest.fixture
def command(tmp_path: Path):
    """Runs a module of the project with a state directory of its own."""

    def run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "XDG_STATE_HOME": str(tmp_path / "state"),
            "NO_COLOR": "1",
        }
        environment.pop("SMARTGOUV_SECRETS", None)
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.mark.parametrize("site", ["lab", "staging", "production"])
def test_valid_sites_pass(command, site: str) -> None:
    """Every site of the repository is whole."""
    result = command("operate", "validate", site)

    assert (result.returncode, result.stderr) == (0, "")
    assert "no problem" in result.stdout


def test_a_bad_estate_is_refused_with_file_and_line(command, tmp_path: Path) -> None:
    """Exit code 2: nothing was touched."""
    site = tmp_path / "broken"
    shutil.copytree(ROOT / "inventories" / "lab", site)
    hosts = site / "hosts.yml"
    lines = hosts.read_text().splitlines()
    number = next(index for index, line in enumerate(lines, 1) if "name: registry1" in line)
    hosts.write_text(
        "\n".join(lines).replace("name: registry1, zone", "name: registry1, colour: red, zone") + "\n"
    )

    result = command("operate", "validate", str(site), "--json")

    problems = json.loads(result.stdout)["problems"]
    assert result.returncode == 2
    assert (problems[0]["file"], problems[0]["line"]) == (str(hosts), number)
    assert problems[0]["message"] == "unknown key 'colour'"
    assert f"{hosts}:{number}: unknown key 'colour'" in result.stderr


@pytest.mark.parametrize(
    ("module", "arguments", "text"),
    [
        ("operate", ["validate", "nowhere"], "no such site"),
        ("operate", ["apply", "production"], "template"),
        ("operate", ["apply", "lab", "--stage", "nothing", "--dry-run"], "there's no stage 'nothing'"),
        ("operate", ["plan", "staging", "--lab", "x"], "isn't a lab"),
        ("operate", ["apply", "lab", "--lab", "Bad/Name"], "can't be a lab's name"),
        ("operate", ["stack", "lab", "federation", "explode"], "explode"),
        ("operate", ["no-such-command"], "No such command"),
        ("operate.lab", ["up", "--no-such-option"], "No such option"),
        ("operate.lab", ["ssh", "nobody"], "there's no host 'nobody'"),
    ],
)
def test_bad_input_ends_with_2(command, module: str, arguments: list[str], text: str) -> None:
    """A sentence, no traceback."""
    result = command(module, *arguments)

    assert result.returncode == 2, result.stderr
    assert text in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


def test_a_lab_that_does_not_exist_is_said_so(command) -> None:
    """With the command that makes it."""
    result = command("operate", "apply", "lab")

    assert result.returncode == 1
    assert "scripts/lab up" in result.stdout


def test_a_host_that_the_site_lacks_is_bad_input(command) -> None:
    """With the names of those that it has."""
    result = command("operate", "plan", "lab", "base", "--host", "ss-helth")

    assert result.returncode == 2
    assert "there's no host 'ss-helth'" in result.stdout
    assert "ss-health" in result.stdout


def test_secrets_are_generated_and_checked_without_being_shown(command, tmp_path: Path) -> None:
    """Names only."""
    missing = command("operate", "secrets", "check", "lab")
    made = command("operate", "secrets", "generate", "lab", "--json")
    checked = command("operate", "secrets", "check", "lab")

    assert missing.returncode == 2
    assert "scripts/smartgouv secrets generate lab" in missing.stdout
    assert "registry-push" in json.loads(made.stdout)["made"]
    assert checked.returncode == 0
    store = tmp_path / "state" / "smartgouv" / "labs" / "lab" / "secrets"
    shown = made.stdout + made.stderr + checked.stdout
    assert not any(path.read_text().strip() in shown for path in store.iterdir())


@pytest.mark.parametrize("module", ["operate", "operate.lab"])
def test_help_names_every_command(command, module: str) -> None:
    """And nothing else is needed to find them."""
    result = command(module, "--help")

    wanted = {
        "operate": ["validate", "plan", "apply", "verify", "stack", "docs", "ledger", "secrets"],
        "operate.lab": ["check", "up", "down", "status", "ssh", "url", "logs"],
    }[module]
    assert result.returncode == 0
    assert all(name in result.stdout for name in wanted)


def test_an_empty_ledger_holds(command) -> None:
    """Nothing has run; nothing is broken."""
    result = command("operate", "ledger", "verify", "lab", "--json")

    assert result.returncode == 0
    assert json.loads(result.stdout)["entries"] == 0
