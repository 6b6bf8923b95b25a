"""The record is only added to, its chain shows what was changed, and what must happen once happens once."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from tests.unit.trust_services.conftest import ACCOUNT, OWNER, Place
from tests.unit.trust_services.issuing.ordering import SITE, TestAuthority, authority, fresh_key, order

from trust_services.issuing import migrating, profiles
from trust_services.issuing.chain import Head, verify_chain
from trust_services.issuing.migrating import migrate
from trust_services.issuing.orders import Order
from trust_services.issuing.record import (
    MAX_ATTEMPTS,
    Abandoned,
    Intent,
    Issued,
    Placed,
    Placing,
    Record,
    State,
    Unfit,
    serial_text,
)
from trust_services.issuing.refusals import Conflict, Unknown
from trust_services.issuing.rules import accept
from trust_services.refusal import Refusal

ADDED_TO = {"orders": "id", "keys": "digest", "intents": "serial", "certificates": "serial", "events": "kind"}


def placing(sent: Order | None = None, *, automatic: bool = True) -> Placing:
    """An accepted order on its way."""
    return Placing(accept(sent or order(), SITE), "federation", automatic)


def certificate(item: Placing, intent: Intent, issuer: TestAuthority | None = None) -> Issued:
    """A certificate for an intent."""
    accepted = item.accepted
    issuer = issuer or authority()
    terms = issuer.terms()
    made = profiles.certificate(accepted, intent.serial, terms, terms.issuer.not_valid_before_utc)
    signed = made.sign(issuer.key, hashes.SHA256())
    whose = (accepted.order.owner, str(accepted.order.profile), accepted.order.server)
    return Issued(intent, signed, accepted.key_digest, *whose)


def issue(record: Record, count: int = 1, issuer: TestAuthority | None = None) -> list[str]:
    """Certificates in the record; their serial numbers."""
    items = [placing() for _ in range(count)]
    intents = [known.intent for known in record.place(items)]
    made = [certificate(item, intent, issuer) for item, intent in zip(items, intents, strict=True) if intent]
    record.close(made)
    return [serial_text(intent.serial) for intent in intents if intent]


def one(placed: list[Placed]) -> Placed:
    """The only one."""
    (found,) = placed
    return found


def both(record: Record, first: Placing, second: Placing, *, together: bool) -> Placed:
    """What becomes of the second, in the first one's batch or after it."""
    if together:
        return record.place([first, second])[1]
    record.place([first])
    return one(record.place([second]))


# Migrating.


def test_a_second_migration_changes_nothing(bare: Place) -> None:
    """The first makes everything."""
    with bare.owner() as connection:
        assert migrate(connection, ACCOUNT) == [1]
        assert migrate(connection, ACCOUNT) == []


