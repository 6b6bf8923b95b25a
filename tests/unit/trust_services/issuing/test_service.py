"""Orders become certificates: alone, many at once, and although something breaks in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.unit.trust_services.conftest import Place
from tests.unit.trust_services.issuing.ordering import (
    Memory,
    authority,
    ec_key,
    fresh_key,
    order,
)

from trust_services.issuing import linting
from trust_services.issuing import service as services
from trust_services.issuing.chain import verify_chain
from trust_services.issuing.orders import Order
from trust_services.issuing.record import State
from trust_services.issuing.refusals import Conflict, Unavailable
from trust_services.issuing.service import Service
from trust_services.issuing.signing import Authority
from trust_services.refusal import Refusal

ROOT = Path(__file__).parents[4]


def whole(place: Place) -> None:
    """The record's chain holds, and no order has two certificates, no number two orders."""
    with place.connect() as connection:
        assert verify_chain(connection).broken == ""
    serials = place.rows("SELECT serial FROM issuing.intents")
    assert len(set(serials)) == len(serials)


def test_an_expected_order_is_issued_at_once(service: Service, place: Place) -> None:
    """What is released is what is recorded."""
    key = fresh_key()
    answer = service.place(order(key=key), "federation").result(10)
    entry = answer.entry

    assert answer.new
    assert entry.state is State.ISSUED
    assert entry.certificate is not None
    certificate = x509.load_der_x509_certificate(entry.certificate)
    assert certificate.public_key() == key.public_key()
    assert f"{certificate.serial_number:040x}" == entry.serial
    kinds = [row[0] for row in place.rows("SELECT kind FROM issuing.events ORDER BY sequence")]
    assert kinds == ["placed", "approved", "intended", "issued"]
    whole(place)


def test_the_same_order_again_gives_the_same_certificate(service: Service) -> None:
    """Nothing is issued twice."""
    sent = order()
    first, second = (service.place(sent, "federation").result(10) for _ in range(2))

    assert (first.new, second.new) == (True, False)
    assert first.entry == second.entry


def test_an_order_that_isnt_expected_waits(make_service: Callable[..., Service], place: Place) -> None:
    """Until an officer approves it."""
    service = make_service(lambda _: False)
    waiting = service.place(order(), "federation").result(10).entry
    assert waiting.state is State.WAITING

    entry = service.approve(waiting.id, "officer", "known by letter").result(10)
    assert entry.state is State.ISSUED
    assert service.place(order(), "federation").result(10).entry.state is State.WAITING
    approved = place.rows("SELECT actor, facts FROM issuing.events WHERE kind = 'approved'")
    assert approved == [("officer", '{"reason":"known by letter"}')]
    whole(place)


def test_a_refused_order_stays_refused(make_service: Callable[..., Service]) -> None:
    """The same order again is told why."""
    service = make_service(lambda _: False)
    sent = order()
    waiting = service.place(sent, "federation").result(10).entry
    service.refuse(waiting.id, "officer", "not a member").result(10)

    assert service.place(sent, "federation").result(10).entry.reason == "not a member"
    with pytest.raises(Conflict):
        service.approve(waiting.id, "officer", "").result(10)


def test_a_bad_request_is_refused_before_anything_is_written(service: Service, place: Place) -> None:
    """At once."""
    with pytest.raises(Refusal, match="well-formed"):
        service.place(order(csr="nonsense"), "federation")
    assert place.rows("SELECT FROM issuing.orders") == []


