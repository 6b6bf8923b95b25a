"""Faults on purpose and the count of requests, in the test's process and over the port for tests."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest
from tests.unit.xroad_simulator import single
from tests.unit.xroad_simulator.conftest import SYSTEM

from xroad_simulator import faults
from xroad_simulator.admin_api import fault_listeners
from xroad_simulator.faults import Fault
from xroad_simulator.settings import EVERYWHERE, Listening

GROUP = {"code": "all", "description": "All"}


@pytest.fixture(scope="module")
def center(tmp_path_factory: pytest.TempPathFactory, furnished: Path) -> single.Single:
    """A central server that works."""
    return single.reopen(furnished, tmp_path_factory.mktemp("faults") / "central")


def test_an_answer_comes_for_so_many_requests_and_nothing_is_done(center: single.Single) -> None:
    api = center.api()
    center.server.faults.add(Fault(kind="answer", status=503, method="POST", path="/global-groups", times=2))
    statuses = [api.call("GET", "/global-groups").status_code]
    statuses += [center.client().post("/api/v1/global-groups", json=GROUP).status_code for _ in range(2)]
    assert statuses == [200, 503, 503]
    assert center.server.faults.waiting == []
    api.ask("POST", "/global-groups", json=GROUP)
    api.ask("DELETE", "/global-groups/all")


@pytest.mark.parametrize(("kind", "is_done"), [("refuse", False), ("cut", True)])
def test_a_connection_breaks_off_before_or_after(center: single.Single, kind: str, is_done: bool) -> None:
    api = center.api()
    center.server.faults.add(Fault(kind=kind, method="POST", path="/global-groups"))  # type: ignore[arg-type]
    loud = center.client(loud=True)
    loud.headers.update(api._http.headers)
    with pytest.raises(httpx.RemoteProtocolError):
        loud.post("/api/v1/global-groups", json=GROUP)
    codes = {group["code"] for group in api.ask("GET", "/global-groups")}
    assert ("all" in codes) is is_done
    if is_done:
        api.ask("DELETE", "/global-groups/all")


def test_a_request_is_delayed(center: single.Single) -> None:
    center.server.faults.add(Fault(kind="delay", seconds=0.2, path="/system/version"))
    before = time.monotonic()
    center.api().ask("GET", "/system/version")
    assert time.monotonic() - before >= 0.2


def test_requests_are_counted_by_operation(center: single.Single) -> None:
    """Queries by POST aren't writes."""
    api = center.api()
    center.server.requests.clear()
    api.ask("GET", "/members/TEST:GOV:CIVIL")
    api.ask("GET", "/members/TEST:GOV:HEALTH")
    api.ask("POST", "/global-groups/security-server-owners/members", json={})
    api.ask("PATCH", "/members/TEST:GOV:CIVIL", json={"member_name": "Civil registry"})
    view = center.server.requests.view()
    assert (view["total"], view["not_get"], view["writes"]) == (4, 2, 1)
    assert view["operations"]["GET /members/{member_id}"] == 2


def test_the_port_for_tests(center: single.Single) -> None:
    port = single.client_of(faults.application(center.server.faults, center.server.requests))
    wanted = [{"kind": "answer", "status": 429, "times": 3}]
    assert port.post("/faults", json=wanted).status_code == 204
    assert [fault["times"] for fault in port.get("/faults").json()] == [3]
    assert center.client().get("/api/v1/members/TEST:GOV:CIVIL").status_code == 429
    assert [fault["times"] for fault in port.get("/faults").json()] == [2]
    assert port.delete("/faults").status_code == 204
    assert center.server.faults.waiting == []
    assert port.delete("/requests").status_code == 204
    assert port.get("/requests").json()["total"] == 0


def test_the_port_is_on_loopback_wherever_the_server_listens(tmp_path: Path) -> None:
    def address(listening: str, port: int) -> list[tuple[str, int]]:
        made = single.central(
            tmp_path, fault_port=port, listening=Listening(address=listening, port_offset=20000)
        )
        return [(listener.address, listener.port) for listener in fault_listeners(made.server)]

    assert address(EVERYWHERE, 0) == []
    assert address(EVERYWHERE, 4099) == [("127.0.0.1", 24099)]
    assert address("192.0.2.7", 4099) == [("127.0.0.1", 24099)]
    assert address("127.7.0.1", 4099) == [("127.7.0.1", 24099)]


def test_faults_of_the_settings_hold_from_the_start_on(tmp_path: Path) -> None:
    made = single.central(tmp_path, faults='[{"kind": "answer", "status": 503, "times": 1}]')
    assert made.client().get("/api/v1/initialization/status").status_code == 503
    assert made.api([SYSTEM]).call("GET", "/initialization/status").status_code == 200
    with pytest.raises(ValueError, match="kind"):
        single.central(tmp_path, faults='[{"kind": "explode"}]')
