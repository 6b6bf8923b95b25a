"""Counting the requests that fail while something is done to a service."""

from __future__ import annotations

import threading

import pytest

from operate.watching import Question, Tally, watching


def asked_until(count: int, questions: list[Question], rate: float = 500) -> Tally:
    """The tally of at least `count` requests."""
    enough, lock, made = threading.Event(), threading.Lock(), [0]

    def counted(question: Question) -> Question:
        def ask() -> None:
            with lock:
                made[0] += 1
                if made[0] >= count:
                    enough.set()
            question.ask()

        return Question(question.name, ask)

    with watching([counted(question) for question in questions], rate) as tally:
        assert enough.wait(30)
    return tally


def test_requests_that_succeed_are_counted() -> None:
    """In turn, so each kind has about as many."""
    tally = asked_until(20, [Question("first", lambda: None), Question("second", lambda: None)])

    assert tally.total >= 20
    assert tally.lost == 0
    assert abs(tally.asked["first"] - tally.asked["second"]) <= 1


def test_every_failed_request_counts_and_the_first_reasons_are_kept() -> None:
    """A failure stops nothing."""

    def refused() -> None:
        raise ConnectionRefusedError("nobody listens")

    tally = asked_until(20, [Question("well", lambda: None), Question("broken", refused)])

    assert tally.failed["broken"] == tally.asked["broken"] > 5
    assert tally.failed["well"] == 0
    assert len(tally.reasons) == 5
    assert "broken: ConnectionRefusedError: nobody listens" in tally.reasons[0]
    assert tally.document()["by_kind"]["broken"]["failed"] == tally.failed["broken"]
    assert f"{tally.lost} of {tally.total} requests failed" in tally.text()


def test_a_request_that_hangs_at_the_end_is_waited_for() -> None:
    """What a client still waits for isn't left out of the count."""
    release, begun = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        release.wait(30)
        raise TimeoutError("no answer")

    with watching([Question("slow", slow)], rate=50) as tally:
        assert begun.wait(30)
        threading.Timer(0.2, release.set).start()

    assert tally.failed["slow"] == tally.asked["slow"] >= 1


def test_a_block_that_fails_ends_the_asking() -> None:
    """Its own error is what is told."""
    before = threading.active_count()

    with pytest.raises(KeyError), watching([Question("any", lambda: None)], rate=50):
        raise KeyError("reason")

    assert threading.active_count() == before
