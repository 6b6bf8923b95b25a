"""Figures for Prometheus (text format 0.0.4): how old what is served is, and what requests ended as."""

from __future__ import annotations

import mmap
import multiprocessing
from collections.abc import Iterator
from datetime import datetime
from enum import IntEnum

from trust_services.status.shelf import Shelf

ROWS = 64
"""Processes that may count at once: more than the workers, as a worker that died is followed by another."""


class Result(IntEnum):
    """What a request ended as."""

    ANSWERED = 0
    """A signed answer was given."""
    STALE = 1
    """tryLater: the answer is too old, or isn't here yet."""
    UNKNOWN = 2
    """unauthorized: not a certificate of an authority here."""
    MALFORMED = 3
    """malformedRequest."""
    REFUSED = 4
    """An error of HTTP: method, content type, size, path."""
    OTHER = 5
    """CRLs, health and these figures."""


class Counts:
    """Counts of requests in memory that all workers share; made before they are forked."""

    def __init__(self) -> None:
        self._memory = memoryview(mmap.mmap(-1, ROWS * len(Result) * 8)).cast("Q")
        self._processes = multiprocessing.get_context("fork").Value("Q", 0)

    def row(self) -> memoryview:
        """A new process's own counts, by Result: only that process writes to them, so nothing is lost."""
        with self._processes.get_lock():
            number = self._processes.value % ROWS
            self._processes.value += 1
        return self._memory[number * len(Result) : (number + 1) * len(Result)]

    def total(self, result: Result) -> int:
        """Of all processes."""
        return sum(self._memory[result :: len(Result)])


def exposition(shelf: Shelf, counts: Counts, now: datetime) -> str:
    """The whole text."""
    return "".join(f"{line}\n" for line in _lines(shelf, counts, now))


def _lines(shelf: Shelf, counts: Counts, now: datetime) -> Iterator[str]:
    publications = {name: one.content for name, one in shelf.publications.items() if one.content is not None}
    lists = {name: one.content for name, one in shelf.lists.items() if one.content is not None}
    yield from _gauge(
        "answers",
        "OCSP answers in force.",
        {name: len(content.by_request) for name, content in publications.items()},
    )
    yield from _gauge(
        "oldest_answer_age_seconds",
        "Since the oldest answer in force was signed.",
        {name: _since(content.oldest_update, now) for name, content in publications.items()},
    )
    yield from _gauge(
        "answers_expire_seconds",
        "Until the first answer in force passes its nextUpdate.",
        {name: _until(content.first_next_update, now) for name, content in publications.items()},
    )
    yield from _gauge(
        "crl_age_seconds",
        "Since the CRL in force was signed.",
        {name: _since(content.this_update, now) for name, content in lists.items()},
    )
    yield from _gauge(
        "crl_expires_seconds",
        "Until the CRL in force passes its nextUpdate.",
        {name: _until(content.next_update, now) for name, content in lists.items()},
    )
    yield from _gauge(
        "publication_refused",
        "1 if the publication on this host's disk is bad and an older one is in force.",
        {name: int(one.refused) for name, one in shelf.publications.items()},
    )
    yield from _gauge(
        "crl_refused",
        "1 if the CRL on this host's disk is bad and an older one is in force.",
        {name: int(one.refused) for name, one in shelf.lists.items()},
    )
    yield "# HELP trust_status_requests_total Requests by what they ended as."
    yield "# TYPE trust_status_requests_total counter"
    for result in Result:
        yield f'trust_status_requests_total{{result="{result.name.lower()}"}} {counts.total(result)}'


def _gauge(name: str, meaning: str, values: dict[str, float | None]) -> Iterator[str]:
    yield f"# HELP trust_status_{name} {meaning}"
    yield f"# TYPE trust_status_{name} gauge"
    for authority, value in values.items():
        if value is not None:
            yield f'trust_status_{name}{{authority="{authority}"}} {value:g}'


def _since(moment: datetime | None, now: datetime) -> float | None:
    return None if moment is None else round((now - moment).total_seconds(), 3)


def _until(moment: datetime | None, now: datetime) -> float | None:
    return None if moment is None else round((moment - now).total_seconds(), 3)
