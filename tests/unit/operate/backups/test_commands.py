"""What people type: exact exit codes, JSON where it is asked for, nothing done in a dry run."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import Result
from tests.unit.operate.backups.conftest import Maker
from typer.testing import CliRunner

from operate.backups import restoring, taking
from operate.cli import application
from operate.playbooks import HostCounts, PlaybookResult
from operate.workspace import open_workspace

HOST, IDENTITY = "ss-health", "BJ-STAGING/GOV/HEALTH/SS-HEALTH"
Smartgouv = Callable[..., Result]


class Api:
    """A security server with one backup, which it makes when it is asked to."""

    def __init__(self, sealed: bytes) -> None:
        self.sealed = sealed
        self.made: list[str] = []
        self.initialized = True

    async def initialization(self) -> Any:
        return SimpleNamespace(
            is_server_code_initialized=self.initialized,
            is_server_owner_initialized=self.initialized,
            complete=self.initialized,
            token_initialized=self.initialized,
        )

    async def version(self) -> Any:
        return SimpleNamespace(info="Security Server version 7.8.0-1")

    async def own_identity(self) -> Any:
        return SimpleNamespace(id=IDENTITY.replace("/", ":"))

    async def names(self) -> set[str]:
        return set(self.made)

    async def make(self) -> str:
        self.made.append("conf_backup_20261127-031500.gpg")
        return self.made[-1]

    async def download(self, _: str) -> bytes:
        return self.sealed


@pytest.fixture
def api(maker: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Api:
    """The server, a state of its own, and hosts that only hand out the key."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("SMARTGOUV_SECRETS", raising=False)
    found = Api(maker.backup(f"security_XROAD_7.1_{IDENTITY}"))

    @asynccontextmanager
    async def connected(_: object) -> AsyncIterator[Any]:
        yield SimpleNamespace(security=lambda _: found, backups=lambda _: found)

    def play(workspace: Any, *_: object, hosts: list[str], **__: object) -> PlaybookResult:
        for host in hosts:
            path = workspace.secrets.path(f"xroad-backup-key-{host}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(maker.key)
        return PlaybookResult(counts={HOST: HostCounts()})

    for module in (taking, restoring):
        monkeypatch.setattr(module, "run_playbook", play)
    monkeypatch.setattr("operate.pulumi_stack.point_at", lambda _: None)
    monkeypatch.setattr("operate.federation.connected", connected)
    return found


@pytest.fixture
def smartgouv() -> Smartgouv:
    """Runs a command."""

    def run(*words: str) -> Result:
        return CliRunner().invoke(application, words)

    return run


def test_a_backup_is_brought_here_and_written_into_the_ledger(api: Api, smartgouv: Smartgouv) -> None:
    result = smartgouv("backup", "staging", "--host", HOST, "--json")

    assert result.exit_code == 0, result.output
    (backup,) = json.loads(result.stdout)["backups"]
    assert (backup["identity"], backup["version"], backup["host"]) == (IDENTITY, "7.8.0", HOST)
    assert Path(backup["file"]).read_bytes() == api.sealed
    (entry,) = open_workspace("staging").ledger.entries()
    assert (entry["stage"], entry["result"], entry["backups"]) == ("backup", "ok", {HOST: backup["sha256"]})


def test_a_dry_run_makes_no_backup(api: Api, smartgouv: Smartgouv, tmp_path: Path) -> None:
    result = smartgouv("backup", "staging", "--host", HOST, "--dry-run", "--folder", str(tmp_path / "disk"))

    assert result.exit_code == 0
    assert f"would back up {HOST}: {IDENTITY}, X-Road 7.8.0, to {tmp_path}/disk/{HOST}" in result.stdout
    assert api.made == []
    assert list(open_workspace("staging").ledger.entries()) == []


def test_what_could_not_be_backed_up_makes_the_command_fail(api: Api, smartgouv: Smartgouv) -> None:
    api.initialized = False
    result = smartgouv("backup", "staging", "--host", HOST)

    assert result.exit_code == 1
    assert f"{HOST}: it isn't initialised: there is nothing to back up" in result.stdout
    assert smartgouv("backup", "staging", "--host", "web1").exit_code == 2
    told = json.loads(smartgouv("backup", "staging", "--host", HOST, "--json").stdout)
    assert told["backups"] == [{"host": HOST, "failure": "it isn't initialised: there is nothing to back up"}]


def test_another_key_than_the_store_has_is_fetched(api: Api, smartgouv: Smartgouv, stranger: Maker) -> None:
    """A server that was made anew since has another one."""
    path = open_workspace("staging").secrets.path(f"xroad-backup-key-{HOST}")
    path.parent.mkdir(parents=True)
    path.write_text(stranger.key)

    assert smartgouv("backup", "staging", "--host", HOST).exit_code == 0
    assert path.read_text() != stranger.key


def test_a_restoration_says_what_it_would_do(api: Api, smartgouv: Smartgouv) -> None:
    """And doesn't, as long as nobody agrees; a server that works isn't replaced by chance."""
    assert smartgouv("restore", "staging", HOST).exit_code == 2
    smartgouv("backup", "staging", "--host", HOST)
    assert smartgouv("restore", "staging", HOST, "--yes").exit_code == 2
    api.initialized = False
    result = smartgouv("restore", "staging", HOST, "--dry-run")
    assert result.exit_code == 0, result.output
    for words in (
        f"restore  {IDENTITY} on {HOST}",
        "now      the server there is not initialised",
        "lost     what",
    ):
        assert words in result.stdout

    assert smartgouv("restore", "staging", HOST).exit_code == 2
    assert [entry["stage"] for entry in open_workspace("staging").ledger.entries()] == ["backup"]
