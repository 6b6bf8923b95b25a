"""The record in PostgreSQL: what was ordered, decided, issued and revoked. Only ever added to.

Every writing transaction takes the end of the chain first, so writers are in one line and what one has read
stays true until it commits; the schema's constraints hold the same rules once more.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from itertools import product
from typing import Any
from uuid import UUID, uuid4

import psycopg
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from psycopg.rows import kwargs_row

from trust_services.certificate_state import CertificateState
from trust_services.issuing.chain import Head
from trust_services.issuing.orders import Profile
from trust_services.issuing.refusals import Conflict, Unknown
from trust_services.issuing.rules import Accepted

CONFIGURATION = "configuration"
"""Who approves an order that the estate expects."""

MAX_ATTEMPTS = 5
"""How often an order is tried again by itself. A serial number is used up each time."""

ENDING_DAYS = (30, 7, 1)
"""A certificate is counted as ending so many days before its end."""

_WORKER_LOCKS = 0x1550E
"""First half of the advisory locks that workers hold while they live."""


class State(StrEnum):
    """Where an order stands."""

    WAITING = "waiting"
    APPROVED = "approved"
    REFUSED = "refused"
    ISSUED = "issued"


@dataclass(frozen=True)
class Entry:
    """An order as the record has it."""

    id: UUID
    orderer: str
    profile: str
    owner: str
    member_class: str | None
    member_code: str | None
    member_name: str | None
    server: str | None
    service: str | None
    request: bytes
    digest: bytes
    key_digest: bytes
    idempotency_key: str
    placed_at: datetime
    state: State
    reason: str | None
    serial: str | None
    certificate: bytes | None


@dataclass(frozen=True)
class Placing:
    """An accepted order on its way into the record."""

    accepted: Accepted
    orderer: str
    automatic: bool
    """Whether it is approved without an officer."""
    id: UUID = field(default_factory=uuid4)


@dataclass(frozen=True)
class Intent:
    """A serial number that was written down for an order. Nothing is signed before."""

    order: UUID
    serial: int


@dataclass(frozen=True)
class Placed:
    """What became of an order that was to be written down."""

    order: UUID
    """Its number: of the order that was there already, if one was."""
    new: bool = False
    intent: Intent | None = None
    refusal: Conflict | None = None


@dataclass(frozen=True)
class Issued:
    """A certificate that passed every examination."""

    intent: Intent
    certificate: x509.Certificate
    key_digest: bytes
    owner: str
    """Whose it is, as `Order.owner` says it."""
    profile: str
    server: str | None


@dataclass(frozen=True)
class Unfit:
    """A certificate that the linter holds back. It isn't kept: nobody shall find it."""

    intent: Intent
    findings: tuple[str, ...]


@dataclass(frozen=True)
class Abandoned:
    """An intent that came to nothing. Its serial number is gone; the order may get another."""

    intent: Intent
    reason: str


@dataclass(frozen=True)
class _Event:
    kind: str
    order: UUID
    actor: str
    facts: dict[str, Any]
    serial: str | None = None


def serial_text(serial: int) -> str:
    """A serial number as the record writes it: 20 octets in hexadecimal."""
    return f"{serial:040x}"


def _entry(state: str, **columns: Any) -> Entry:
    return Entry(state=State(state), **columns)


_ENTRIES = """
SELECT o.id, o.orderer, o.profile, o.owner, o.member_class, o.member_code, o.member_name, o.server, o.service,
    o.request, o.digest, o.key_digest, o.idempotency_key, p.at AS placed_at, s.state, s.reason, c.serial,
    c.certificate
FROM issuing.orders o
JOIN issuing.events p ON p.order_id = o.id AND p.kind = 'placed'
JOIN issuing.order_states s ON s.id = o.id
LEFT JOIN issuing.certificates c ON c.order_id = o.id
"""

# In the order of an index that has all of it: what PostgreSQL reads is as much for any number of owners.
_ENDING = """
WITH newest AS (
    SELECT DISTINCT ON (owner, profile, server) profile, not_after
    FROM issuing.certificates c
    WHERE not_after > now()
    AND NOT EXISTS (SELECT FROM issuing.events e WHERE e.serial = c.serial AND e.kind = 'revoked')
    ORDER BY owner, profile, server, not_before DESC)
SELECT profile, days, count(*)
FROM newest JOIN unnest(%(days)s::int[]) AS days ON not_after <= now() + make_interval(days => days)
GROUP BY profile, days
"""