def test_a_migration_that_was_changed_afterwards_is_refused(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a database has must be what the files say."""
    (tmp_path / "0001_record.sql").write_text("SELECT 1;")
    monkeypatch.setattr(migrating, "SCHEMA", tmp_path)
    with place.owner() as connection, pytest.raises(Refusal, match="version 1"):
        migrate(connection, ACCOUNT)


def test_a_migration_that_fails_leaves_nothing(
    bare: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even its first statement."""
    (tmp_path / "0001_half.sql").write_text("CREATE TABLE issuing.half (id int); SELECT no_such_function();")
    monkeypatch.setattr(migrating, "SCHEMA", tmp_path)
    with bare.owner() as connection, pytest.raises(psycopg.Error):
        migrate(connection, ACCOUNT)
    assert bare.rows("SELECT FROM pg_namespace WHERE nspname = 'issuing'") == []


@pytest.mark.parametrize(
    ("account", "words"), [(OWNER, "owner"), ("postgres", "superuser"), ("nobody", "no account")]
)
def test_an_account_that_could_change_the_record_is_refused(bare: Place, account: str, words: str) -> None:
    """Rights that aren't given can't be abused."""
    with bare.owner() as connection, pytest.raises(Refusal, match=words):
        migrate(connection, account)


# Only added to.


@pytest.mark.parametrize("who", ["connect", "owner", "superuser"])
def test_nobody_changes_or_removes(place: Place, record: Record, who: str) -> None:
    """Not the service, not the owner, not a superuser, not by pretending to be a replica."""
    issue(record)
    with getattr(place, who)() as connection:
        if who == "superuser":
            connection.execute("SET session_replication_role = replica")
        for table, column in ADDED_TO.items():
            for statement in (
                "UPDATE issuing.{0} SET {1} = {1}",
                "DELETE FROM issuing.{0}",
                "TRUNCATE issuing.{0} CASCADE",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement.format(table, column))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE issuing.chain SET sequence = 0",
        "DELETE FROM issuing.chain",
        "INSERT INTO issuing.chain VALUES (true, 0, '')",
        "INSERT INTO issuing.schema_versions VALUES (2, '')",
        "INSERT INTO issuing.events (sequence, kind, actor, facts) VALUES (9, 'placed', 'x', '{}')",
        "INSERT INTO issuing.events (hash, kind, actor, facts) VALUES ('', 'placed', 'x', '{}')",
        "ALTER TABLE issuing.events DISABLE TRIGGER ALL",
        "DROP TABLE issuing.events",
        "CREATE TABLE issuing.mine (id int)",
        "SELECT issuing.link()",
    ],
)
def test_the_services_account_can_only_add(place: Place, statement: str) -> None:
    """And only what the chain doesn't compute itself."""
    with place.connect() as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)


def test_a_link_cant_be_chosen(place: Place, record: Record) -> None:
    """Even a superuser's numbers are replaced."""
    known = one(record.place([placing(automatic=False)]))
    with place.superuser() as connection:
        connection.execute(
            "INSERT INTO issuing.events VALUES (99, '1990-01-01', 'refused', %s, NULL, 'x', '{}', '', '')",
            (known.order,),
        )
        assert verify_chain(connection).broken == ""
    assert place.rows("SELECT sequence FROM issuing.events ORDER BY 1") == [(1,), (2,)]


# The chain.


def test_a_whole_chain_is_verified(place: Place, record: Record) -> None:
    """From the first event to the end that the record has noted."""
    issue(record, 3)
    with place.connect() as connection:
        found = verify_chain(connection)

    assert (found.events, found.broken) == (12, "")
    assert found.head == record.head()


def test_an_empty_chain_is_verified(place: Place) -> None:
    """Nothing was written yet."""
    with place.connect() as connection:
        assert (verify_chain(connection).events, verify_chain(connection).broken) == (0, "")


ANOTHER_ORDER = """
INSERT INTO issuing.orders (id, orderer, idempotency_key, profile, member_class, member_code, member_name,
    server, request, key_digest, digest)
SELECT gen_random_uuid(), 'x', 'x', profile, member_class, member_code, member_name, server, request,
    key_digest, digest
FROM issuing.orders LIMIT 1
"""


