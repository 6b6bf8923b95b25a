"""The service: its answers, what it counts, and how it behaves over HTTP as a process of its own."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from asn1crypto import core, tsp
from cryptography.hazmat.primitives.asymmetric import rsa
from granian.rsgi import ProtocolClosed

import trust_services
from trust_services import files
from trust_services.timestamps.clock import NANOSECONDS, ClockWatch
from trust_services.timestamps.request import MAXIMUM_BYTES
from trust_services.timestamps.service import RESULTS, Service
from trust_services.timestamps.settings import Identity, read_settings
from trust_services.timestamps.tally import Tally

QUERY = {"content-type": "application/timestamp-query"}
REQUEST: bytes = tsp.TimeStampReq(
    {
        "version": 1,
        "message_imprint": {
            "hash_algorithm": {"algorithm": "sha512"},
            "hashed_message": hashlib.sha512(b"a message").digest(),
        },
        "nonce": 77,
    }
).dump()


def status_of(answer: bytes) -> tsp.PKIStatusInfo:
    return tsp.PKIStatusInfo.load(core.SequenceOf.load(answer, strict=True, spec=core.Any)[0].dump())


def failure_of(answer: bytes) -> int | None:
    """The bit of the failure; None if a time stamp was made."""
    status = status_of(answer)
    if status["status"].native == "granted":
        return None
    assert status["status"].native == "rejection"
    bits: tuple[int, ...] = status["fail_info"].cast(core.BitString).native
    return bits.index(1)


@pytest.fixture
def tally() -> Tally:
    return Tally(RESULTS, 1)


@pytest.fixture
def service(config: Path, identity: Identity, watch: ClockWatch, host: Any, tally: Tally) -> Service:
    """A service on a host whose clock shows the present, at first."""
    host.wall = time.time_ns()
    host.tracks()
    watch.look()
    return Service(read_settings(config), identity, watch, tally)


def test_a_request_is_stamped_with_the_time_of_the_clock(service: Service, host: Any) -> None:
    answer = tsp.TimeStampResp.load(service.answer(REQUEST), strict=True)
    info = answer["time_stamp_token"]["content"]["encap_content_info"]["content"].parsed
    assert info["gen_time"].native == datetime.fromtimestamp(0, UTC) + timedelta(microseconds=host.wall // 1000)
    assert info["nonce"].native == 77
    # |system time| 0.1 ms + root dispersion 0.4 ms + half the root delay of 2 ms.
    assert info["accuracy"].native == {"seconds": None, "millis": 1, "micros": 500}
    assert service.trouble() == ""


def test_no_two_answers_have_one_serial_number(service: Service) -> None:
    seen = set()
    for _ in range(20):
        answer = tsp.TimeStampResp.load(service.answer(REQUEST))
        info = answer["time_stamp_token"]["content"]["encap_content_info"]["content"].parsed
        seen.add(info["serial_number"].native)
    assert len(seen) == 20


def test_a_clock_off_by_an_hour_stamps_nothing_and_says_why(service: Service, host: Any) -> None:
    assert failure_of(service.answer(REQUEST)) is None
    host.set_clock(3600)
    answer = service.answer(REQUEST)
    assert failure_of(answer) == 14
    assert status_of(answer)["status_string"].native == [service.trouble()]
    assert service.trouble().startswith("the clock was set by 3600.000000 s")


def test_a_clock_that_is_not_synchronised_stamps_nothing(
    service: Service, host: Any, watch: ClockWatch
) -> None:
    host.tracks(leap="Not synchronised")
    watch.look()
    assert failure_of(service.answer(REQUEST)) == 14


def test_a_bad_request_is_called_bad_even_when_the_clock_is_unsure(service: Service, host: Any) -> None:
    host.set_clock(3600)
    assert failure_of(service.answer(b"garbage")) == 5


def test_nothing_is_stamped_once_the_certificate_has_ended(
    service: Service, host: Any, watch: ClockWatch, identity: Identity
) -> None:
    ends = round(identity.certificate.not_valid_after_utc.timestamp()) * NANOSECONDS
    for wall, failure in ((ends - 1, None), (ends, 25)):
        host.pass_time((wall - host.wall) / NANOSECONDS)
        host.wall = wall
        watch._confirmed = None
        host.tracks()
        watch.look()
        assert failure_of(service.answer(REQUEST)) == failure
    assert "the certificate is valid from" in service.trouble()


def test_nothing_is_stamped_before_the_certificate_begins(
    config: Path, key: Any, authority: Any, watch: ClockWatch, host: Any, tally: Tally
) -> None:
    host.wall = time.time_ns()
    host.tracks()
    watch.look()
    tomorrow = Identity(key, authority.issue(key, begins=timedelta(days=1)), ())
    assert failure_of(Service(read_settings(config), tomorrow, watch, tally).answer(REQUEST)) == 25


def value(metrics: str, name: str) -> float:
    (found,) = re.findall(rf"^{re.escape(name)} (\S+)$", metrics, re.MULTILINE)
    return float(found)


def test_answers_are_counted_by_their_result(service: Service, host: Any) -> None:
    for data in (REQUEST, REQUEST, b"garbage", b""):
        service.answer(data)
    host.set_clock(3600)
    service.answer(REQUEST)
    metrics = service.metrics()
    assert value(metrics, 'timestamps_answers_total{result="granted"}') == 2
    assert value(metrics, 'timestamps_answers_total{result="bad_data_format"}') == 2
    assert value(metrics, 'timestamps_answers_total{result="time_not_available"}') == 1
    assert value(metrics, 'timestamps_answers_total{result="system_failure"}') == 0


def test_metrics_tell_of_clock_and_certificate(service: Service, host: Any, identity: Identity) -> None:
    metrics = service.metrics()
    left = (identity.certificate.not_valid_after_utc - datetime.now(UTC)).total_seconds()
    assert value(metrics, "timestamps_certificate_seconds_left") == pytest.approx(left, abs=5)
    assert value(metrics, "timestamps_clock_error_seconds") == pytest.approx(0.0015)
    assert value(metrics, "timestamps_clock_sure") == 1
    host.set_clock(3600)
    assert value(service.metrics(), "timestamps_clock_sure") == 0


def test_metrics_before_the_first_look_are_numbers_too(
    config: Path, identity: Identity, watch: ClockWatch, tally: Tally
) -> None:
    metrics = Service(read_settings(config), identity, watch, tally).metrics()
    assert value(metrics, "timestamps_clock_sure") == 0
    assert str(value(metrics, "timestamps_clock_error_seconds")) == "nan"


def test_processes_count_together() -> None:
    tally = Tally(("a", "b"), 2)
    for _ in range(2):
        child = os.fork()
        if not child:
            tally.join()
            tally.count("b")
            os._exit(0)
        os.waitpid(child, 0)
    assert tally.totals() == {"a": 0, "b": 2}


class Client:
    """Both sides of one request, where a real client would be too quick or too kind."""

    method = "POST"
    path = "/"
    headers = QUERY

    def __init__(self, gone: bool) -> None:
        self.gone = gone
        self.status = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield REQUEST[:10]
        if self.gone:
            raise ProtocolClosed
        await asyncio.sleep(60)

    def response_str(self, status: int, *_: object) -> None:
        self.status = status


def test_a_client_that_does_not_go_on_is_given_up(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trust_services.timestamps.service._BODY_SECONDS", 0.05)
    client = Client(gone=False)
    asyncio.run(service.__rsgi__(client, client))
    assert client.status == 408


def test_a_client_that_goes_away_is_let_go(service: Any) -> None:
    client = Client(gone=True)
    asyncio.run(service.__rsgi__(client, client))
    assert client.status == 0


@dataclass(frozen=True)
class Running:
    """A server in a process of its own, with two workers."""

    process: subprocess.Popen[bytes]
    client: httpx.Client
    port: int
    log: Path
    host: Any

    def health_becomes(self, status: int) -> str:
        """Ask both workers until each has said so often enough; the last answer."""
        deadline = time.monotonic() + 60
        agreed = 0
        while time.monotonic() < deadline:
            # A connection of its own: either worker may take it.
            answer = httpx.get(f"http://127.0.0.1:{self.port}/health")
            agreed = agreed + 1 if answer.status_code == status else 0
            if agreed == 10:
                return answer.text
            time.sleep(0.02)
        pytest.fail(f"the health isn't {status}; the server says:\n{self.log.read_text()}")


@pytest.fixture
def running(config: Path, host: Any, tmp_path: Path) -> Iterator[Running]:
    host.wall = time.time_ns()
    host.tracks()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config.write_text(json.dumps(json.loads(config.read_text()) | {"port": port, "workers": 2}))
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "trust_services.timestamps", "serve", "--config", str(config)],
            env=os.environ | {"PYTHONPATH": str(Path(trust_services.__path__[0]).parent)},
            stdout=output,
            stderr=output,
        )
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
        try:
            deadline = time.monotonic() + 30
            while True:
                try:
                    client.get("/health")
                except httpx.TransportError:
                    if process.poll() is not None or time.monotonic() > deadline:
                        pytest.fail(f"the server didn't start:\n{log.read_text()}")
                    time.sleep(0.05)
                else:
                    break
            yield Running(process, client, port, log, host)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def test_time_stamps_over_http(running: Running) -> None:
    assert running.health_becomes(200) == "time stamps are made\n"
    client = running.client
    for kind in ("application/timestamp-query", "Application/Timestamp-Query; charset=binary"):
        answer = client.post("/", content=REQUEST, headers={"content-type": kind})
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/timestamp-reply"
        assert failure_of(answer.content) is None
    # Sent in pieces, without a length.
    pieces = (REQUEST[at : at + 7] for at in range(0, len(REQUEST), 7))
    assert failure_of(client.post("/", content=pieces, headers=QUERY).content) is None
    assert failure_of(client.post("/", content=b"", headers=QUERY).content) == 5
    assert failure_of(client.post("/", content=REQUEST + bytes(MAXIMUM_BYTES), headers=QUERY).content) == 5

    assert client.post("/", content=REQUEST).status_code == 415
    assert client.post("/", content=REQUEST, headers={"content-type": "text/plain"}).status_code == 415
    assert client.get("/").status_code == 405
    assert client.get("/").headers["allow"] == "POST"
    assert client.post("/health").status_code == 405
    assert client.get("/other").status_code == 404

    metrics = client.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
    # Of both workers, whichever answers.
    assert value(metrics.text, 'timestamps_answers_total{result="granted"}') == 3
    assert value(metrics.text, 'timestamps_answers_total{result="bad_data_format"}') == 2


def test_a_renewed_key_is_taken_over_without_a_failed_request(
    running: Running, config: Path, authority: Any
) -> None:
    """By both workers; until then they stamp with the old one."""
    running.health_becomes(200)
    wanted = tsp.TimeStampReq.load(REQUEST)
    wanted["cert_req"] = True
    key = rsa.generate_private_key(65537, 3072)
    made = authority.issue(key)
    files.write(config.parent / "key.pem", authority.encrypted(key), 0o600)
    files.write(config.parent / "certificate.pem", authority.pem(made))
    deadline = time.monotonic() + 60
    agreed = 0
    while agreed < 20:
        assert time.monotonic() < deadline, running.log.read_text()
        answer = httpx.post(f"http://127.0.0.1:{running.port}/", content=wanted.dump(), headers=QUERY)
        assert answer.status_code == 200
        assert failure_of(answer.content) is None
        stamp = tsp.TimeStampResp.load(answer.content)["time_stamp_token"]["content"]
        signer = stamp["signer_infos"][0]["sid"].chosen["serial_number"].native
        agreed = agreed + 1 if signer == made.serial_number else 0


def test_an_endless_request_is_cut_off(running: Running) -> None:
    with socket.create_connection(("127.0.0.1", running.port), timeout=20) as connection:
        connection.sendall(
            b"POST / HTTP/1.1\r\nhost: a\r\ncontent-type: application/timestamp-query\r\n"
            b"content-length: 100000000000\r\n\r\n"
        )
        connection.sendall(bytes(200_000))
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
    assert running.client.get("/health").status_code == 200


def test_a_clock_that_becomes_unsure_takes_the_service_out_and_back(running: Running) -> None:
    running.health_becomes(200)
    running.host.tracks(leap="Not synchronised")
    assert running.health_becomes(503) == "chrony says that the clock is: Not synchronised\n"
    answer = running.client.post("/", content=REQUEST, headers=QUERY)
    assert answer.status_code == 200
    assert failure_of(answer.content) == 14
    running.host.wall = time.time_ns()
    running.host.tracks()
    running.health_becomes(200)
    assert failure_of(running.client.post("/", content=REQUEST, headers=QUERY).content) is None


def test_a_chronyc_that_hangs_takes_the_service_out(running: Running) -> None:
    running.host.runs("exec sleep 60")
    assert "chrony hasn't answered for" in running.health_becomes(503)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_cleanly(running: Running, number: signal.Signals) -> None:
    running.process.send_signal(number)
    assert running.process.wait(20) == 0
    assert "Traceback" not in running.log.read_text()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{running.port}/health")


def test_the_server_keeps_secrets_out_of_its_log(running: Running) -> None:
    running.client.post("/", content=REQUEST, headers=QUERY)
    log = running.log.read_text()
    assert "correct horse" not in log
    assert "PRIVATE KEY" not in log


needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl isn't installed")


def openssl(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["openssl", "ts", *map(str, arguments)], capture_output=True, text=True, check=False)


@needs_openssl
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("certificate", [True, False])
@pytest.mark.parametrize("nonce", [True, False])
def test_openssl_verifies_the_answers(
    service: Service,
    identity: Identity,
    authority: Any,
    tmp_path: Path,
    algorithm: str,
    certificate: bool,
    nonce: bool,
) -> None:
    message, query, reply, root, leaf = (
        tmp_path / name for name in ("message", "query", "reply", "root", "leaf")
    )
    message.write_bytes(b"a message")
    root.write_bytes(authority.pem(authority.certificate))
    leaf.write_bytes(authority.pem(identity.certificate))
    wishes = [*(["-cert"] if certificate else []), *([] if nonce else ["-no_nonce"])]
    assert openssl("-query", "-data", message, f"-{algorithm}", *wishes, "-out", query).returncode == 0
    reply.write_bytes(service.answer(query.read_bytes()))
    known = [] if certificate else ["-untrusted", leaf]
    verify = ("-verify", "-in", reply, "-CAfile", root, *known)
    done = openssl(*verify, "-queryfile", query)
    assert "Verification: OK" in done.stdout + done.stderr
    assert done.returncode == 0

    message.write_bytes(b"another message")
    assert openssl(*verify, "-data", message).returncode != 0
    damaged = bytearray(reply.read_bytes())
    damaged[-1] ^= 1
    reply.write_bytes(damaged)
    assert openssl(*verify, "-queryfile", query).returncode != 0


@needs_openssl
def test_openssl_verifies_through_a_chain(
    config: Path, key: Any, authority: Any, watch: ClockWatch, host: Any, tally: Tally, tmp_path: Path
) -> None:
    host.wall = time.time_ns()
    host.tracks()
    watch.look()
    intermediate = type(authority)("Trust services 2", issuer=authority)
    identity = Identity(key, intermediate.issue(key), (intermediate.certificate,))
    service = Service(read_settings(config), identity, watch, tally)
    message, query, reply, root = (tmp_path / name for name in ("message", "query", "reply", "root"))
    message.write_bytes(b"a message")
    root.write_bytes(authority.pem(authority.certificate))
    openssl("-query", "-data", message, "-sha512", "-cert", "-out", query)
    reply.write_bytes(service.answer(query.read_bytes()))
    assert openssl("-verify", "-in", reply, "-CAfile", root, "-queryfile", query).returncode == 0
    without = replace(identity, chain=())
    reply.write_bytes(Service(read_settings(config), without, watch, tally).answer(query.read_bytes()))
    assert openssl("-verify", "-in", reply, "-CAfile", root, "-queryfile", query).returncode != 0


@needs_openssl
def test_openssl_reads_a_refusal(service: Service, host: Any, tmp_path: Path) -> None:
    host.set_clock(3600)
    reply = tmp_path / "reply"
    reply.write_bytes(service.answer(REQUEST))
    shown = openssl("-reply", "-in", reply, "-text").stdout
    assert "Status: Rejected." in shown
    assert "the TSA's time source is not available" in shown
    assert "the clock was set by 3600" in shown