_TYPES = {
    "id": "uuid",
    "order_id": "uuid",
    "request": "bytea",
    "key_digest": "bytea",
    "digest": "bytea",
    "certificate": "bytea",
    "issuer": "bytea",
    "attempt": "integer",
    "worker": "integer",
    "not_before": "timestamptz",
    "not_after": "timestamptz",
}
"""Of columns that aren't text."""


class Record:
    """The record through one connection, which must commit by itself. Raises psycopg.Error when it fails."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._worker = 0

    def close_connection(self) -> None:
        """End the connection, and with it what says that this worker is alive."""
        self._connection.close()

    # Reading.

    def orders(self, state: State | None = None, orderer: str | None = None, limit: int = 100) -> list[Entry]:
        """Orders, the oldest first; of one state, or of one orderer."""
        return self._entries(
            "WHERE (%(state)s::text IS NULL OR s.state = %(state)s) "
            "AND (%(orderer)s::text IS NULL OR o.orderer = %(orderer)s) ORDER BY p.sequence LIMIT %(limit)s",
            {"state": state, "orderer": orderer, "limit": limit},
        )

    def those(self, orders: Sequence[UUID]) -> dict[UUID, Entry]:
        """Orders by their numbers."""
        return {entry.id: entry for entry in self._entries("WHERE o.id = ANY(%(ids)s)", {"ids": list(orders)})}

    def order(self, order: UUID) -> Entry:
        """The order; Unknown if there is none."""
        found = self.those([order])
        if not found:
            raise Unknown(f"there is no order {order}")
        return found[order]

    def certificate(self, serial: str) -> Entry:
        """The order whose certificate has this serial number; Unknown if none has."""
        found = self._entries("WHERE c.serial = %(serial)s", {"serial": serial})
        if not found:
            raise Unknown(f"there is no certificate {serial}")
        return found[0]

    def revocation(self, serial: str) -> CertificateState | None:
        """When and why a certificate was revoked; None if it wasn't."""
        return next((state for state in self.states([serial]) if state.revoked_at), None)

    def states(self, serials: Sequence[str] | None = None) -> Iterator[CertificateState]:
        """The state of every certificate that was ever released, or of some: what OCSP and lists say."""
        query = """
            SELECT c.serial, e.at, e.facts::jsonb ->> 'reason', c.not_after, c.issuer
            FROM issuing.certificates c LEFT JOIN issuing.events e ON e.serial = c.serial AND e.kind = 'revoked'
            WHERE %(serials)s::text[] IS NULL OR c.serial = ANY(%(serials)s) ORDER BY c.serial
        """
        arguments = {"serials": None if serials is None else list(serials)}
        for serial, at, reason, ends, issuer in self._connection.execute(query, arguments):
            why = x509.ReasonFlags(reason) if reason else None
            yield CertificateState(int(serial, 16), at, why, ends, issuer)

    def head(self) -> Head:
        """The end of the chain."""
        row = self._connection.execute("SELECT sequence, hash FROM issuing.chain").fetchone()
        assert row is not None  # noqa: S101 - the schema puts it there, and lets nobody remove it
        return Head(*row)

    def counts(self) -> dict[str, int]:
        """How many events of each kind there are."""
        return dict(
            self._connection.execute("SELECT kind, count(*) FROM issuing.events GROUP BY kind").fetchall()
        )

    def ending(self) -> dict[tuple[str, int], int]:
        """How many certificates end within so many days and have no successor, by profile and `ENDING_DAYS`.

        What is revoked, or has ended, doesn't count, neither as one nor as the other. A successor begins later
        and has the same owner, profile and server.
        """
        found = dict.fromkeys(product(map(str, Profile), ENDING_DAYS), 0)
        for profile, days, count in self._connection.execute(_ENDING, {"days": list(ENDING_DAYS)}):
            found[profile, days] = count
        return found

    def _entries(self, condition: str, arguments: dict[str, Any]) -> list[Entry]:
        with self._connection.cursor(row_factory=kwargs_row(_entry)) as cursor:
            return cursor.execute(_ENTRIES + condition, arguments).fetchall()

    # Writing.

    def enlist(self) -> None:
        """Take a worker's number, and a lock that says it is alive for as long as the connection is."""
        row = self._connection.execute("SELECT nextval('issuing.workers')::integer").fetchone()
        assert row is not None  # noqa: S101 - a sequence always has a next number
        self._connection.execute("SELECT pg_advisory_lock(%s, %s)", (_WORKER_LOCKS, row[0]))
        self._worker = row[0]

    @contextmanager
    def _writing(self) -> Iterator[psycopg.Cursor[Any]]:
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.execute("SELECT issuing.hold_chain()")
            yield cursor

    def place(self, placings: Sequence[Placing]) -> list[Placed]:
        """Write orders down, and a serial number for each that is to be issued now.

        An order that is known isn't written again. If it is approved but never issued it gets a new serial
        number, unless somebody is at it.
        """
        with self._writing() as cursor:
            known = self._known(placings)
            claims = _Claims.read(cursor, [item.accepted.key_digest for item in placings])
            new: dict[tuple[str, str], Placing] = {}
            placed: list[Placed] = []
            for item in placings:
                name = (item.orderer, item.accepted.order.idempotency_key)
                entry, twin = known.get(name), new.get(name)
                earlier = entry.digest if entry else twin.accepted.digest if twin else None
                if earlier is not None and earlier != item.accepted.digest:
                    placed.append(Placed(item.id, refusal=_other_content(name[1])))
                elif entry is not None or twin is not None:
                    placed.append(Placed(entry.id if entry else twin.id if twin else item.id))
                elif refusal := claims.conflict(item.accepted.key_digest, _owner(item.accepted)):
                    placed.append(Placed(item.id, refusal=refusal))
                else:
                    if item.automatic:
                        claims.take(item.accepted.key_digest, _owner(item.accepted))
                    new[name] = item
                    placed.append(Placed(item.id, new=True))
            intents = self._write(cursor, list(new.values()), claims)
            unfinished = [entry.id for entry in known.values() if entry.state is State.APPROVED]
            intents |= {intent.order: intent for intent in self._intend(cursor, unfinished)}
            return [replace(item, intent=None if item.refusal else intents.get(item.order)) for item in placed]

    def _known(self, placings: Sequence[Placing]) -> dict[tuple[str, str], Entry]:
        found = self._entries(
            "JOIN unnest(%(orderers)s::text[], %(keys)s::text[]) AS asked (orderer, idempotency_key) "
            "ON asked.orderer = o.orderer AND asked.idempotency_key = o.idempotency_key",
            {
                "orderers": [item.orderer for item in placings],
                "keys": [item.accepted.order.idempotency_key for item in placings],
            },
        )
        return {(entry.orderer, entry.idempotency_key): entry for entry in found}

    def _write(
        self, cursor: psycopg.Cursor[Any], new: Sequence[Placing], claims: _Claims
    ) -> dict[UUID, Intent]:
        _add(
            cursor,
            "orders",
            "id orderer idempotency_key profile member_class member_code member_name server service request "
            "key_digest digest",
            [_order_row(item) for item in new],
        )
        automatic = [item for item in new if item.automatic]
        claims.write(cursor)
        intents = {item.id: Intent(item.id, x509.random_serial_number()) for item in automatic}
        self._write_intents(cursor, [(intent, 1) for intent in intents.values()])
        events = []
        for item in new:
            events.append(_Event("placed", item.id, item.orderer, {"digest": item.accepted.digest.hex()}))
            if item.automatic:
                events.append(_Event("approved", item.id, CONFIGURATION, {}))
                events.append(self._intended(intents[item.id]))
        _tell(cursor, events)
        return intents

    def _write_intents(self, cursor: psycopg.Cursor[Any], intents: Iterable[tuple[Intent, int]]) -> None:
        _add(
            cursor,
            "intents",
            "serial order_id attempt worker",
            [(serial_text(intent.serial), intent.order, attempt, self._worker) for intent, attempt in intents],
        )

    def _intended(self, intent: Intent) -> _Event:
        return _Event("intended", intent.order, f"worker {self._worker}", {}, serial_text(intent.serial))

    def _intend(
        self, cursor: psycopg.Cursor[Any], orders: Sequence[UUID], most: int | None = None
    ) -> list[Intent]:
        """New intents for approved orders that nobody is issuing; at most `most` attempts were made before."""
        if not orders:
            return []
        attempts = cursor.execute(
            "SELECT o.id, coalesce(max(i.attempt), 0) FROM issuing.orders o "
            "JOIN issuing.order_states s ON s.id = o.id AND s.state = 'approved' "
            "LEFT JOIN issuing.intents i ON i.order_id = o.id "
            "WHERE o.id = ANY(%s) AND NOT EXISTS (SELECT FROM issuing.open_intents n WHERE n.order_id = o.id) "
            "GROUP BY o.id",
            (list(orders),),
        ).fetchall()
        intents = [
            (Intent(order, x509.random_serial_number()), made + 1)
            for order, made in attempts
            if most is None or made < most
        ]
        self._write_intents(cursor, intents)
        _tell(cursor, [self._intended(intent) for intent, _ in intents])
        return [intent for intent, _ in intents]

    def resume(self, limit: int) -> list[Intent]:
        """Abandon what dead workers intended, and intend anew what is approved and nobody is issuing."""
        with self._writing() as cursor:
            opened = cursor.execute("SELECT serial, order_id, worker FROM issuing.open_intents").fetchall()
            for serial, order, worker in opened:
                if worker == self._worker:
                    continue
                lock = cursor.execute(
                    "SELECT pg_try_advisory_xact_lock(%s, %s)", (_WORKER_LOCKS, worker)
                ).fetchone()
                if lock and lock[0]:
                    facts = {"reason": f"worker {worker} died before the certificate was recorded"}
                    _tell(cursor, [_Event("abandoned", order, f"worker {self._worker}", facts, serial)])
            approved = [
                row[0]
                for row in cursor.execute(
                    "SELECT id FROM issuing.order_states WHERE state = 'approved' LIMIT %s", (limit,)
                ).fetchall()
            ]
            return self._intend(cursor, approved, MAX_ATTEMPTS)

    def approve(self, order: UUID, officer: str, reason: str) -> None:
        """Approve a waiting order. Conflict if it isn't waiting, or if its key is somebody else's by now."""
        with self._writing() as cursor:
            entry = self._require_waiting(order)
            owner = (entry.owner, entry.profile)
            claims = _Claims.read(cursor, [entry.key_digest])
            if refusal := claims.conflict(entry.key_digest, owner):
                raise refusal
            claims.take(entry.key_digest, owner)
            claims.write(cursor)
            _tell(cursor, [_Event("approved", order, officer, {"reason": reason} if reason else {})])

    def refuse(self, order: UUID, officer: str, reason: str) -> None:
        """Refuse a waiting order. Conflict if it isn't waiting."""
        with self._writing() as cursor:
            self._require_waiting(order)
            _tell(cursor, [_Event("refused", order, officer, {"reason": reason})])

    def _require_waiting(self, order: UUID) -> Entry:
        entry = self.order(order)
        if entry.state is not State.WAITING:
            raise Conflict(f"order {order} is {entry.state}: it was decided before")
        return entry

    def intend(self, order: UUID) -> Intent | None:
        """A new intent for an approved order; None if it is issued, or if somebody is at it."""
        with self._writing() as cursor:
            return next(iter(self._intend(cursor, [order])), None)

    def close(self, results: Sequence[Issued | Unfit | Abandoned]) -> None:
        """Write down what became of intents. A certificate may be released once this has returned."""
        issued = [item for item in results if isinstance(item, Issued)]
        with self._writing() as cursor:
            _add(
                cursor,
                "certificates",
                "serial order_id certificate not_before not_after issuer key_digest owner profile server",
                [_certificate_row(item) for item in issued],
            )
            _tell(cursor, [self._result(item) for item in results])

    def _result(self, item: Issued | Unfit | Abandoned) -> _Event:
        actor, serial = f"worker {self._worker}", serial_text(item.intent.serial)
        match item:
            case Issued():
                fingerprint = hashlib.sha256(item.certificate.public_bytes(Encoding.DER)).hexdigest()
                return _Event("issued", item.intent.order, actor, {"sha256": fingerprint}, serial)
            case Unfit():
                reason = f"the linter holds the certificate back: {'; '.join(item.findings)}"
                return _Event("lint-refused", item.intent.order, actor, {"reason": reason}, serial)
            case Abandoned():
                return _Event("abandoned", item.intent.order, actor, {"reason": item.reason}, serial)

    def revoke(self, serial: str, officer: str, reason: str) -> CertificateState:
        """Revoke a certificate for ever. Revoking it again changes nothing; Conflict if for another reason."""
        with self._writing() as cursor:
            entry = self.certificate(serial)
            before = self.revocation(serial)
            if before is None:
                _tell(cursor, [_Event("revoked", entry.id, officer, {"reason": reason}, serial)])
                before = self.revocation(serial)
            elif before.reason is None or before.reason.value != reason:
                known = before.reason.value if before.reason else "no reason"
                raise Conflict(f"certificate {serial} is revoked already, for {known}")
            assert before is not None  # noqa: S101 - it was just written
            return before