@pytest.mark.parametrize(
    ("table", "statement", "words"),
    [
        ("events", "UPDATE issuing.events SET actor = 'somebody' WHERE sequence = 3", "event 3: was changed"),
        (
            "events",
            "UPDATE issuing.events SET at = at - interval '1 s' WHERE sequence = 4",
            "event 4: was changed",
        ),
        ("events", "UPDATE issuing.events SET facts = '{}' WHERE sequence = 1", "event 1: was changed"),
        ("events", "UPDATE issuing.events SET previous = hash WHERE sequence = 5", "event 5: doesn't follow"),
        ("events", "DELETE FROM issuing.events WHERE sequence = 6", "event 6: is missing"),
        ("events", "DELETE FROM issuing.events WHERE sequence > 6", "event 7: was cut off"),
        ("events", "UPDATE issuing.chain SET sequence = 6", "event 8: isn't the end"),
        ("certificates", "UPDATE issuing.certificates SET certificate = '0'", "was changed"),
        ("certificates", "DELETE FROM issuing.certificates", "was removed"),
        ("orders", "UPDATE issuing.orders SET member_name = 'Somebody'", "event 1: its order"),
        ("orders", "UPDATE issuing.orders SET request = '0'", "event 1: its order"),
        ("orders", "UPDATE issuing.orders SET digest = sha256('')", "event 1: its order"),
        (
            "intents",
            "INSERT INTO issuing.intents SELECT repeat('a', 40), id, 9, 9 FROM issuing.orders LIMIT 1",
            "serial number aaaa",
        ),
        ("orders", ANOTHER_ORDER, "no event tells of it"),
    ],
)
def test_what_a_superuser_changes_is_named(
    place: Place, record: Record, table: str, statement: str, words: str
) -> None:
    """The first link that doesn't hold."""
    issue(record, 2)
    with place.superuser() as connection:
        connection.execute(f"ALTER TABLE issuing.{table} DISABLE TRIGGER ALL")
        connection.execute(statement)
        connection.execute(f"ALTER TABLE issuing.{table} ENABLE TRIGGER ALL")
        assert words in verify_chain(connection).broken


def test_a_chain_that_was_written_anew_is_found_by_a_noted_end(place: Place, record: Record) -> None:
    """Who rewrites all of it can't rewrite what was kept elsewhere."""
    issue(record, 2)
    noted = record.head()
    issue(record)
    with place.connect() as connection:
        assert verify_chain(connection, noted).broken == ""
        assert "isn't the one" in verify_chain(connection, Head(noted.sequence, bytes(32))).broken
        assert "isn't here any more" in verify_chain(connection, Head(99, noted.hash)).broken


# Once.


def test_the_same_order_is_written_once(record: Record) -> None:
    """Later, or in the same batch."""
    item = placing()
    first, twin = record.place([item, placing(item.accepted.order)])
    later = one(record.place([placing(item.accepted.order)]))

    assert first.new
    assert not twin.new
    assert not later.new
    assert {first.order, twin.order, later.order} == {item.id}
    assert twin.intent == first.intent
    assert later.intent is None, "somebody is at it"


@pytest.mark.parametrize("together", [True, False])
def test_an_idempotency_key_with_other_content_is_refused(record: Record, together: bool) -> None:
    """Whatever differs."""
    first = placing(order(idempotency_key="order-of-today"))
    second = placing(order("authentication", idempotency_key="order-of-today"))
    answer = both(record, first, second, together=together)

    assert isinstance(answer.refusal, Conflict)
    assert answer.intent is None


def test_another_orderers_idempotency_key_is_another(record: Record) -> None:
    """Clients don't know of each other."""
    sent = order(idempotency_key="order-of-today")
    first, second = Placing(accept(sent, SITE), "one", True), Placing(accept(sent, SITE), "two", True)

    assert [item.new for item in record.place([first, second])] == [True, True]


@pytest.mark.parametrize(
    ("profile", "code", "words"),
    [
        ("signing", "JUSTICE", "another member's"),
        ("status-responder", "", "another member's or service's"),
        ("authentication", "HEALTH", "its owner's signing"),
    ],
)
@pytest.mark.parametrize("together", [True, False])
def test_a_key_belongs_to_one_member_and_profile(
    record: Record, profile: str, code: str, words: str, together: bool
) -> None:
    """In one batch or in two."""
    key = fresh_key()
    first, second = placing(order(key=key)), placing(order(profile, key=key, code=code))
    answer = both(record, first, second, together=together)

    assert answer.refusal is not None
    assert words in answer.refusal.message


