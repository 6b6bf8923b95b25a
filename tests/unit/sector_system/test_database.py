"""Tables are made, filled, changed and read in a real PostgreSQL."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from sector_system.database import Connections, PostgresqlRegistry, migrate
from sector_system.definition import Definition, Field, Text, load
from sector_system.sample import ROWS


def _programs() -> Path | None:
    """PostgreSQL's own folder: Debian keeps initdb out of PATH."""
    found = shutil.which("initdb") or next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))), None)
    return Path(found).parent if found else None


@pytest.fixture(scope="module")
def server() -> Iterator[Path]:
    """A throw-away server that listens on a socket in the folder returned."""
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL isn't installed: apt-get install postgresql")
    # Not below pytest's own folder: that one is closed to other accounts, and PostgreSQL refuses to be root.
    folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
    as_somebody: list[str] = []
    if os.geteuid() == 0:
        shutil.chown(folder, "nobody")
        as_somebody = ["setpriv", "--reuid=nobody", "--clear-groups"]

    def run(program: str, *arguments: str) -> None:
        command = [*as_somebody, str(programs / program), "-D", str(folder / "data"), *arguments]
        # Output goes to a file: a server that inherits a pipe would keep it open.
        with (folder / "output").open("w") as output:
            subprocess.run(command, check=True, stdout=output, stderr=output, cwd=folder)

    run("initdb", "-U", "registry", "-A", "trust", "-N")
    options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
    run("pg_ctl", "-w", "-o", options, "start")
    yield folder
    run("pg_ctl", "-w", "-m", "immediate", "stop")
    shutil.rmtree(folder)


@pytest.fixture
def connections(server: Path) -> Iterator[Connections]:
    """Connections to an empty database."""

    def connect(name: str = "registry") -> psycopg.Connection[Any]:
        return psycopg.connect(host=str(server), user="registry", dbname=name)

    with connect("postgres") as administrator:
        administrator.autocommit = True
        administrator.execute("DROP DATABASE IF EXISTS registry WITH (FORCE)")
        administrator.execute("CREATE DATABASE registry")
    return connect


@pytest.fixture
def definition() -> Definition:
    """The civil registry."""
    return load("civil-registry")


def test_a_second_migration_changes_nothing(connections: Connections, definition: Definition) -> None:
    """The first adds every sample record."""
    assert migrate(definition, connections) == ROWS
    assert migrate(definition, connections) == 0


def test_pods_that_start_together_take_turns(connections: Connections, definition: Definition) -> None:
    """One of them adds the records, the others find them."""
    with ThreadPoolExecutor(4) as pool:
        changed = list(pool.map(lambda _: migrate(definition, connections), range(4)))

    assert sorted(changed) == [0, 0, 0, ROWS]


def test_a_new_field_reaches_an_old_table(connections: Connections, definition: Definition) -> None:
    """The column is added and its sample values filled in; other rows stay as they were."""
    migrate(definition, connections)
    with connections() as connection:
        connection.execute("UPDATE birth_records SET number = 'BJ-2025-000001' WHERE number = 'BJ-2024-000001'")
    added = Field("canton", "string", Text("Arrondissement", "District"), {"choice": ["I", "II"]})
    newer = replace(definition, fields=(*definition.fields, added))

    assert migrate(newer, connections) == ROWS
    registry = PostgresqlRegistry(newer, connections)
    foreign, sample = registry.find("BJ-2025-000001"), registry.find("BJ-2024-000001")
    assert foreign is not None
    assert foreign["canton"] is None
    assert sample is not None
    assert sample["canton"] in {"I", "II"}


def test_records_are_read_as_json_values(connections: Connections, definition: Definition) -> None:
    """By identifier and by page, dates as text."""
    migrate(definition, connections)
    registry = PostgresqlRegistry(definition, connections)
    found = registry.find("BJ-2024-000002")

    assert found is not None
    assert list(found) == [field.name for field in definition.fields]
    assert found["born_on"].startswith("2024-")
    assert registry.find("BJ-2024-999999") is None
    assert [row["number"] for row in registry.page(2, 1)] == ["BJ-2024-000002", "BJ-2024-000003"]
