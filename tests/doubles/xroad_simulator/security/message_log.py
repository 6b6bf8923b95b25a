"""The message log: every request and response, with the signature that proves its origin.

Time stamps and retention aren't there yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from xroad_simulator.clock import now, timestamp
from xroad_simulator.security.message import Envelope, Request
from xroad_simulator.security.server import SecurityServer

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
    time_stamp BLOB
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
        self._store = server.store
        with self._store.transaction() as connection:
            connection.execute(_SCHEMA)

    def write(self, side: Side, request: Request, envelope: Envelope, *, is_response: bool) -> None:
        """Add a line. A message that can't be logged must not be sent on."""
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
