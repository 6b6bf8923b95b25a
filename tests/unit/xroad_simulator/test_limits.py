"""How much a caller may ask: requests of an address, and the size of a body."""

from __future__ import annotations

from pathlib import Path

from tests.unit.xroad_simulator import single

from xroad_simulator.limits import RateLimiter
from xroad_simulator.settings import Common, Ini


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def admitted(limiter: RateLimiter, address: str, tries: int) -> int:
    return sum(limiter.admits(address) for _ in range(tries))


def test_a_second_has_its_limit_and_refills_steadily() -> None:
    clock = Clock()
    limiter = RateLimiter(20, 600, clock)
    assert admitted(limiter, "10.0.0.1", 30) == 20
    assert admitted(limiter, "10.0.0.2", 30) == 20
    clock.seconds = 0.5
    assert admitted(limiter, "10.0.0.1", 30) == 10


def test_a_minute_has_its_limit_too() -> None:
    """At twenty a second the minute's six hundred, and the ten that each second adds, last for a minute."""
    clock = Clock()
    limiter = RateLimiter(20, 600, clock)
    given = []
    for second in range(70):
        clock.seconds = float(second)
        given.append(admitted(limiter, "10.0.0.1", 30))
    assert given[:30] == [20] * 30
    assert given[-1] == 10


def test_a_limit_below_one_is_none() -> None:
    assert admitted(RateLimiter(-1, 0), "10.0.0.1", 1000) == 1000


def test_the_answer_is_x_roads(tmp_path: Path) -> None:
    """429 with the status alone, before anybody is asked who is calling; no time to wait for is told."""
    center = single.central(tmp_path, requests_per_second=0, requests_per_minute=2)
    somebody = center.client()
    answers = [somebody.get("/api/v1/members/TEST:GOV:CIVIL") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [401, 401, 429]
    refused = answers[-1]
    assert refused.json() == {"status": 429}
    assert refused.headers["connection"] == "close"
    assert refused.headers["content-type"] == "application/json;charset=UTF-8"
    assert refused.headers["x-road-ui-correlation-id"]
    assert "retry-after" not in refused.headers


def test_long_bodies_are_refused(tmp_path: Path) -> None:
    """Of an upload later than of anything else; also where no length was announced."""
    center = single.central(tmp_path, body_bytes=1000, upload_bytes=3000)
    api = center.api()

    def pieces() -> list[bytes]:
        return [b"{", b" " * 2000, b"}"]

    assert api.call("POST", "/members", content=b" " * 2000).status_code == 413
    assert api.call("POST", "/members", content=iter(pieces())).status_code == 413
    assert api.call("POST", "/members", content=b" " * 900).status_code == 400
    form = {"url": "http://tsa.example.test", "cost_type": "FREE"}
    for size, status in ((2000, 400), (4000, 413)):
        files = {"certificate": ("tsa.pem", b"-" * size)}
        assert api.call("POST", "/timestamping-services", data=form, files=files).status_code == status


def test_limits_are_set_by_x_roads_names(tmp_path: Path) -> None:
    (tmp_path / "local.ini").write_text(
        "[proxy-ui-api]\nrate-limit-requests-per-second = 5\nrequest-sizelimit-regular = 2KB\n"
    )
    common = Common(state=tmp_path, tls=tmp_path)
    read = common.read_common(Ini(tmp_path), "proxy-ui-api", "proxy")
    assert (read["requests_per_second"], read["requests_per_minute"]) == (5, 600)
    assert (read["body_bytes"], read["upload_bytes"]) == (2048, 10 * 1024**2)
