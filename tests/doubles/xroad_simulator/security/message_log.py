"""The message log: every request and response, with the signature that proves its origin.

A record belongs to the client of this server that took part: on the consumer's side the caller, on the
provider's the service's owner. Signatures are time-stamped in batches: the token is over the result of a
hash chain over all of them, and every record keeps its own way down that chain. A single one carries its
token inside the signature, as X-Road does it (`BatchTimestampRequest`, `SingleTimestampRequest`).
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from xroad_simulator.clock import now, timestamp
from xroad_simulator.identifiers import ClientId
from xroad_simulator.security.hash_chain import Proof, Tree
from xroad_simulator.security.message import Envelope, MessageError, Request, Response
from xroad_simulator.security.records import TimestampingRecord
from xroad_simulator.security.server import SecurityServer
from xroad_simulator.security.signatures import Opened, Signature
from xroad_simulator.time_stamps import TimeStamp

STAMP_CHAIN, STAMPED = "/ts-hashchain.xml", "/META-INF/signatures.xml"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS message_record (
    number INTEGER PRIMARY KEY,
    logged_at TEXT NOT NULL,
    side TEXT NOT NULL,
    is_response INTEGER NOT NULL,
    message_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    client TEXT NOT NULL,
    service TEXT NOT NULL,
    belongs_to TEXT NOT NULL,
    message TEXT NOT NULL,
    body BLOB,
    signature TEXT NOT NULL,
    chain_result TEXT,
    chain TEXT,
    stamp INTEGER,
    stamp_chain TEXT,
    is_archived INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS message_record_id ON message_record (message_id, belongs_to);
CREATE INDEX IF NOT EXISTS message_record_unstamped ON message_record (number) WHERE stamp IS NULL;
CREATE INDEX IF NOT EXISTS message_record_kept ON message_record (is_archived, logged_at);
CREATE TABLE IF NOT EXISTS stamp_record (
    number INTEGER PRIMARY KEY,
    stamped_at TEXT NOT NULL,
    url TEXT NOT NULL,
    token BLOB NOT NULL,
    chain_result TEXT
);
CREATE TABLE IF NOT EXISTS archive_record (
    grouping TEXT PRIMARY KEY,
    file TEXT NOT NULL,
    digest TEXT NOT NULL
) WITHOUT ROWID
"""
_COLUMNS = (
    "m.number, m.logged_at, m.side, m.is_response, m.message_id, m.request_id, m.client, m.service, "
    "m.belongs_to, m.message, m.body, m.signature, m.chain_result, m.chain, m.stamp_chain, "
    "s.token, s.chain_result"
)
_JOINED = f"SELECT {_COLUMNS} FROM message_record m LEFT JOIN stamp_record s ON s.number = m.stamp"  # noqa: S608


class Side(StrEnum):
    """Whose log it is."""

    CONSUMER = "consumer"
    PROVIDER = "provider"

    @property
    def place(self) -> str:
        """How the errors that arise on this side begin."""
        return "Server.ClientProxy" if self is Side.CONSUMER else "Server.ServerProxy"


@dataclass(frozen=True, slots=True)
class Entry:
    """A record of the log."""

    number: int
    logged_at: datetime
    side: Side
    is_response: bool
    message_id: str
    request_id: str
    client: str
    service: str
    belongs_to: str
    message: str
    body: bytes | None
    signature: Signature
    stamp_chain: str | None
    token: bytes | None
    """The time stamp, None while there is none."""
    stamp_result: str | None
    """What the token is about, where it is about a batch."""