_Owner = tuple[str, str]
"""Whose a key is, and the profile of its certificates."""


class _Claims:
    """Which key belongs to whom, for which profile."""

    def __init__(self, owners: dict[bytes, _Owner]) -> None:
        self._owners = owners
        self._taken: dict[bytes, _Owner] = {}

    @classmethod
    def read(cls, cursor: psycopg.Cursor[Any], digests: Sequence[bytes]) -> _Claims:
        rows = cursor.execute(
            "SELECT digest, owner, profile FROM issuing.keys WHERE digest = ANY(%s)",
            (list(digests),),
        ).fetchall()
        return cls({digest: (owner, profile) for digest, owner, profile in rows})

    def conflict(self, digest: bytes, owner: _Owner) -> Conflict | None:
        found = self._owners.get(digest) or self._taken.get(digest)
        if found is None or found == owner:
            return None
        whose = "another member's or service's" if found[0] != owner[0] else f"its owner's {found[1]}"
        return Conflict(
            f"the key in the request is used in {whose} certificate already",
            "make a new key and a request for it",
        )

    def take(self, digest: bytes, owner: _Owner) -> None:
        if digest not in self._owners:
            self._taken[digest] = owner

    def write(self, cursor: psycopg.Cursor[Any]) -> None:
        _add(
            cursor,
            "keys",
            "digest owner profile",
            [(digest, *owner) for digest, owner in self._taken.items()],
        )


