"""Requests to an admin API: what is repeated, what isn't, and what an error tells."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

import httpx
import pytest

from stacks.providers.serving import ProviderError
from stacks.providers.xroad.endpoint import Endpoint
from stacks.providers.xroad.errors import ApiError, UnreachableError
from stacks.providers.xroad.transport import AdminConnection, Pace

ENDPOINT = Endpoint(address="10.0.0.1", name="central.example.test", port=4000)


class Answers:
    """Answers requests in turn, repeating the last one, and remembers them."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.seen: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def connection(handler: Callable[[httpx.Request], httpx.Response], patience: float = 5.0) -> AdminConnection:
    return AdminConnection(
        ENDPOINT,
        lambda: "the-key",
        ssl.create_default_context(),
        patience_seconds=patience,
        transport=httpx.MockTransport(handler),
        pace=Pace(per_second=1000, per_minute=60_000),
    )


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting is decided by the clock, not done."""
    sleep = asyncio.sleep
    monkeypatch.setattr("stacks.providers.xroad.transport.asyncio.sleep", lambda _seconds: sleep(0))


def test_a_request_is_authenticated_and_addressed_by_name() -> None:
    """The key goes into the header that X-Road defines; the address is never the server's name."""
    answers = Answers(httpx.Response(200, json={"info": "7.8.0"}))
    asyncio.run(connection(answers).get("/system/version"))

    (request,) = answers.seen
    assert str(request.url) == "https://10.0.0.1:4000/api/v1/system/version"
    assert request.headers["Authorization"] == "X-Road-ApiKey token=the-key"
    assert request.headers["Host"] == "central.example.test:4000"
    assert request.extensions["sni_hostname"] == "central.example.test"


@pytest.mark.parametrize("status", [429, 503])
def test_an_overloaded_server_is_asked_again_even_to_write(status: int) -> None:
    """Both statuses promise that nothing was done."""
    answers = Answers(httpx.Response(status), httpx.Response(201, json={"code": "GOV"}))
    found = asyncio.run(connection(answers).send("POST", "/member-classes", {"code": "GOV"}))

    assert found == {"code": "GOV"}
    assert len(answers.seen) == 2


def test_a_refused_connection_is_tried_again() -> None:
    """A server that starts refuses connections for a while."""
    answers = Answers(httpx.ConnectError("refused"), httpx.Response(200, json=[]))

    assert asyncio.run(connection(answers).get("/tokens")) == []


def test_a_write_that_broke_off_is_not_repeated() -> None:
    """What it did is unknown: callers read back."""
    answers = Answers(httpx.ReadTimeout("no answer"))

    with pytest.raises(UnreachableError, match="POST /members broke off"):
        asyncio.run(connection(answers).send("POST", "/members", {}))
    assert len(answers.seen) == 1


def test_nothing_is_written_where_one_only_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a resource thinks that it has to do: the request isn't sent."""
    monkeypatch.setenv("SMARTGOUV_READ_ONLY", "1")
    answers = Answers(httpx.Response(200, json={"info": "7.8.0"}))

    with pytest.raises(ProviderError, match="POST /members would change something"):
        asyncio.run(connection(answers).send("POST", "/members", {}))
    assert answers.seen == []
    assert asyncio.run(connection(answers).get("/system/version")) == {"info": "7.8.0"}


def test_patience_ends() -> None:
    """A storm of refusals becomes an error that names the server and the last answer."""
    answers = Answers(httpx.Response(429))

    with pytest.raises(UnreachableError, match=r"answered 429.*gave up after 0 s"):
        asyncio.run(connection(answers, patience=0.1).get("/tokens"))


def test_a_wrong_certificate_is_not_tried_again() -> None:
    """Time doesn't mend a certificate."""
    error = httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate has expired")
    answers = Answers(error)

    with pytest.raises(UnreachableError, match=r"certificate isn't accepted.*expired"):
        asyncio.run(connection(answers).get("/tokens"))
    assert len(answers.seen) == 1


def test_an_error_carries_what_finds_it_in_the_log() -> None:
    """Code, metadata, fields and the correlation id stand in the sentence."""
    answers = Answers(
        httpx.Response(
            400,
            headers={"x-road-ui-correlation-id": "abc123"},
            json={
                "status": 400,
                "error": {
                    "code": "validation_failure",
                    "metadata": ["more"],
                    "validation_errors": {"memberAdd.name": ["NoColons"]},
                },
            },
        )
    )

    with pytest.raises(ApiError) as caught:
        asyncio.run(connection(answers).send("POST", "/members", {}))
    assert str(caught.value) == (
        "POST https://10.0.0.1:4000/api/v1/members answered 400 validation_failure; more; "
        "memberAdd.name: NoColons; correlation id abc123"
    )
    assert "the-key" not in str(caught.value)


def test_warnings_are_accepted_only_when_asked() -> None:
    """`warnings_detected` means: send it again with ignore_warnings."""
    warning = httpx.Response(
        400,
        json={
            "status": 400,
            "error": {"code": "warnings_detected"},
            "warnings": [{"code": "x", "metadata": []}],
        },
    )
    answers = Answers(warning, httpx.Response(201, json={}))
    asyncio.run(connection(answers).send("POST", "/clients", {"a": 1}, accept_warnings=True))

    assert answers.seen[1].content == b'{"a":1,"ignore_warnings":true}'
    with pytest.raises(ApiError, match="warnings_detected"):
        asyncio.run(connection(Answers(warning)).send("POST", "/clients", {"a": 1}))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which passes by sleeping alone."""
    now = [0.0]

    async def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr("stacks.providers.xroad.transport.monotonic", lambda: now[0])
    monkeypatch.setattr("stacks.providers.xroad.transport.asyncio.sleep", sleep)
    return now


async def leave(pace: Pace, count: int) -> None:
    for _ in range(count):
        await pace.wait()


def test_the_pace_keeps_to_the_limit_of_a_second(clock: list[float]) -> None:
    """After a burst, requests leave at the rate that the server allows, less a twentieth."""
    asyncio.run(leave(Pace(per_second=20, per_minute=60_000), 5 + 38))

    assert clock[0] == pytest.approx(2.0)


def test_the_pace_keeps_to_the_limit_of_a_minute(clock: list[float]) -> None:
    """What was allowed of a minute is used up first; then requests leave as more is allowed."""
    asyncio.run(leave(Pace(per_second=1000, per_minute=600), 570 + 19))

    assert clock[0] == pytest.approx(2.0, abs=0.1)


def test_a_thousand_requests_keep_to_both_limits(clock: list[float]) -> None:
    """No second has more than 20, no minute more than 600 beside what was saved up."""
    asyncio.run(leave(Pace(), 1000))

    assert 1000 / 20 < clock[0] < 1000 / 20 * 1.1


def test_a_server_that_has_had_enough_is_asked_slowly(clock: list[float]) -> None:
    """Others had used up its minute: nothing of it is left for this run."""
    pace = Pace()
    pace.refused()
    asyncio.run(leave(pace, 19))

    assert clock[0] == pytest.approx(2.0)


def test_patience_does_not_count_the_turns_of_others() -> None:
    """Many who wait for one server are no reason to give it up."""
    answers = Answers(httpx.Response(429), httpx.Response(200, json=[]))
    slow = AdminConnection(
        ENDPOINT,
        lambda: "the-key",
        ssl.create_default_context(),
        patience_seconds=0.6,
        transport=httpx.MockTransport(answers),
        pace=Pace(per_second=1.5, per_minute=90),
    )

    assert asyncio.run(slow.get("/tokens")) == []