def _entry(row: Sequence[Any]) -> Entry:
    xml, result, chain = row[11:14]
    return Entry(
        number=row[0],
        logged_at=datetime.fromisoformat(row[1]),
        side=Side(row[2]),
        is_response=bool(row[3]),
        message_id=row[4],
        request_id=row[5],
        client=row[6],
        service=row[7],
        belongs_to=row[8],
        message=row[9],
        body=row[10],
        signature=Signature(xml, None if result is None else Proof(result, chain)),
        stamp_chain=row[14],
        token=row[15],
        stamp_result=row[16],
    )


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that get one time stamp, and what it will be about."""

    numbers: tuple[int, ...]
    signatures: tuple[Signature, ...]
    tree: Tree | None
    """None where there is one record only."""

    @classmethod
    def of(cls, records: Sequence[tuple[int, Signature]]) -> Batch:
        """The batch of these numbers and signatures."""
        numbers, signatures = zip(*records, strict=True)
        digests = [hashlib.sha512(item.xml.encode()).digest() for item in signatures]
        return cls(numbers, signatures, Tree(digests) if len(digests) > 1 else None)

    @property
    def content(self) -> bytes:
        """What is stamped: the chain's result, or the value of the only signature."""
        if self.tree is None:
            return Opened.read(self.signatures[0].xml).value
        return self.tree.result(STAMP_CHAIN).encode()