def test_a_services_key_is_its_own(record: Record) -> None:
    """Neither a member's nor that of another profile; certified again for itself."""
    key = fresh_key()
    first, again = placing(order("status-responder", key=key)), placing(order("status-responder", key=key))
    assert all(item.intent for item in record.place([first, again]))

    refusal = one(record.place([placing(order(key=key))])).refusal
    assert refusal is not None
    assert "another member's or service's" in refusal.message


def test_a_certificate_has_its_orders_owner(record: Record) -> None:
    """The record's own constraint."""
    item, other = placing(), placing(order("status-responder"))
    known, _ = record.place([item, other])
    assert known.intent is not None
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        record.close([replace(certificate(item, known.intent), owner=other.accepted.order.owner)])


ORDER_OF = """
INSERT INTO issuing.orders (id, orderer, idempotency_key, profile, member_class, member_code, member_name,
    server, service, request, key_digest, digest)
VALUES (gen_random_uuid(), 'x', 'x', %s, '', sha256(''), sha256(''))
"""


@pytest.mark.parametrize(
    "columns",
    [
        "'signing', NULL, NULL, NULL, NULL, 'a.example'",
        "'signing', 'GOV', 'X', NULL, NULL, NULL",
        "'signing', 'GOV', 'X', 'X', NULL, 'a.example'",
        "'time-stamping', 'GOV', 'X', 'X', NULL, 'a.example'",
        "'time-stamping', 'GOV', 'X', 'X', NULL, NULL",
        "'time-stamping', NULL, NULL, NULL, 'a.example', 'a.example'",
        "'both', NULL, NULL, NULL, NULL, 'a.example'",
    ],
)
def test_an_order_is_a_members_or_a_services(place: Place, columns: str) -> None:
    """The record's own constraint."""
    with place.connect() as connection, pytest.raises(psycopg.errors.CheckViolation):
        connection.execute(ORDER_OF % columns)


def test_a_key_may_be_certified_again_for_its_own_member(record: Record) -> None:
    """A renewal."""
    key = fresh_key()
    assert all(item.intent for item in record.place([placing(order(key=key)), placing(order(key=key))]))


def test_a_key_of_an_order_that_waits_is_still_free(record: Record) -> None:
    """It is taken when the order is approved, and refused then if it was taken before."""
    key = fresh_key()
    waiting = one(record.place([placing(order(key=key), automatic=False)]))
    assert one(record.place([placing(order(key=key, code="JUSTICE"))])).intent

    with pytest.raises(Conflict, match="another member"):
        record.approve(waiting.order, "officer", "")
    assert record.order(waiting.order).state is State.WAITING


def test_a_serial_number_is_used_once(place: Place, record: Record) -> None:
    """The record's own constraint."""
    known = one(record.place([placing()]))
    assert known.intent is not None
    serial = serial_text(known.intent.serial)
    with place.connect() as connection, pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute("INSERT INTO issuing.intents VALUES (%s, %s, 2, 1)", (serial, known.order))


def test_an_order_is_issued_once(record: Record) -> None:
    """A second certificate for it isn't recorded, nor one for an intent that has come to an end."""
    item = placing()
    known = one(record.place([item]))
    assert known.intent is not None
    record.close([Abandoned(known.intent, "a test")])
    with pytest.raises(psycopg.errors.UniqueViolation):
        record.close([certificate(item, known.intent)])

    again = record.intend(known.order)
    assert again is not None
    assert again.serial != known.intent.serial
    record.close([certificate(item, again)])
    assert record.intend(known.order) is None
    with pytest.raises(psycopg.errors.UniqueViolation):
        record.close([certificate(item, again)])


def test_a_certificate_needs_an_intent(record: Record) -> None:
    """Nothing is recorded under a number that wasn't written down before."""
    item = placing()
    record.place([item])
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        record.close([certificate(item, Intent(item.id, 5))])


