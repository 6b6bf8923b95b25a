"""Takes orders, has them decided, and issues: one thread a process, many orders in each transaction.

For every certificate, in this order: its order and serial number are recorded (first commit), it is signed and
linted, it is recorded (second commit), it is released. A process that is killed in between leaves an intent,
which the next one abandons; the order gets another serial number. So nothing is lost or issued twice.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from trust_services.certificate_state import CertificateState
from trust_services.issuing import linting
from trust_services.issuing.orders import Order
from trust_services.issuing.record import (
    Abandoned,
    Connect,
    Entry,
    Intent,
    Issued,
    Placing,
    Record,
    Unfit,
)
from trust_services.issuing.refusals import Unavailable
from trust_services.issuing.rules import Accepted, accept, key_digest
from trust_services.issuing.signing import Authority
from trust_services.refusal import Refusal

BATCH = 64
"""Most orders in one transaction: enough that a commit costs each of them little, few enough to answer soon."""

ROUND_SECONDS = 15.0
"""How often a worker looks for what others left: orders approved on the console, intents of dead workers."""

log = logging.getLogger("trust_services.issuing")

T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """What became of an order that was sent."""

    entry: Entry
    new: bool
    """Whether it wasn't known before."""


@dataclass
class _Ticket:
    placing: Placing
    future: Future[Answer] = field(default_factory=Future)


@dataclass
class _Task:
    """Anything else that the thread does with its connection."""

    work: Callable[[Record], Any]
    future: Future[Any] = field(default_factory=Future)

    def run(self, record: Record) -> None:
        self.future.set_result(self.work(record))


