"""What security servers are asked and told: how far the configuration has come, which time stamps they use."""

from __future__ import annotations

import asyncio
import json
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from federation_rig.authority import LocalAuthority
from stacks.providers.xroad.endpoint import Endpoint
from stacks.providers.xroad.resources import distribution
from stacks.providers.xroad.resources.distribution import distributed
from stacks.providers.xroad.resources.security_server import SecurityServerInputs, SecurityServerKind
from stacks.providers.xroad.servers import Servers
from stacks.providers.xroad.settings import Settings
from stacks.providers.xroad.transport import AdminConnection, Pace
from stacks.providers.xroad.waiting import DeadlineError

ONE, TWO = ({"name": f"Stamps {number}", "url": f"http://t{number}/", "cost_type": "FREE"} for number in (1, 2))


@dataclass
class Double:
    """A security server's admin API, as far as it is asked here."""

    imported: bool = True
    fetches: list[str] = field(default_factory=lambda: ["T1", "T1", "T2"])
    """What it says at each look about the last fetch; the last one for ever."""
    status: str = "OK"
    approved: list[dict[str, str]] = field(default_factory=lambda: [ONE, TWO])
    used: list[dict[str, str]] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v1")
        self.seen.append(f"{request.method} {path}")
        body: Any = json.loads(request.content) if request.content else None
        if path == "/initialization/status":
            names = ("is_anchor_imported", "is_server_code_initialized", "is_server_owner_initialized")
            status = dict.fromkeys(names, self.imported)
            return httpx.Response(200, json={**status, "software_token_init_status": "INITIALIZED"})
        if path == "/diagnostics/globalconf":
            moment = self.fetches.pop(0) if len(self.fetches) > 1 else self.fetches[0]
            return httpx.Response(200, json={"status_class": self.status, "prev_update_at": moment})
        if path == "/timestamping-services":
            return httpx.Response(200, json=self.approved)
        if request.method == "GET":
            return httpx.Response(200, json=self.used)
        if path.endswith("/delete"):
            self.used.remove(body)
            return httpx.Response(204)
        self.used.append(body)
        return httpx.Response(201, json=body)


class Site(Servers):
    """Security servers that are doubles, and a central server that nobody asks."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, **doubles: Double) -> None:
        authority = LocalAuthority(folder)
        monkeypatch.setenv("SMARTGOUV_ROOT_CERTIFICATE", str(authority.certificate_file))
        endpoint = {"address": "127.0.0.1", "name": "any.example.test", "port": 4000}
        server = {"endpoint": endpoint, "api_key": "key", "pin": "pin"}
        settings = {
            "central": "central",
            "servers": dict.fromkeys(("central", *doubles), server),
            "trust_services": {"endpoint": endpoint, "token": "token"},
            "configuration_interval_seconds": 1,
        }
        super().__init__(Settings.model_validate(settings), authority)
        self._doubles = doubles

    def _connection(self, name: str) -> AdminConnection:
        return AdminConnection(
            Endpoint(address="127.0.0.1", name=name, port=4000),
            lambda: "key",
            ssl.create_default_context(),
            transport=httpx.MockTransport(self._doubles[name].answer),
            pace=Pace(per_second=1000, per_minute=60_000),
        )


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Lets no time pass, and remembers how much would have."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(distribution.asyncio, "sleep", sleep)
    return slept


def test_every_server_that_has_an_anchor_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hurried: list[float]
) -> None:
    """First a generation, then a fetch of each; a server that isn't initialised fetches nothing."""
    ss1, ss2, bare = Double(), Double(fetches=["A", "B"]), Double(imported=False)

    asyncio.run(distributed(Site(tmp_path, monkeypatch, ss1=ss1, ss2=ss2, bare=bare)))

    assert hurried[0] >= 1.0
    assert ss1.fetches == ["T2"]
    assert ss2.fetches == ["B"]
    assert bare.seen == ["GET /initialization/status"]


def test_a_server_that_fetches_nothing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hurried: list[float]
) -> None:
    """With what it says; the earlier certificate then stays."""
    site = Site(tmp_path, monkeypatch, ss1=Double(fetches=["T1", "T2"], status="FAIL"))
    monkeypatch.setattr(Settings, "distribution_seconds", 0.0)

    with pytest.raises(DeadlineError, match=r"ss1 fetches .*status FAIL"):
        asyncio.run(distributed(site))


WISH = SecurityServerInputs(
    server="ss1",
    identity="TEST:GOV:HR:SS1",
    address="ss1.example.test",
    owner_name="Human Resources",
    country="BJ",
    timestamping=(ONE["url"], TWO["url"]),
)


@pytest.mark.parametrize(
    ("used", "declared", "calls"),
    [
        ([], (ONE, TWO), ["POST", "POST"]),
        ([TWO, ONE], (ONE, TWO), []),
        ([ONE], (TWO,), ["POST", "POST delete"]),
        ([ONE, TWO], (), ["POST delete", "POST delete"]),
        ([{**ONE, "name": "Stamps before renaming"}], (ONE,), ["POST", "POST delete"]),
    ],
)
def test_a_server_uses_what_is_declared_and_nothing_else(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    used: list[dict[str, str]],
    declared: tuple[dict[str, str], ...],
    calls: list[str],
) -> None:
    """Added before others go; an entry under an earlier name stands for nothing."""
    double = Double(used=list(used))
    kind = SecurityServerKind(Site(tmp_path, monkeypatch, ss1=double))
    wish = WISH.model_copy(update={"timestamping": tuple(item["url"] for item in declared)})

    asyncio.run(kind.use_timestamping(wish))

    assert sorted(double.used, key=str) == sorted(declared, key=str)
    writes = [line for line in double.seen if not line.startswith("GET")]
    assert [line.replace(" /system/timestamping-services", "").replace("/", " ") for line in writes] == calls
