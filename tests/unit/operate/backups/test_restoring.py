"""What may be restored where: said before anything is touched."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests import exchange_estates
from tests.unit.operate.backups.conftest import IDENTITY, Maker

from estate import load
from operate.backups import kept, restoring
from operate.backups.kept import Manifest
from operate.backups.servers import Server, servers
from operate.failure import ExitCode, Failure
from operate.reporting import Report
from operate.run import Run
from operate.workspace import Workspace


@pytest.fixture
def file(maker: Maker, tmp_path: Path) -> Path:
    """A backup of the server."""
    path = tmp_path / "one.gpg"
    path.write_bytes(maker.backup())
    return path


def manifest(file: Path, **changes: str) -> Manifest:
    """What was known when it was taken."""
    sealed = file.read_bytes()
    facts = {"host": "ss-civil", "identity": IDENTITY, "version": "7.8.0", "system": "ubuntu-24.04", **changes}
    return Manifest.model_validate(
        {**facts, "taken_at": datetime.now(UTC), "sha256": kept.digest(sealed), "size": len(sealed)}
    )


def test_its_own_backup_may_come_back(maker: Maker, file: Path, server: Server) -> None:
    """Of this version or the minor before, with a manifest or without."""
    for known in (manifest(file), manifest(file, version="7.7.1"), None):
        assert restoring.check(server, file, known, maker.key, force=False).identity == IDENTITY


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"identity": "TEST/GOV/CIVILREG/OTHER"}, "the manifest of .* is of TEST/GOV/CIVILREG/OTHER"),
        ({"version": "7.9.0"}, "7.8.0 can't read a newer one's database"),
        ({"version": "7.6.2"}, "too old for 7.8.0"),
        ({"system": "rhel-9"}, "the backup is of a host with rhel-9, and ss-civil has ubuntu-24.04"),
    ],
)
def test_what_does_not_fit_is_refused(
    maker: Maker, file: Path, server: Server, change: dict[str, str], why: str
) -> None:
    with pytest.raises(Failure, match=why) as refused:
        restoring.check(server, file, manifest(file, **change), maker.key, force=False)
    assert refused.value.code is ExitCode.BAD_INPUT
    assert refused.value.details == "nothing was touched"


@pytest.mark.parametrize(
    "change",
    [{"identity": "TEST/GOV/HEALTH/SS-HEALTH"}, {"identity": "TEST", "kind": "central"}],
)
def test_another_servers_backup_is_refused_whatever_is_forced(
    maker: Maker, file: Path, server: Server, change: dict[str, str]
) -> None:
    """The archive says whose it is, not the file's name."""
    with pytest.raises(Failure, match="is the backup of security server TEST/GOV/CIVILREG/SS-CIVIL"):
        restoring.check(replace(server, **change), file, None, maker.key, force=True)


def test_another_system_can_be_forced(maker: Maker, file: Path, server: Server) -> None:
    restoring.check(server, file, manifest(file, system="ubuntu-22.04"), maker.key, force=True)


def test_another_generation_is_refused(maker: Maker, file: Path, server: Server) -> None:
    file.write_bytes(maker.backup(f"security_XROAD_9.0_{IDENTITY}"))
    with pytest.raises(Failure, match=r"of generation XROAD_9\.0"):
        restoring.check(server, file, None, maker.key, force=True)


def test_a_damaged_backup_is_refused(maker: Maker, file: Path, server: Server) -> None:
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(Failure, match="can't be restored"):
        restoring.check(server, file, None, maker.key, force=True)


def test_without_the_key_it_says_where_there_is_one(file: Path, server: Server, tmp_path: Path) -> None:
    run = Run(Workspace("lab", tmp_path / "workspace", "lab"), load("lab"), Report())
    with pytest.raises(Failure, match="isn't in the secret store") as refused:
        restoring.examine(run, server, file, force=False)
    assert "xroad-backup-key-ss-civil" in refused.value.details


def test_servers_are_those_with_a_configuration_of_their_own() -> None:
    estate = load("lab")
    found = {server.host: server for server in servers(estate)}

    assert found["central1"] == Server("central1", "central", "BJ-LAB", "7.8.0", "debian-13")
    assert found["ss-health"].identity == "BJ-LAB/GOV/HEALTH/SS-HEALTH"
    assert [server.host for server in servers(estate, ["ss-health"])] == ["ss-health"]
    with pytest.raises(Failure, match="'web1' has no backup of its own") as refused:
        servers(estate, ["web1"])
    assert "central1" in refused.value.details


def test_a_node_that_follows_a_primary_has_none() -> None:
    with pytest.raises(Failure, match="'ss-health-2' has no backup") as refused:
        servers(exchange_estates.with_a_cluster(), ["ss-health-2"])
    assert refused.value.details == "it follows 'ss-health': apply the stage exchange to it"