class MessageLog:
    """The log of one server, in its database."""

    def __init__(self, server: SecurityServer) -> None:
        self._server = server
        self._store = server.store
        with self._store.transaction() as connection:
            # The last of the tables is there only if all are; messages open a log each.
            there = "SELECT 1 FROM sqlite_master WHERE name = 'archive_record'"
            if connection.execute(there).fetchone() is None:
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)

    def write(
        self, side: Side, request: Request, response: Response | None, envelope: Envelope
    ) -> tuple[int, Signature]:
        """Add a record of a request, or of the response to it; its number and signature.

        A message that can't be logged must not be sent on: MessageError if its body is too large, or if
        it couldn't be time-stamped, because no service is used or none has worked for too long.
        """
        self._require_time_stamps(side)
        settings, provider = self._server.settings.message_log, request.service.client
        is_logged = settings.logs_body(provider, is_local=side is Side.PROVIDER)
        body = envelope.body if is_logged and settings.largest_body else b""
        if len(body) > settings.largest_body:
            if not settings.cuts_bodies:
                raise MessageError(f"{side.place}.LoggingFailed", "Message size exceeds maximum loggable size")
            body = body[: settings.largest_body]
        message = envelope.head if is_logged else (request if response is None else response).outline()
        signature, proof = envelope.signature, envelope.signature.proof
        with self._store.transaction() as connection:
            number = connection.execute(
                "INSERT INTO message_record (logged_at, side, is_response, message_id, request_id, client, "
                "service, belongs_to, message, body, signature, chain_result, chain) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    timestamp(now()),
                    side,
                    response is not None,
                    request.message_id,
                    request.request_id,
                    str(request.client),
                    str(request.service),
                    str(request.client if side is Side.CONSUMER else provider),
                    message.decode(),
                    body or None,
                    signature.xml,
                    None if proof is None else proof.result,
                    None if proof is None else proof.chain,
                ),
            ).lastrowid
        assert number is not None
        return number, signature

    def _require_time_stamps(self, side: Side) -> None:
        parameters = self._server.last_configuration()
        if parameters is None or not parameters.timestamping_services:
            return
        if not self._store.all(TimestampingRecord):
            raise MessageError(
                f"{side.place}.LoggingFailed.mlog.no_timestamping_provider_found",
                "Cannot time-stamp messages: no timestamping services configured",
            )
        if self._server.settings.message_log.stamps_at_once:
            return
        since = self._server.stamping.failing_since
        period = self._server.settings.acceptable_timestamp_failure_period
        if since is not None and period and time.monotonic() - since > period:
            raise MessageError(f"{side.place}.LoggingFailed.TimestamperFailed", "Cannot time-stamp messages")

    def unstamped(self) -> Batch | None:
        """The oldest records without a time stamp, None if there are none."""
        with self._store.transaction() as connection:
            rows = connection.execute(
                "SELECT number, signature FROM message_record WHERE stamp IS NULL ORDER BY number LIMIT ?",
                (self._server.settings.message_log.batch_size,),
            ).fetchall()
        return Batch.of([(row[0], Signature(row[1])) for row in rows]) if rows else None

    def stamped(self, batch: Batch, url: str, made: TimeStamp) -> None:
        """Keep the time stamp of a batch, for those of its records that have none yet."""
        result = None if batch.tree is None else batch.tree.result(STAMP_CHAIN)
        with self._store.transaction() as connection:
            kept = connection.execute(
                "INSERT INTO stamp_record (stamped_at, url, token, chain_result) VALUES (?, ?, ?, ?)",
                (timestamp(made.time), url, made.token, result),
            ).lastrowid
            if batch.tree is None:
                connection.execute(
                    "UPDATE message_record SET signature = ?, stamp = ? WHERE number = ? AND stamp IS NULL",
                    (batch.signatures[0].stamped(made.token).xml, kept, batch.numbers[0]),
                )
                return
            tree = batch.tree
            connection.executemany(
                "UPDATE message_record SET stamp_chain = ?, stamp = ? WHERE number = ? AND stamp IS NULL",
                [(tree.chain(index, STAMPED), kept, number) for index, number in enumerate(batch.numbers)],
            )

    def entries(
        self, message_id: str, belongs_to: ClientId | None = None, *, is_response: bool | None = None
    ) -> list[Entry]:
        """The records about a message, in the order in which they were written."""
        query, values = f"{_JOINED} WHERE m.message_id = ?", [message_id]
        if belongs_to is not None:
            query, values = f"{query} AND m.belongs_to = ?", [*values, str(belongs_to)]
        if is_response is not None:
            query += f" AND m.is_response = {int(is_response)}"
        return self._read(f"{query} ORDER BY m.number", *values)

    def to_archive(self, limit: int) -> list[tuple[str, int]]:
        """Owner and number of time-stamped records that aren't in an archive yet, each owner's together."""
        with self._store.transaction() as connection:
            rows = connection.execute(
                "SELECT belongs_to, number FROM message_record WHERE stamp IS NOT NULL AND NOT is_archived "
                "ORDER BY belongs_to, number LIMIT ?",
                (limit,),
            ).fetchall()
        return [(row[0], row[1]) for row in rows]

    def entry(self, number: int) -> Entry:
        """The record of a number."""
        (found,) = self._read(f"{_JOINED} WHERE m.number = ?", number)
        return found

    def _read(self, query: str, *values: str | int) -> list[Entry]:
        with self._store.transaction() as connection:
            return [_entry(row) for row in connection.execute(query, values).fetchall()]

    def last_archives(self) -> dict[str, tuple[str, str]]:
        """For each grouping the file that was archived last, and the digest at its end."""
        with self._store.transaction() as connection:
            rows = connection.execute("SELECT grouping, file, digest FROM archive_record").fetchall()
        return {row[0]: (row[1], row[2]) for row in rows}

    def archived(self, numbers: Sequence[int], grouping: str, file: str, digest: str) -> None:
        """Remember which file records are in, in the same change as that they are."""
        with self._store.transaction() as connection:
            connection.executemany(
                "UPDATE message_record SET is_archived = 1 WHERE number = ?", [(number,) for number in numbers]
            )
            connection.execute(
                "INSERT INTO archive_record (grouping, file, digest) VALUES (?, ?, ?) "
                "ON CONFLICT (grouping) DO UPDATE SET file = excluded.file, digest = excluded.digest",
                (grouping, file, digest),
            )

    def clean(self, moment: datetime) -> int:
        """Remove archived records that were kept long enough, and stamps without records; how many records."""
        before = moment - timedelta(days=self._server.settings.message_log.keep_days)
        with self._store.transaction() as connection:
            removed: sqlite3.Cursor = connection.execute(
                "DELETE FROM message_record WHERE is_archived AND logged_at < ?", (timestamp(before),)
            )
            connection.execute(
                "DELETE FROM stamp_record WHERE NOT EXISTS "
                "(SELECT 1 FROM message_record m WHERE m.stamp = stamp_record.number)"
            )
        return removed.rowcount
