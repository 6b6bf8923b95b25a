"""Tables are made, filled, changed and read in a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from tests import postgresql_server
from tests.postgresql_server import Server

from sector_system.database import Connections, PostgresqlRegistry, migrate
from sector_system.definition import Definition, Field, Text, load
from sector_system.sample import ROWS


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A throw-away server."""
    with postgresql_server.running("registry") as started:
        if started is None:
            pytest.skip("PostgreSQL isn't installed: apt-get install postgresql")
        yield started


@pytest.fixture
def connections(server: Server) -> Connections:
    """Connections to an empty database."""
    server.make_anew("registry")
    return lambda: server.connect("registry")


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