class Service:
    """Issues certificates. Started once a process; safe to use from many threads."""

    def __init__(
        self,
        authority: Authority,
        connect: Connect,
        expects: Callable[[Order], bool],
    ) -> None:
        self._authority = authority
        self._connect = connect
        self._expects = expects
        issuer_key: Any = authority.terms.issuer.public_key()
        self._own_keys = (key_digest(issuer_key),)
        self._waiting: queue.SimpleQueue[_Ticket | _Task | None] = queue.SimpleQueue()
        self._record_open: Record | None = None
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="issuing", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        linting.prepare()
        self._thread.start()

    def stop(self) -> None:
        """Finish what was begun, and end."""
        self._stopped = True
        self._waiting.put(None)
        self._thread.join()

    # What clients ask for.

    def place(self, order: Order, orderer: str) -> Future[Answer]:
        """Take an order: issue it if the estate expects it, else let it wait for an officer.

        Refusal at once if its request isn't as it must be. The future raises Refusal as well: Conflict if the
        record holds something else, Unavailable if nothing can be written or signed now.
        """
        accepted = accept(order, self._authority.terms.site, self._own_keys)
        ticket = _Ticket(Placing(accepted, orderer, self._expects(order)))
        self._put(ticket)
        return ticket.future

    def approve(self, order: UUID, officer: str, reason: str) -> Future[Entry]:
        """Approve a waiting order and issue it; if that can't be done now, it is issued later."""

        def work(record: Record) -> Entry:
            record.approve(order, officer, reason)
            try:
                self._authority.require_ready()
                intent = record.intend(order)
                if intent is not None:
                    self._issue(record, [(intent, record.order(order))])
            except Unavailable as refusal:
                log.warning("approved, but not issued yet", extra={"facts": {"reason": refusal.message}})
            return record.order(order)

        return self._task(work)

    def refuse(self, order: UUID, officer: str, reason: str) -> Future[Entry]:
        """Refuse a waiting order."""

        def work(record: Record) -> Entry:
            record.refuse(order, officer, reason)
            return record.order(order)

        return self._task(work)

    def revoke(self, serial: str, officer: str, reason: str) -> Future[CertificateState]:
        """Revoke a certificate. The status program sees it in the record."""
        return self._task(lambda record: record.revoke(serial, officer, reason))

    def require_ready(self) -> Future[None]:
        """Ask token and record, in their own thread. The future raises Unavailable with the reason."""

        def work(record: Record) -> None:
            self._authority.require_ready()
            record.head()

        return self._task(work)

    def _task(self, work: Callable[[Record], T]) -> Future[T]:
        task = _Task(work)
        self._put(task)
        return task.future

    def _put(self, item: _Ticket | _Task) -> None:
        if self._stopped:
            raise _stopping()
        self._waiting.put(item)

    # The thread.

    def _run(self) -> None:
        due = 0.0
        while True:
            if time.monotonic() >= due:
                self._resume()
                due = time.monotonic() + ROUND_SECONDS
            batch, last = self._next(max(0.0, due - time.monotonic()))
            tickets = [item for item in batch if isinstance(item, _Ticket)]
            if tickets:
                self._attempt([ticket.future for ticket in tickets], partial(self._place, tickets=tickets))
            for task in batch:
                if isinstance(task, _Task):
                    self._attempt([task.future], task.run)
            if last:
                self._drop()
                self._turn_away()
                return

    def _next(self, patience: float) -> tuple[list[_Ticket | _Task], bool]:
        """What is waiting, up to a batch; and whether it is the last."""
        batch: list[_Ticket | _Task] = []
        try:
            item = self._waiting.get(timeout=patience)
            while item is not None:
                # Whoever went away in the queue is left out; from here on nobody can.
                if item.future.set_running_or_notify_cancel():
                    batch.append(item)
                if len(batch) == BATCH:
                    return batch, False
                item = self._waiting.get_nowait()
        except queue.Empty:
            return batch, False
        return batch, True

    def _turn_away(self) -> None:
        """Answer what came in while the service was stopping."""
        while not self._waiting.empty():
            item = self._waiting.get()
            if item is not None and item.future.set_running_or_notify_cancel():
                item.future.set_exception(_stopping())

    def _attempt(self, futures: Sequence[Future[Any]], work: Callable[[Record], None]) -> None:
        """Do the work; whatever stops it is told to those who wait for it."""
        try:
            work(self._record())
        except Refusal as refusal:
            self._fail(futures, refusal)
        except psycopg.Error as error:
            # The connection's end gives up the worker's lock: what it intended is abandoned in the next round.
            self._drop()
            log.warning("the record can't be used", extra={"facts": {"error": type(error).__name__}})
            told = Unavailable("the record can't be reached", "send the same order again")
            told.__cause__ = error
            self._fail(futures, told)
        except Exception as error:
            self._drop()
            log.exception("an order can't be worked on")
            self._fail(futures, error)

    def _fail(self, futures: Iterable[Future[Any]], error: Exception) -> None:
        for future in futures:
            if not future.done():
                future.set_exception(error)

    def _record(self) -> Record:
        """The record, on a connection that enlists this worker."""
        if self._record_open is None:
            record = Record(self._connect())
            record.enlist()
            self._record_open = record
        return self._record_open

    def _drop(self) -> None:
        if self._record_open is not None:
            self._record_open.close_connection()
            self._record_open = None

    def _place(self, record: Record, tickets: Sequence[_Ticket]) -> None:
        # Asked first: nothing is written down that couldn't be issued.
        self._authority.require_ready()
        placed = record.place([ticket.placing for ticket in tickets])
        work = {
            item.intent.serial: (item.intent, ticket.placing.accepted)
            for ticket, item in zip(tickets, placed, strict=True)
            if item.intent is not None
        }
        failed = self._issue(record, list(work.values()))
        entries = record.those([item.order for item in placed])
        for ticket, item in zip(tickets, placed, strict=True):
            if refusal := item.refusal or failed.get(item.order):
                ticket.future.set_exception(refusal)
            else:
                ticket.future.set_result(Answer(entries[item.order], item.new))

    def _issue(self, record: Record, work: Sequence[tuple[Intent, Accepted | Entry]]) -> dict[UUID, Refusal]:
        """Sign, lint and record; return why orders weren't issued, but for what the linter held back."""
        results: list[Issued | Unfit | Abandoned] = []
        failed: dict[UUID, Refusal] = {}
        trouble: Unavailable | None = None
        for intent, source in work:
            if trouble is not None:
                results.append(Abandoned(intent, trouble.message))
                failed[intent.order] = trouble
                continue
            try:
                results.append(self._made(intent, source))
            except Refusal as refusal:
                if isinstance(refusal, Unavailable):
                    trouble = refusal
                results.append(Abandoned(intent, refusal.message))
                failed[intent.order] = refusal
            except Exception:
                # One order's trouble is no other's.
                log.exception("a certificate can't be made", extra={"facts": {"order": str(intent.order)}})
                results.append(Abandoned(intent, "the certificate can't be made"))
                failed[intent.order] = Refusal(
                    "the certificate can't be made", "tell the authority's operators"
                )
        if results:
            record.close(results)
        return failed

    def _made(self, intent: Intent, source: Accepted | Entry) -> Issued | Unfit:
        accepted = source if isinstance(source, Accepted) else self._again(source)
        certificate, findings = self._authority.make(accepted, intent.serial)
        if findings:
            log.error(
                "a certificate is held back", extra={"facts": {"order": str(intent.order), "found": findings}}
            )
            return Unfit(intent, tuple(findings))
        order = accepted.order
        whose = (order.owner, str(order.profile), order.server)
        return Issued(intent, certificate, accepted.key_digest, *whose)

    def _again(self, entry: Entry) -> Accepted:
        """A recorded order, examined again by the rules of today."""
        request = x509.load_der_x509_csr(entry.request).public_bytes(Encoding.PEM).decode()
        member = {"class": entry.member_class, "code": entry.member_code, "name": entry.member_name}
        order = Order.model_validate(
            {
                "profile": entry.profile,
                "member": None if entry.service else member,
                "server": entry.server,
                "service": entry.service,
                "csr": request,
                "idempotency_key": entry.idempotency_key,
            }
        )
        return accept(order, self._authority.terms.site, self._own_keys)

    def _resume(self) -> None:
        """Finish what others left: orders approved on the console, orders whose worker died."""
        try:
            self._authority.require_ready()
            record = self._record()
            intents = record.resume(BATCH)
            entries = record.those([intent.order for intent in intents])
            self._issue(record, [(intent, entries[intent.order]) for intent in intents])
        except Unavailable as refusal:
            log.warning("nothing can be issued", extra={"facts": {"reason": refusal.message}})
        except psycopg.Error as error:
            self._drop()
            log.warning("the record can't be used", extra={"facts": {"error": type(error).__name__}})
        except Exception:
            self._drop()
            log.exception("what others left can't be worked on")


def _stopping() -> Unavailable:
    return Unavailable("the service is stopping", "send the same order again")
