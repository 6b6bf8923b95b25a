"""The message log: every request and response, with the signature that proves its origin.

Records are time-stamped in batches. The digest that is stamped is SHA-512 over a manifest, which is the
SHA-512 of each record's signature, one after another; X-Road makes a tree of hashes instead. Nothing is
ever archived or removed.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from xroad_simulator.clock import now, timestamp
from xroad_simulator.security.message import Envelope, MessageError, Request
from xroad_simulator.security.records import TimestampingRecord
from xroad_simulator.security.server import SecurityServer
from xroad_simulator.time_stamps import TimeStamp

_SCHEMA = """
CREATE TABLE IF NOT EXISTS message_log (
    number INTEGER PRIMARY KEY,
    logged_at TEXT NOT NULL,
    side TEXT NOT NULL,
    is_response INTEGER NOT NULL,
    message_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    client TEXT NOT NULL,
    service TEXT NOT NULL,
    head BLOB NOT NULL,
    body BLOB NOT NULL,
    signature BLOB NOT NULL,
    time_stamp INTEGER
)
"""
_STAMPS = """
CREATE TABLE IF NOT EXISTS time_stamp (
    number INTEGER PRIMARY KEY,
    stamped_at TEXT NOT NULL,
    url TEXT NOT NULL,
    manifest BLOB NOT NULL,
    token BLOB NOT NULL
)
"""


class Side(StrEnum):
    """Whose log it is."""

    CONSUMER = "consumer"
    PROVIDER = "provider"


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the log, without its contents."""

    number: int
    logged_at: datetime
    side: Side
    is_response: bool
    message_id: str
    client: str
    service: str


class MessageLog:
    """The log of one server, in its database."""

    def __init__(self, server: SecurityServer) -> None:
        self._server = server
        self._store = server.store
        with self._store.transaction() as connection:
            connection.execute(_SCHEMA)
            connection.execute(_STAMPS)

    def write(self, side: Side, request: Request, envelope: Envelope, *, is_response: bool) -> None:
        """Add a line. A message that can't be logged must not be sent on.

        MessageError if it couldn't be time-stamped: no service is used, or none has worked for too long.
        """
        self._require_time_stamps(side)
        with self._store.transaction() as connection:
            connection.execute(
                "INSERT INTO message_log (logged_at, side, is_response, message_id, request_id, "
                "client, service, head, body, signature) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    timestamp(now()),
                    side,
                    is_response,
                    request.message_id,
                    request.request_id,
                    str(request.client),
                    str(request.service),
                    envelope.head,
                    envelope.body,
                    envelope.signature.encode(),
                ),
            )

    def _require_time_stamps(self, side: Side) -> None:
        parameters = self._server.last_configuration()
        if parameters is None or not parameters.timestamping_services:
            return
        place = "Server.ClientProxy" if side is Side.CONSUMER else "Server.ServerProxy"
        if not self._store.all(TimestampingRecord):
            raise MessageError(
                f"{place}.mlog.no_timestamping_provider_found",
                "Cannot time-stamp messages: no timestamping services configured",
            )
        since = self._server.stamping.failing_since
        period = self._server.settings.acceptable_timestamp_failure_period
        if since is not None and period and time.monotonic() - since > period:
            raise MessageError(f"{place}.mlog.timestamper_failed", "Cannot time-stamp messages")

    def unstamped(self, limit: int) -> tuple[list[int], bytes]:
        """The oldest lines without a time stamp, and the manifest to stamp for them."""
        with self._store.transaction() as connection:
            rows = connection.execute(
                "SELECT number, signature FROM message_log WHERE time_stamp IS NULL ORDER BY number LIMIT ?",
                (limit,),
            ).fetchall()
        return [row[0] for row in rows], b"".join(hashlib.sha512(row[1]).digest() for row in rows)

    def stamped(self, numbers: list[int], manifest: bytes, url: str, made: TimeStamp) -> None:
        """Keep the time stamp of some lines."""
        with self._store.transaction() as connection:
            kept = connection.execute(
                "INSERT INTO time_stamp (stamped_at, url, manifest, token) VALUES (?, ?, ?, ?)",
                (timestamp(made.time), url, manifest, made.token),
            )
            connection.executemany(
                "UPDATE message_log SET time_stamp = ? WHERE number = ?",
                [(kept.lastrowid, number) for number in numbers],
            )

    def entries(self, message_id: str) -> list[Entry]:
        """The lines about a message, in the order in which they were written."""
        with self._store.transaction() as connection:
            rows = connection.execute(
                "SELECT number, logged_at, side, is_response, message_id, client, service "
                "FROM message_log WHERE message_id = ? ORDER BY number",
                (message_id,),
            ).fetchall()
        return [
            Entry(row[0], datetime.fromisoformat(row[1]), Side(row[2]), bool(row[3]), *row[4:7]) for row in rows
        ]
