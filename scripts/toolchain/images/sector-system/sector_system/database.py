"""The sector's table: made, filled and read."""

from __future__ import annotations

from typing import Any, Protocol

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from sector_system.definition import Definition
from sector_system.sample import records
from sector_system.settings import Settings


class Registry(Protocol):
    """Where records are read."""

    def find(self, identifier: str) -> dict[str, Any] | None:
        """The record with this identifier, if there is one."""

    def page(self, limit: int, offset: int) -> list[dict[str, Any]]:
        """Records in the order of their identifiers."""

    def ready(self) -> bool:
        """Whether records can be read now."""


class PostgresqlRegistry:
    """Records in PostgreSQL. A connection is opened for each request: the load is small, state is nil."""

    def __init__(self, definition: Definition, settings: Settings) -> None:
        self._definition = definition
        self._settings = settings

    def find(self, identifier: str) -> dict[str, Any] | None:
        """The record with this identifier, if there is one."""
        query = self._select() + sql.SQL(" WHERE {} = %s").format(self._key)
        return next(iter(self._rows(query, (identifier,))), None)

    def page(self, limit: int, offset: int) -> list[dict[str, Any]]:
        """Records in the order of their identifiers."""
        query = self._select() + sql.SQL(" ORDER BY {} LIMIT %s OFFSET %s").format(self._key)
        return self._rows(query, (limit, offset))

    def ready(self) -> bool:
        """Whether the table can be read."""
        try:
            self.page(1, 0)
        except (psycopg.Error, OSError):
            return False
        return True

    @property
    def _key(self) -> sql.Identifier:
        return sql.Identifier(self._definition.identifier)

    def _select(self) -> sql.Composed:
        columns = sql.SQL(", ").join(sql.Identifier(field.name) for field in self._definition.fields)
        return sql.SQL("SELECT {} FROM {}").format(columns, sql.Identifier(self._definition.table))

    def _rows(self, query: sql.Composed, arguments: tuple[object, ...]) -> list[dict[str, Any]]:
        with psycopg.connect(**self._settings.connection(), row_factory=dict_row) as connection:  # type: ignore[arg-type]
            return [self._definition.plain(row) for row in connection.execute(query, arguments)]


def migrate(definition: Definition, settings: Settings) -> int:
    """Make the table and add the sample records that are missing; return how many were added.

    One transaction: a run that is killed leaves nothing half done, and a second run adds nothing.
    """
    columns = sql.SQL(", ").join(
        sql.SQL("{} {} NOT NULL").format(sql.Identifier(field.name), sql.SQL(field.column))
        for field in definition.fields
    )
    table, key = sql.Identifier(definition.table), sql.Identifier(definition.identifier)
    create = sql.SQL("CREATE TABLE IF NOT EXISTS {} ({}, PRIMARY KEY ({}))").format(table, columns, key)
    names = [field.name for field in definition.fields]
    insert = sql.SQL("INSERT INTO {} ({}) VALUES ({}) ON CONFLICT DO NOTHING").format(
        table,
        sql.SQL(", ").join(map(sql.Identifier, names)),
        sql.SQL(", ").join(sql.Placeholder(name) for name in names),
    )
    with psycopg.connect(**settings.connection()) as connection, connection.cursor() as cursor:  # type: ignore[arg-type]
        cursor.execute(create)
        cursor.executemany(insert, list(records(definition)))
        return cursor.rowcount
