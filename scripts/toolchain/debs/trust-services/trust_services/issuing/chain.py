"""Whether the record is as it was written: every link, and every order and certificate that a link names."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from trust_services.issuing.orders import order_digest

GENESIS = bytes(32)
"""The hash that the first event follows."""

_EVENTS = """
SELECT e.*, o.profile, o.member_class, o.member_code, o.member_name, o.server, o.service, o.request,
    o.digest, sha256(c.certificate) AS fingerprint
FROM issuing.events e
LEFT JOIN issuing.orders o ON e.kind = 'placed' AND o.id = e.order_id
LEFT JOIN issuing.certificates c ON e.kind = 'issued' AND c.serial = e.serial
ORDER BY e.sequence
"""

_UNTOLD = """
SELECT 'order ' || id AS what FROM issuing.orders o
WHERE NOT EXISTS (SELECT FROM issuing.events e WHERE e.order_id = o.id AND e.kind = 'placed')
UNION ALL
SELECT 'certificate ' || serial FROM issuing.certificates c
WHERE NOT EXISTS (SELECT FROM issuing.events e WHERE e.serial = c.serial AND e.kind = 'issued')
UNION ALL
SELECT 'serial number ' || serial FROM issuing.intents i
WHERE NOT EXISTS (SELECT FROM issuing.events e WHERE e.serial = i.serial AND e.kind = 'intended')
LIMIT 1
"""


@dataclass(frozen=True)
class Head:
    """The end of the chain. Kept elsewhere, it shows when the end was cut off or the whole was written anew."""

    sequence: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.sequence}:{self.hash.hex()}"


@dataclass(frozen=True)
class Verification:
    """What reading the whole record showed."""

    events: int
    """How many events were found whole, from the first on."""
    head: Head
    broken: str = ""
    """The first thing that isn't as it was written; empty if all is."""


def link(
    previous: bytes,
    sequence: int,
    at: datetime,
    kind: str,
    order: UUID,
    serial: str | None,
    actor: str,
    facts: str,
) -> bytes:
    """The hash of an event, as the database's own function issuing.link() computes it."""
    moment = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
    content = "\n".join((str(sequence), moment, kind, str(order), serial or "", actor, facts))
    return hashlib.sha256(previous + content.encode()).digest()


def verify_chain(connection: psycopg.Connection[Any], expected: Head | None = None) -> Verification:
    """Read the record from its first event and stop at what isn't as it was written, if anything isn't.

    `expected` is a head that was noted earlier and elsewhere: the record must still contain it.
    """
    with connection.transaction():
        # One look at all tables: what is added meanwhile isn't seen in one and missed in another.
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        last = Head(0, GENESIS)
        met = expected is None or expected == last
        # On the server's side: a record of millions of events isn't held in memory.
        with connection.cursor("events", row_factory=dict_row) as cursor:
            cursor.itersize = 1000
            for row in cursor.execute(_EVENTS):
                if reason := _break(row, last) or _altered(row):
                    return Verification(last.sequence, last, f"event {last.sequence + 1}: {reason}")
                last = Head(row["sequence"], row["hash"])
                if expected is not None and expected.sequence == last.sequence:
                    if expected.hash != last.hash:
                        reason = "isn't the one that was noted elsewhere: the record was written anew"
                        return Verification(last.sequence, last, f"event {last.sequence}: {reason}")
                    met = True
        return Verification(
            last.sequence, last, _unfinished(connection, last) or ("" if met else _short(expected))
        )


def _short(expected: Head | None) -> str:
    assert expected is not None  # noqa: S101 - only asked for when one was given
    return f"event {expected.sequence}: was noted elsewhere and isn't here any more"


def _break(row: dict[str, Any], last: Head) -> str:
    if row["sequence"] != last.sequence + 1:
        return f"is missing; the next one is {row['sequence']}"
    if row["previous"] != last.hash:
        return "doesn't follow the one before it: one of them was changed or exchanged"
    computed = link(
        last.hash,
        *(row[name] for name in ("sequence", "at", "kind", "order_id", "serial", "actor", "facts")),
    )
    return "" if computed == row["hash"] else "was changed after it was written"


def _altered(row: dict[str, Any]) -> str:
    """Whether what an event tells about isn't what it was any more."""
    facts = json.loads(row["facts"])
    if row["kind"] == "placed":
        if row["request"] is None:
            return f"its order {row['order_id']} was removed"
        names = ("profile", "member_class", "member_code", "member_name", "server", "service", "request")
        if not order_digest(*(row[name] for name in names)).hex() == row["digest"].hex() == facts["digest"]:
            return f"its order {row['order_id']} was changed"
    if row["kind"] == "issued":
        if row["fingerprint"] is None:
            return f"its certificate {row['serial']} was removed"
        if row["fingerprint"].hex() != facts["sha256"]:
            return f"its certificate {row['serial']} was changed"
    return ""


def _unfinished(connection: psycopg.Connection[Any], last: Head) -> str:
    row = connection.execute("SELECT sequence, hash FROM issuing.chain").fetchone()
    if row is None or Head(*row) != last:
        return (
            f"event {last.sequence + 1}: was cut off the end"
            if row and row[0] > last.sequence
            else (f"event {last.sequence}: isn't the end of the chain that the record has noted")
        )
    untold = connection.execute(_UNTOLD).fetchone()
    return f"{untold[0]}: no event tells of it" if untold else ""
