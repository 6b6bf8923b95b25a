"""A throw-away PostgreSQL server, for tests and measurements that need a real one."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg


def programs() -> Path | None:
    """PostgreSQL's own folder: Debian keeps initdb out of PATH. None where it isn't installed."""
    found = shutil.which("initdb") or next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))), None)
    return Path(found).resolve().parent if found else None


@dataclass(frozen=True)
class Server:
    """A running server."""

    folder: Path
    """Where its socket is."""
    superuser: str
    _programs: Path
    _as_somebody: tuple[str, ...]
    _options: str

    def connect(self, database: str = "postgres", user: str = "", **more: Any) -> psycopg.Connection[Any]:
        """A connection, as the superuser unless another account is named."""
        account = user or self.superuser
        return psycopg.connect(host=str(self.folder), user=account, dbname=database, **more)

    def make_anew(self, database: str) -> None:
        """An empty database of this name; connections to an older one are cut."""
        with self.connect(autocommit=True) as administrator:
            administrator.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')
            administrator.execute(f'CREATE DATABASE "{database}"')

    def start(self) -> None:
        """Start it, if it was stopped."""
        self._run("pg_ctl", "-w", "-o", self._options, "start")

    def stop(self) -> None:
        """Stop it as a crash would."""
        self._run("pg_ctl", "-w", "-m", "immediate", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        command = [
            *self._as_somebody,
            str(self._programs / program),
            "-D",
            str(self.folder / "data"),
            *arguments,
        ]
        # Output goes to a file: a server that inherits a pipe would keep it open.
        with (self.folder / "output").open("a") as output:
            subprocess.run(command, check=True, stdout=output, stderr=output, cwd=self.folder)


@contextmanager
def running(superuser: str, *, durable: bool = False) -> Iterator[Server | None]:
    """A server that listens on a socket only; None where PostgreSQL isn't installed.

    `durable` has commits wait for the disk, as in earnest.
    """
    found = programs()
    if found is None:
        yield None
        return
    # Not below pytest's own folder: that one is closed to other accounts, and PostgreSQL refuses to be root.
    folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
    as_somebody: tuple[str, ...] = ()
    if os.geteuid() == 0:
        shutil.chown(folder, "nobody")
        as_somebody = ("setpriv", "--reuid=nobody", "--clear-groups")
    options = (
        f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync={'on' if durable else 'off'}"
    )
    server = Server(folder, superuser, found, as_somebody, options)
    server._run("initdb", "-U", superuser, "-A", "trust", "-N", "-E", "UTF8")
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)