def test_a_certificate_that_the_linter_holds_back_isnt_released(
    service: Service, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor kept; its order is refused for good."""
    monkeypatch.setattr(linting, "findings", lambda _: ["ERROR a.test"])
    sent = order()
    entry = service.place(sent, "federation").result(10).entry
    monkeypatch.undo()

    assert entry.state is State.REFUSED
    assert "a.test" in (entry.reason or "")
    assert entry.certificate is None
    assert place.rows("SELECT FROM issuing.certificates") == []
    assert service.place(sent, "federation").result(10).entry.state is State.REFUSED
    whole(place)


def test_one_orders_trouble_is_no_others(
    make_service: Callable[..., Service], place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the same batch."""
    make = Authority.make

    def broken(self: Authority, accepted: services.Accepted, serial: int) -> object:
        if accepted.order.member.code == "BROKEN":
            raise ValueError("a test")
        return make(self, accepted, serial)

    monkeypatch.setattr(Authority, "make", broken)
    service = make_service()
    futures = [service.place(order(code=code), "federation") for code in ("GOOD", "BROKEN", "FINE")]

    assert futures[0].result(10).entry.state is State.ISSUED
    assert futures[2].result(10).entry.state is State.ISSUED
    with pytest.raises(Refusal, match="can't be made"):
        futures[1].result(10)
    whole(place)


def test_without_the_key_nothing_is_written(service: Service, holder: Memory, place: Place) -> None:
    """And the same order is issued once the key is back."""
    holder.trouble = "the token is locked"
    sent = order()
    with pytest.raises(Unavailable, match="locked"):
        service.place(sent, "federation").result(10)
    with pytest.raises(Unavailable, match="locked"):
        service.require_ready().result(10)
    assert place.rows("SELECT FROM issuing.orders") == []
    holder.trouble = ""
    assert service.place(sent, "federation").result(10).entry.state is State.ISSUED


def test_a_key_that_fails_while_it_signs(
    make_service: Callable[..., Service], place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order keeps its place and is issued when it is sent again."""
    make = Authority.make

    def failing(*_: object) -> object:
        raise Unavailable("the token was pulled out")

    monkeypatch.setattr(Authority, "make", failing)
    service = make_service()
    sent = order()
    with pytest.raises(Unavailable, match="pulled"):
        service.place(sent, "federation").result(10)
    monkeypatch.setattr(Authority, "make", make)
    answer = service.place(sent, "federation").result(10)

    assert not answer.new
    assert answer.entry.state is State.ISSUED
    assert len(place.rows("SELECT FROM issuing.orders")) == 1
    whole(place)


def test_another_key_than_the_certificates_is_refused(place: Place) -> None:
    """A token with the wrong key in it."""
    service = Service(Authority(authority().terms(), Memory(ec_key("another"))), place.connect, lambda _: True)
    service.start()
    try:
        with pytest.raises(Unavailable, match="isn't the one"):
            service.place(order(), "federation").result(10)
    finally:
        service.stop()


def test_without_its_database_nothing_is_lost(service: Service, place: Place) -> None:
    """It goes on by itself when the database is back."""
    kept = order()
    first = service.place(kept, "federation").result(10).entry
    sent = order()
    service.require_ready().result(10)
    place.server.stop()
    try:
        with pytest.raises(Unavailable, match="record"):
            service.require_ready().result(30)
        with pytest.raises(Unavailable, match="record"):
            service.place(sent, "federation").result(30)
    finally:
        place.server.start()

    service.require_ready().result(30)
    assert service.place(sent, "federation").result(30).entry.state is State.ISSUED
    assert service.place(kept, "federation").result(10).entry == first
    whole(place)


def test_what_is_stopped_answers_first(make_service: Callable[..., Service], place: Place) -> None:
    """Orders that were taken are issued; later ones are told that it is too late."""
    service = make_service()
    futures = [service.place(order(), "federation") for _ in range(10)]
    service.stop()

    assert all(future.result(0).entry.state is State.ISSUED for future in futures)
    with pytest.raises(Unavailable):
        service.place(order(), "federation")


def test_who_goes_away_disturbs_nobody(make_service: Callable[..., Service], place: Place) -> None:
    """Before its order is looked at, or after."""
    service = make_service()
    futures = [service.place(order(), "federation") for _ in range(20)]
    for future in futures[::2]:
        future.cancel()

    assert all(future.result(10).entry.state is State.ISSUED for future in futures[1::2])
    assert all(future.cancelled() or future.result(10).new for future in futures[::2])
    assert service.place(order(), "federation").result(10).new
    whole(place)


def test_many_orders_at_once(make_service: Callable[..., Service], place: Place) -> None:
    """From two workers, each order from both of them: every one once, and the chain without a gap."""
    workers = [make_service(), make_service()]
    orders = [order(key=ec_key(f"many {number % 7}")) for number in range(60)]
    barrier = threading.Barrier(2)

    def send(worker: Service) -> list[str]:
        barrier.wait()
        futures = [worker.place(sent, "federation") for sent in orders]
        return [future.result(60).entry.serial or "" for future in futures]

    with ThreadPoolExecutor(2) as pool:
        results = [set(serials) - {""} for serials in pool.map(send, workers)]

    issued = {row[0] for row in place.rows("SELECT serial FROM issuing.certificates")}
    assert len(issued) == len(orders)
    assert results[0] | results[1] == issued
    kinds = Counter(row[0] for row in place.rows("SELECT kind FROM issuing.events"))
    assert kinds == {"placed": 60, "approved": 60, "intended": 60, "issued": 60}
    whole(place)


# A process that is killed: at each of its steps.

KILLED = """
import os, signal, sys
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from tests.unit.trust_services.issuing import ordering
from trust_services.issuing import record as records, signing, service as services
from trust_services.issuing.orders import Order
import psycopg

text, step, key, issuer, body = sys.argv[1:]
from cryptography import x509
own = ordering.TestAuthority(
    load_pem_private_key(key.encode(), None), *x509.load_pem_x509_certificates(issuer.encode()))
die = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
Record, Authority = records.Record, signing.Authority
place, make, close, those = Record.place, Authority.make, Record.close, Record.those
def after(method):
    def wrapped(*arguments, **more):
        method(*arguments, **more)
        die()
    return wrapped
match step:
    case "before the order is recorded": Record.place = die
    case "after the order is recorded": Record.place = after(place)
    case "after signing": Authority.make = after(make)
    case "before the certificate is recorded": Record.close = die
    case "while the certificate is recorded": Record._result = die
    case "after the certificate is recorded": Record.close = after(close)
connect = lambda: psycopg.connect(text, autocommit=True)
service = services.Service(Authority(own.terms(), ordering.Memory(own.key)), connect, lambda _: True)
service.start()
service.place(Order.model_validate_json(body), "federation").result(30)
"""


@pytest.mark.parametrize(
    ("step", "abandoned"),
    [
        ("before the order is recorded", 0),
        ("after the order is recorded", 1),
        ("after signing", 1),
        ("before the certificate is recorded", 1),
        ("while the certificate is recorded", 1),
        ("after the certificate is recorded", 0),
    ],
)
def test_a_process_that_is_killed_loses_nothing_and_doubles_nothing(
    place: Place, make_service: Callable[..., Service], step: str, abandoned: int
) -> None:
    """The order is sent again, as its client would, and has exactly one certificate."""
    sent = order()
    own = authority()
    key = own.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    chain = "".join(item.public_bytes(Encoding.PEM).decode() for item in (own.certificate, own.root))
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, place.text, step, key, chain, sent.model_dump_json(by_alias=True)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr

    service = make_service()
    entry = service.place(sent, "federation").result(10).entry

    assert entry.state is State.ISSUED
    assert place.rows("SELECT count(*) FROM issuing.certificates") == [(1,)]
    assert place.rows("SELECT count(*) FROM issuing.events WHERE kind = 'abandoned'") == [(abandoned,)]
    whole(place)


def test_what_a_dead_worker_left_is_issued_without_being_asked(
    place: Place, make_service: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what was approved on the console."""
    monkeypatch.setattr(services, "ROUND_SECONDS", 0.05)
    service = make_service(lambda _: False)
    waiting = service.place(order(), "federation").result(10).entry
    from trust_services.issuing.record import Record

    with place.connect() as connection:
        Record(connection).approve(waiting.id, "console:root", "")
    found = place.rows
    for _ in range(200):
        if found("SELECT FROM issuing.certificates"):
            break
        threading.Event().wait(0.05)

    assert len(found("SELECT FROM issuing.certificates")) == 1
    whole(place)


def test_orders_are_made_from_what_is_recorded(make_service: Callable[..., Service]) -> None:
    """An authentication order that waited keeps its server's name."""
    service = make_service(lambda _: False)
    sent: Order = order("authentication")
    waiting = service.place(sent, "federation").result(10).entry
    entry = service.approve(waiting.id, "officer", "").result(10)
    assert entry.certificate is not None
    names = x509.load_der_x509_certificate(entry.certificate).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )

    assert names.value.get_values_for_type(x509.DNSName) == [sent.server]