def _owner(accepted: Accepted) -> _Owner:
    return (accepted.order.owner, str(accepted.order.profile))


def _order_row(item: Placing) -> tuple[object, ...]:
    accepted, order = item.accepted, item.accepted.order
    whom = (*order.named, order.server, order.service)
    content = (accepted.request, accepted.key_digest, accepted.digest)
    return (item.id, item.orderer, order.idempotency_key, str(order.profile), *whom, *content)


def _certificate_row(item: Issued) -> tuple[object, ...]:
    certificate = item.certificate
    owner = (item.owner, item.profile, item.server)
    issuer = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    life = (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    content = (certificate.public_bytes(Encoding.DER), *life, issuer, item.key_digest)
    return (serial_text(item.intent.serial), item.intent.order, *content, *owner)


def _add(cursor: psycopg.Cursor[Any], table: str, columns: str, rows: Sequence[tuple[object, ...]]) -> None:
    """Insert rows, in their order, in one statement: one for each takes the database twice as long."""
    if not rows:
        return
    names = columns.split()
    listed = ", ".join(names)
    arrays = ", ".join(f"%s::{_TYPES.get(name, 'text')}[]" for name in names)
    cursor.execute(
        f"INSERT INTO issuing.{table} ({listed}) SELECT {listed} "  # noqa: S608 - names of ours, nothing else
        f"FROM unnest({arrays}) WITH ORDINALITY AS row ({listed}, place) ORDER BY place",
        [list(values) for values in zip(*rows, strict=True)],
        prepare=True,
    )


def _tell(cursor: psycopg.Cursor[Any], events: Sequence[_Event]) -> None:
    _add(
        cursor,
        "events",
        "kind order_id serial actor facts",
        [(event.kind, event.order, event.serial, event.actor, _canonical(event.facts)) for event in events],
    )


def _canonical(facts: dict[str, Any]) -> str:
    return json.dumps(facts, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _other_content(key: str) -> Conflict:
    return Conflict(
        f"the idempotency key '{key}' was used for an order with other content",
        "take a new idempotency key for a new order",
    )


Connect = Callable[[], psycopg.Connection[Any]]
"""Opens a connection that commits by itself. Raises psycopg.OperationalError if there is no database."""
