"""Archives and backups leave a server whole, and an archive's file only when the other side has it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from tests.exchange_estates import with_everything_elsewhere
from tests.unit.roles.exchange.rendered_role import Host, server

STAND_IN = """#!/bin/sh
# Stands in for a client: keeps what it was told, and fails where a test says so.
printf '%s\\n' "$*" >>"$TOLD"
[ "$(basename "$0")" = sftp ] && cat >>"$TOLD"
[ ! -e "$TOLD.down" ]
"""


class Server:
    """A host with the program, archives and backups, all below a folder."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "var"
        (self.state / "backup").mkdir(parents=True)
        self.told = folder / "told"
        self.told.touch()
        self.program = folder / "xroad-transfer"
        files = server(Host(with_everything_elsewhere(), "ss-health", "security_server"))
        text = files["/usr/local/libexec/xroad-transfer"]
        assert "/var/lib/xroad/mlog-*" in text
        self.program.write_text(text.replace("/var/lib/xroad", str(self.state)))
        self.program.chmod(0o755)
        for name in ("curl", "sftp"):
            (folder / name).write_text(STAND_IN)
            (folder / name).chmod(0o755)
        self._path = f"{folder}:{os.environ['PATH']}"

    def run(self, what: str) -> int:
        """How the program ends."""
        environment = {"PATH": self._path, "TOLD": str(self.told)}
        return subprocess.run(
            [self.program, what], env=environment, capture_output=True, check=False
        ).returncode

    def down(self, *, now: bool) -> None:
        """Whether the other side answers."""
        marker = self.told.with_name("told.down")
        marker.touch() if now else marker.unlink()

    def lines(self) -> list[str]:
        """What the clients were told."""
        return self.told.read_text().splitlines()


@pytest.fixture
def host(tmp_path: Path) -> Server:
    return Server(tmp_path)


def test_an_archive_appears_under_its_name_when_it_is_whole(host: Server) -> None:
    archive = host.state / "mlog-20260101000000-20260101060000.zip.pgp"
    archive.write_text("archive")

    assert host.run("archives") == 0
    assert not archive.exists()
    connected, put, renamed = host.lines()
    assert connected.endswith("xroad@archive.smartgouv.example")
    assert "-P 2222" in connected
    assert "StrictHostKeyChecking=yes" in connected
    assert put == f'put "{archive}" "/xroad/.ss-health-{archive.name}.part"'
    assert renamed == f'rename "/xroad/.ss-health-{archive.name}.part" "/xroad/ss-health-{archive.name}"'


def test_an_archive_stays_until_the_other_side_has_it(host: Server) -> None:
    archive = host.state / "mlog-1.zip"
    archive.write_text("archive")
    host.down(now=True)
    assert host.run("archives") != 0
    assert archive.exists()
    host.down(now=False)

    assert host.run("archives") == 0
    assert not archive.exists()


def test_a_backup_is_brought_away_once_and_stays(host: Server) -> None:
    """X-Road shows its backups, restores from them, and removes them by itself."""
    backup = host.state / "backup/ss-automatic-backup.gpg"
    backup.write_text("backup")

    assert (host.run("backups"), host.run("backups")) == (0, 0)
    assert backup.exists()
    (told,) = host.lines()
    assert told.endswith(
        f"--upload-file {backup} https://keep.smartgouv.example/backups/ss-health/{backup.name}"
    )
    assert "--proto =https" in told


def test_a_backup_that_did_not_arrive_is_brought_again(host: Server) -> None:
    (host.state / "backup/one.gpg").write_text("backup")
    host.down(now=True)
    assert host.run("backups") != 0
    host.down(now=False)

    assert host.run("backups") == 0
    assert len(host.lines()) == 2


def test_marks_of_backups_that_are_gone_go(host: Server) -> None:
    backup = host.state / "backup/one.gpg"
    backup.write_text("backup")
    host.run("backups")
    backup.unlink()

    assert host.run("backups") == 0
    assert list((host.state / "transferred").iterdir()) == []


def test_nothing_else_is_brought_away(host: Server) -> None:
    assert host.run("everything") == 1
    assert host.lines() == []
