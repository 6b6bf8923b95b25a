"""State on disk: records of pydantic models in SQLite, one transaction a change.

A change is whole or absent after kill -9: SQLite's write-ahead log decides, nothing else is kept.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict

_SCHEMA = """
CREATE TABLE IF NOT EXISTS record (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (kind, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sequence (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""


class Record(BaseModel):
    """Something that is kept. Immutable: a change replaces it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    KIND: ClassVar[str]

    @property
    def key(self) -> str:
        """What tells this record from others of its kind."""
        raise NotImplementedError

    def having(self, **changes: object) -> Self:
        """The same record with some fields replaced, checked again."""
        return type(self).model_validate({**self.model_dump(), **changes})


R = TypeVar("R", bound=Record)


class Store:
    """A server's state. Safe to use from several threads; transactions take turns."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._depth = 0
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        path.chmod(0o600)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        """Release the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing: an exception undoes the changes. May be nested."""
        with self._lock:
            if self._depth == 0:
                self._connection.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield self._connection
            except BaseException:
                self._depth -= 1
                if self._depth == 0:
                    self._connection.execute("ROLLBACK")
                raise
            self._depth -= 1
            if self._depth == 0:
                self._connection.execute("COMMIT")

    def put(self, record: Record) -> None:
        """Add a record, or replace the one with its key."""
        with self.transaction() as connection:
            connection.execute(
                "INSERT INTO record (kind, key, body) VALUES (?, ?, ?) "
                "ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body",
                (record.KIND, record.key, record.model_dump_json()),
            )

    def get(self, kind: type[R], key: str) -> R | None:
        """The record with this key, or None."""
        with self._lock:
            row = self._connection.execute(
                "SELECT body FROM record WHERE kind = ? AND key = ?", (kind.KIND, key)
            ).fetchone()
        return None if row is None else kind.model_validate_json(row[0])

    def all(self, kind: type[R], prefix: str = "") -> list[R]:
        """Every record of a kind whose key begins with `prefix`, in the order of their keys."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT body FROM record WHERE kind = ? AND key >= ? AND key < ? ORDER BY key",
                (kind.KIND, prefix, prefix + "\U0010ffff"),
            ).fetchall()
        return [kind.model_validate_json(row[0]) for row in rows]

    def delete(self, record: Record) -> None:
        """Remove a record, if it is there."""
        with self.transaction() as connection:
            connection.execute("DELETE FROM record WHERE kind = ? AND key = ?", (record.KIND, record.key))

    def dump(self) -> bytes:
        """Everything that is kept, for a backup."""
        with self._lock:
            records = self._connection.execute("SELECT kind, key, body FROM record").fetchall()
            sequences = self._connection.execute("SELECT name, value FROM sequence").fetchall()
        return json.dumps({"record": records, "sequence": sequences}).encode()

    def load(self, dump: bytes) -> None:
        """Replace everything that is kept by what a backup holds; ValueError if it isn't one."""
        content = json.loads(dump)
        with self.transaction() as connection:
            connection.execute("DELETE FROM record")
            connection.execute("DELETE FROM sequence")
            connection.executemany("INSERT INTO record (kind, key, body) VALUES (?, ?, ?)", content["record"])
            connection.executemany("INSERT INTO sequence (name, value) VALUES (?, ?)", content["sequence"])

    def next_number(self, name: str) -> int:
        """The next number of a sequence, from 1. Numbers aren't used twice."""
        with self.transaction() as connection:
            connection.execute(
                "INSERT INTO sequence (name, value) VALUES (?, 1) "
                "ON CONFLICT (name) DO UPDATE SET value = value + 1",
                (name,),
            )
            row = connection.execute("SELECT value FROM sequence WHERE name = ?", (name,)).fetchone()
        return int(row[0])
