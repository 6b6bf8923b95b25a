"""Counting the requests that fail while something is done to a service."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import create_server

import pytest
from cryptography import x509

from federation_rig.authority import LocalAuthority
from operate.watching import Question, Tally, handshake, trusting, watching


def asked_until(count: int, **kinds: Callable[[], None]) -> Tally:
    """The tally of at least `count` requests of each kind."""
    enough = {name: threading.Semaphore(0) for name in kinds}

    def counted(name: str) -> Question:
        def ask() -> None:
            enough[name].release()
            kinds[name]()

        return Question(name, 500, ask)

    with watching([counted(name) for name in kinds]) as tally:
        for asked in enough.values():
            for _ in range(count):
                assert asked.acquire(timeout=30)
    return tally


def test_requests_that_succeed_are_counted() -> None:
    """Each kind by itself."""
    tally = asked_until(20, first=lambda: None, second=lambda: None)

    assert min(tally.asked["first"], tally.asked["second"]) >= 20
    assert tally.total == tally.asked["first"] + tally.asked["second"]
    assert tally.lost == 0


def test_every_failed_request_counts_and_the_first_reasons_are_kept() -> None:
    """A failure stops nothing. Two of each kind say enough."""

    def refused() -> None:
        raise ConnectionRefusedError("nobody listens")

    tally = asked_until(20, well=lambda: None, broken=refused)

    assert tally.failed["broken"] == tally.asked["broken"] >= 20
    assert tally.failed["well"] == 0
    assert len(tally.reasons) == 2
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

    with watching([Question("slow", 50, slow)]) as tally:
        assert begun.wait(30)
        threading.Timer(0.2, release.set).start()

    assert tally.failed["slow"] == tally.asked["slow"] >= 1


def test_a_block_that_fails_ends_the_asking() -> None:
    """Its own error is what is told."""
    before = threading.active_count()

    with pytest.raises(KeyError), watching([Question("any", 50, lambda: None)]):
        raise KeyError("reason")

    assert threading.active_count() == before


def test_questions_do_not_pile_up() -> None:
    """A service that is slow gets no more of them at one time than were meant."""
    waiting, most, lock, enough = [0], [0], threading.Lock(), threading.Semaphore(0)

    def slow() -> None:
        with lock:
            waiting[0] += 1
            most[0] = max(most[0], waiting[0])
        threading.Event().wait(0.02)
        with lock:
            waiting[0] -= 1
        enough.release()

    with watching([Question("slow", 500, slow, at_once=2)]) as tally:
        for _ in range(10):
            assert enough.acquire(timeout=30)

    assert most[0] <= 2
    assert tally.lost == 0


@contextmanager
def server(folder: Path, name: str, ended: int) -> Iterator[int]:
    """A TLS server that ends its first connections as soon as it has them. Its port."""
    LocalAuthority(folder).issue_tls(folder, "server", [x509.DNSName(name)])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    with create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            for number in range(2):
                connection, _ = listening.accept()
                with connection:
                    if number >= ended:
                        try:
                            context.wrap_socket(connection, server_side=True).close()
                        except OSError:
                            return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]


@pytest.mark.parametrize(("ended", "fails"), [(0, False), (1, False), (2, True)])
def test_a_connection_that_ends_before_it_is_open_is_made_once_more(
    tmp_path: Path, ended: int, fails: bool
) -> None:
    """And not a third time: then nobody listens."""
    with server(tmp_path, "here.test", ended) as port:
        ask = handshake("127.0.0.1", port, "here.test", trusting(tmp_path / "ca.crt"))
        if fails:
            with pytest.raises(OSError, match=r"EOF|reset"):
                ask()
        else:
            ask()


def test_another_certificate_is_a_failure_at_once(tmp_path: Path) -> None:
    with server(tmp_path, "elsewhere.test", 0) as port:
        ask = handshake("127.0.0.1", port, "here.test", trusting(tmp_path / "ca.crt"))
        with pytest.raises(ssl.SSLCertVerificationError):
            ask()
