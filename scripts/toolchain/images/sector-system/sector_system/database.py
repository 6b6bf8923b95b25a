"""The sector's table: made, filled and read."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from sector_system.definition import Definition
from sector_system.sample import records

Connections = Callable[[], AbstractContextManager[psycopg.Connection[Any]]]
"""Lends a connection; committed and given back at the end of the block. Raises psycopg.Error."""


class Registry(Protocol):
    """Where records are read. Raises psycopg.Error while they can't be."""

    def find(self, identifier: str) -> dict[str, Any] | None:
        """The record with this identifier, if there is one."""

    def page(self, limit: int, offset: int) -> list[dict[str, Any]]:
        """Records in the order of their identifiers."""


class PostgresqlRegistry:
    """Records in a PostgreSQL table."""

    def __init__(self, definition: Definition, connections: Connections) -> None:
        self._definition = definition
        self._connections = connections

    def find(self, identifier: str) -> dict[str, Any] | None:
        """The record with this identifier, if there is one."""
        query = self._select() + sql.SQL(" WHERE {} = %s").format(self._key)
        return next(iter(self._rows(query, (identifier,))), None)

    def page(self, limit: int, offset: int) -> list[dict[str, Any]]:
        """Records in the order of their identifiers."""
        query = self._select() + sql.SQL(" ORDER BY {} LIMIT %s OFFSET %s").format(self._key)
        return self._rows(query, (limit, offset))

    @property
    def _key(self) -> sql.Identifier:
        return sql.Identifier(self._definition.identifier)

    def _select(self) -> sql.Composed:
        columns = sql.SQL(", ").join(sql.Identifier(field.name) for field in self._definition.fields)
        return sql.SQL("SELECT {} FROM {}").format(columns, sql.Identifier(self._definition.table))

    def _rows(self, query: sql.Composed, arguments: tuple[object, ...]) -> list[dict[str, Any]]:
        with self._connections() as connection, connection.cursor(row_factory=dict_row) as cursor:
            return [self._definition.plain(row) for row in cursor.execute(query, arguments)]


def migrate(definition: Definition, connections: Connections) -> int:
    """Bring the table to this version's fields and sample records; return how many records changed.

    One transaction under a lock: a run that is killed leaves nothing half done, pods that start together
    take turns, and a second run changes nothing. Columns are added, never dropped.
    """
    table, key = sql.Identifier(definition.table), sql.Identifier(definition.identifier)
    columns = [(sql.Identifier(field.name), sql.SQL(field.column)) for field in definition.fields]
    names = [sql.Identifier(field.name) for field in definition.fields]
    create = sql.SQL("CREATE TABLE IF NOT EXISTS {} ({}, PRIMARY KEY ({}))").format(
        table, sql.SQL(", ").join(sql.SQL("{} {} NOT NULL").format(*column) for column in columns), key
    )
    listed = sql.SQL(", ").join(names)
    wanted = sql.SQL(", ").join(sql.SQL("excluded.{}").format(name) for name in names)
    upsert = sql.SQL(
        "INSERT INTO {table} AS present ({listed}) VALUES ({values}) ON CONFLICT ({key}) "
        "DO UPDATE SET ({listed}) = ROW({wanted}) WHERE ({present}) IS DISTINCT FROM ({wanted})"
    ).format(
        table=table,
        key=key,
        listed=listed,
        wanted=wanted,
        values=sql.SQL(", ").join(sql.Placeholder(field.name) for field in definition.fields),
        present=sql.SQL(", ").join(sql.SQL("present.{}").format(name) for name in names),
    )
    with connections() as connection, connection.transaction(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('sector-system'))")
        cursor.execute(create)
        for column in columns:
            cursor.execute(sql.SQL("ALTER TABLE {} ADD COLUMN IF NOT EXISTS {} {}").format(table, *column))
        cursor.executemany(upsert, list(records(definition)))
        return cursor.rowcount