def test_an_order_is_decided_once(record: Record) -> None:
    """And only while it waits."""
    first, second = (one(record.place([placing(automatic=False)])).order for _ in range(2))
    record.approve(first, "officer", "")
    record.refuse(second, "officer", "not a member")

    assert (record.order(first).state, record.order(second).state) == (State.APPROVED, State.REFUSED)
    assert record.order(second).reason == "not a member"
    for known in (first, second):
        with pytest.raises(Conflict, match="decided"):
            record.approve(known, "officer", "")
        with pytest.raises(Conflict, match="decided"):
            record.refuse(known, "officer", "")


def test_a_certificate_is_revoked_once(record: Record) -> None:
    """The same again changes nothing; another reason is refused."""
    (serial,) = issue(record)
    first = record.revoke(serial, "officer", "keyCompromise")

    assert record.revoke(serial, "another", "keyCompromise") == first
    with pytest.raises(Conflict, match="keyCompromise"):
        record.revoke(serial, "officer", "superseded")
    with pytest.raises(Unknown):
        record.revoke("0" * 40, "officer", "superseded")
    assert record.certificate(serial).state is State.ISSUED


def test_states_are_of_released_certificates_only(record: Record) -> None:
    """Good ones and revoked ones; not what was abandoned or held back."""
    good, bad = issue(record, 2)
    record.revoke(bad, "officer", "superseded")
    abandoned, unfit = record.place([placing(), placing()])
    assert abandoned.intent
    assert unfit.intent
    record.close([Abandoned(abandoned.intent, "a test"), Unfit(unfit.intent, ("ERROR a.test",))])

    states = {serial_text(state.serial): state.reason for state in record.states()}
    assert states == {good: None, bad: x509.ReasonFlags.superseded}
    assert [serial_text(state.serial) for state in record.states([bad])] == [bad]
    assert "a.test" in (record.order(unfit.order).reason or "")
    assert record.order(unfit.order).state is State.REFUSED


# What workers leave.


def test_a_dead_workers_intent_is_abandoned_and_a_living_ones_isnt(place: Place, record: Record) -> None:
    """A worker lives as long as its connection."""
    with place.connect() as connection:
        other = Record(connection)
        other.enlist()
        known = one(other.place([placing()]))
        assert record.resume(10) == []
    # The database learns of the connection's end a moment after it.
    deadline = time.monotonic() + 10
    while not (resumed := record.resume(10)) and time.monotonic() < deadline:
        time.sleep(0.05)
    (again,) = resumed

    assert again.order == known.order
    assert known.intent is not None
    assert again.serial != known.intent.serial
    assert place.rows("SELECT serial FROM issuing.events WHERE kind = 'abandoned'") == [
        (serial_text(known.intent.serial),)
    ]
    assert record.resume(10) == [], "this worker is at it"


def test_an_order_isnt_tried_for_ever(record: Record) -> None:
    """Each attempt uses up a serial number."""
    known = one(record.place([placing()]))
    assert known.intent is not None
    record.close([Abandoned(known.intent, "a test")])
    attempts = 1
    while intents := record.resume(10):
        attempts += 1
        record.close([Abandoned(intent, "a test") for intent in intents])

    assert attempts == MAX_ATTEMPTS
    assert record.intend(known.order) is not None, "but whoever asks for it gets another"


def test_what_isnt_there_is_unknown(record: Record) -> None:
    """Orders and certificates."""
    with pytest.raises(Unknown):
        record.order(uuid4())
    with pytest.raises(Unknown):
        record.certificate("0" * 40)


def test_orders_are_listed_by_state_and_orderer(record: Record) -> None:
    """The oldest first."""
    issue(record)
    waiting = [one(record.place([placing(automatic=False)])).order for _ in range(3)]

    assert [entry.id for entry in record.orders(State.WAITING)] == waiting
    assert [entry.id for entry in record.orders(State.WAITING, limit=2)] == waiting[:2]
    assert len(record.orders(orderer="federation")) == 4
    assert record.orders(orderer="somebody") == []


def kept(
    record: Record, began: int, ends: float, profile: str = "signing", code: str = "HEALTH", server: str = ""
) -> str:
    """Keep a certificate that began so many days ago and ends in so many; its serial number."""
    sent = order(profile, code=code)
    accepted = accept(sent, SITE)
    if server:
        accepted = replace(accepted, order=sent.model_copy(update={"server": server}))
    item = Placing(accepted, "federation", automatic=True)
    intent = one(record.place([item])).intent
    assert intent is not None
    issuer, now = authority(), datetime.now(UTC)
    builder = profiles.certificate(accepted, intent.serial, issuer.terms(), now)
    builder._not_valid_before = (now - timedelta(days=began)).replace(tzinfo=None, microsecond=0)
    builder._not_valid_after = (now + timedelta(days=ends)).replace(tzinfo=None, microsecond=0)
    made = builder.sign(issuer.key, hashes.SHA256())
    whose = (accepted.order.owner, profile, accepted.order.server)
    record.close([Issued(intent, made, accepted.key_digest, *whose)])
    return serial_text(intent.serial)


def ending(record: Record, profile: str = "signing") -> list[int]:
    """How many end within 30, 7 and 1 days."""
    found = record.ending()
    assert {name for name, _ in found} == {"authentication", "signing", "status-responder", "time-stamping"}
    return [found[profile, days] for days in (30, 7, 1)]


def test_what_ends_soon_is_counted(record: Record) -> None:
    """Within every number of days that its end is within, once for each owner, profile and server."""
    assert ending(record) == [0, 0, 0]
    for number, ends in enumerate((0.5, 3, 6.9, 29, 31, 300)):
        kept(record, 300, ends, code=f"MEMBER{number}")
        kept(record, 300, ends, "authentication", server=f"ss{number}.example.bj")

    assert ending(record) == ending(record, "authentication") == [4, 3, 1]
    assert ending(record, "time-stamping") == [0, 0, 0]


def test_what_has_ended_or_was_revoked_isnt_counted(record: Record) -> None:
    """Nobody needs a successor of it."""
    kept(record, 300, -0.1)
    record.revoke(kept(record, 300, 3, code="ANOTHER"), "officer", "superseded")

    assert ending(record) == [0, 0, 0]


def test_what_has_a_successor_isnt_counted(record: Record) -> None:
    """A later one of the same member, profile and server, in whatever order the record got them."""
    kept(record, 10, 340)
    kept(record, 300, 3)
    kept(record, 300, 4, "authentication")
    assert ending(record) == [0, 0, 0]
    assert ending(record, "authentication") == [1, 1, 0]

    kept(record, 1, 340, "authentication", server="another.example.bj")
    kept(record, 1, 340, "authentication", code="ANOTHER")
    assert ending(record, "authentication") == [1, 1, 0]
    kept(record, 1, 340, "authentication")
    assert ending(record, "authentication") == [0, 0, 0]


def test_a_successor_that_ends_first_is_the_one_that_is_counted(record: Record) -> None:
    """It is in use, even if lifetimes were shortened."""
    kept(record, 300, 20)
    kept(record, 1, 5)

    assert ending(record) == [1, 1, 0]


def test_a_successor_that_was_revoked_is_none(record: Record) -> None:
    """Nor is one that has ended."""
    kept(record, 300, 20)
    record.revoke(kept(record, 1, 340), "officer", "keyCompromise")
    kept(record, 200, -1)

    assert ending(record) == [1, 0, 0]


def test_a_certificate_is_of_its_orders_server(place: Place, record: Record) -> None:
    """The database holds that."""
    kept(record, 10, 340, "authentication")
    change = "UPDATE issuing.certificates SET server = 'another.example.bj'"
    with place.superuser() as connection:
        connection.execute("ALTER TABLE issuing.certificates DISABLE TRIGGER only_added_to")
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            connection.execute(change)
        with pytest.raises(psycopg.errors.CheckViolation):
            connection.execute("UPDATE issuing.certificates SET server = NULL")
