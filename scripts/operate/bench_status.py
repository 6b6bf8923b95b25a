"""Measures certificate status: answers a second of the responder, beside OpenSSL's in the same run."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from operate.failure import Failure
from trust_services.certificate_state import CertificateState
from trust_services.status import publication
from trust_services.status.signing import Signer
from trust_services.status.verification import Authority

FIRST_SERIAL = 2**120
"""Serial numbers as long as real ones, and all of one length, so that requests are too."""

LUA = """
local file = assert(io.open(os.getenv("REQUESTS"), "rb"))
local size = tonumber(os.getenv("REQUEST_SIZE"))
local formatted = {}
function init()
  for body in function() return file:read(size) end do
    formatted[#formatted + 1] = wrk.format("POST", "/", {["Content-Type"] = "application/ocsp-request"}, body)
  end
end
local place = 0
function request()
  place = place % #formatted + 1
  return formatted[place]
end
"""


def measure(certificates: int = 5000, seconds: int = 2, rounds: int = 3) -> dict[str, Any]:
    """Answers a second to X-Road's kind of request, about every certificate in turn, on kept connections.

    Client, responder and baseline share this machine's cores. The baseline, `openssl ocsp`, signs each
    answer and closes each connection: it is what a test authority runs. They take turns for some rounds,
    and the round with the median rate is told of each, as other work on the machine comes and goes.
    Failure if a program is missing or a request isn't answered.
    """
    for program in ("wrk", "openssl"):
        if shutil.which(program) is None:
            raise Failure(f"{program} isn't installed", next_step=f"apt-get install {program}")
    with tempfile.TemporaryDirectory(prefix="bench-status-") as name:
        return _measured(Path(name), certificates, seconds, rounds)


def _measured(folder: Path, certificates: int, seconds: int, rounds: int) -> dict[str, Any]:
    signer = _authority(folder)
    states = [CertificateState(FIRST_SERIAL + number) for number in range(certificates)]
    now = datetime.now(UTC)
    started = time.monotonic()
    answers = signer.sign(states, now, now + timedelta(hours=1))
    signing = time.monotonic() - started
    content = publication.encode(signer.issuer, [answer.der for answer in answers])
    (folder / "bench.answers").write_bytes(content)
    started = time.monotonic()
    Authority(signer.issuer, timedelta(hours=1)).answers(content, None, now)
    verifying = time.monotonic() - started

    requests = [answer.request for answer in answers[::2]]  # SHA-1, as X-Road asks
    (folder / "requests").write_bytes(b"".join(requests))
    (folder / "post.lua").write_text(LUA, encoding="utf-8")

    servers = {
        "openssl": partial(_openssl, folder, states[0].serial, certificates),
        "one_worker": partial(_responder, folder, 1),
        "two_workers": partial(_responder, folder, 2),
    }
    told: dict[str, list[dict[str, float]]] = {name: [] for name in servers}
    for _ in range(rounds):
        for name, server in servers.items():
            with server() as port:
                told[name].append(_wrk(folder, port, len(requests[0]), seconds))
    found = {name: sorted(runs, key=lambda run: run["per_second"])[rounds // 2] for name, runs in told.items()}
    for run in found.values():
        run["ratio"] = run["per_second"] / found["openssl"]["per_second"]
    return {
        "cores": os.cpu_count(),
        "certificates": certificates,
        "signed_per_second": len(answers) / signing,
        "verified_per_second": len(answers) / verifying,
        "publication_bytes": len(content),
        **found,
    }


def _authority(folder: Path) -> Signer:
    """An authority and its responder, also as the files that OpenSSL wants."""
    key, responder_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = _certificate("authority", key, "authority", key, x509.BasicConstraints(ca=True, path_length=0))
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING])
    responder = _certificate("responder", responder_key, "authority", key, usage)
    (folder / "authority.pem").write_bytes(authority.public_bytes(Encoding.PEM))
    (folder / "responder.pem").write_bytes(responder.public_bytes(Encoding.PEM))
    (folder / "responder.key").write_bytes(
        responder_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return Signer(authority, responder, responder_key)


def _certificate(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    extension: x509.ExtensionType,
) -> x509.Certificate:
    now = datetime.now(UTC)
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in (issuer, subject)]
    return (
        x509.CertificateBuilder()
        .issuer_name(names[0])
        .subject_name(names[1])
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(extension, critical=True)
        .sign(issuer_key, hashes.SHA256())
    )


@contextlib.contextmanager
def _responder(folder: Path, workers: int) -> Iterator[int]:
    port = _free_port()
    settings = {
        "listen": {"port": port},
        "workers": workers,
        "folder": str(folder),
        "authorities": [
            {"name": "bench", "certificate": str(folder / "authority.pem"), "publishes": ["answers"]}
        ],
    }
    (folder / "status.json").write_text(json.dumps(settings), encoding="utf-8")
    command = [sys.executable, "-m", "trust_services.status", "serve", "--config", str(folder / "status.json")]
    with _running(command, port, workers):
        yield port


@contextlib.contextmanager
def _openssl(folder: Path, first: int, certificates: int) -> Iterator[int]:
    expiry = datetime.now(UTC) + timedelta(days=1)
    lines = [
        f"V\t{expiry:%y%m%d%H%M%SZ}\t\t{first + number:X}\tunknown\t/CN={number}\n"
        for number in range(certificates)
    ]
    (folder / "index").write_text("".join(lines), encoding="utf-8")
    port = _free_port()
    command = [
        "openssl",
        "ocsp",
        "-index",
        str(folder / "index"),
        "-port",
        str(port),
        "-ignore_err",
        "-nmin",
        "60",
    ]
    command += ["-CA", str(folder / "authority.pem"), "-rsigner", str(folder / "responder.pem")]
    # Two processes answer. The third gets wrk's first connection, which asks nothing, and waits on it for ever.
    command += ["-rkey", str(folder / "responder.key"), "-multi", "3"]
    with _running(command, port, 1):
        yield port


@contextlib.contextmanager
def _running(command: list[str], port: int, listeners: int) -> Iterator[None]:
    output = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=output, stderr=output, process_group=0) as process:
        try:
            deadline = time.monotonic() + 60
            while _listeners(port) < listeners:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise Failure(f"{command[0]} doesn't come up on port {port}")
                time.sleep(0.1)
            yield
        finally:
            # OpenSSL's processes don't end with the one that started them.
            os.killpg(process.pid, signal.SIGTERM)


def _listeners(port: int) -> int:
    """How many sockets of this machine listen on a port: each worker has its own."""
    lines = Path("/proc/net/tcp").read_text(encoding="utf-8").splitlines()
    lines += Path("/proc/net/tcp6").read_text(encoding="utf-8").splitlines()
    return sum(1 for line in lines if re.search(rf":{port:04X} \S+ 0A ", line))


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


def _wrk(folder: Path, port: int, size: int, seconds: int) -> dict[str, float]:
    done = subprocess.run(
        [
            *(
                "wrk",
                "--threads",
                "1",
                "--connections",
                "16",
                "--duration",
                f"{seconds}s",
                "--latency",
            ),
            *("--script", str(folder / "post.lua"), f"http://127.0.0.1:{port}/"),
        ],
        env={**os.environ, "REQUESTS": str(folder / "requests"), "REQUEST_SIZE": str(size)},
        capture_output=True,
        text=True,
        check=True,
    )
    told = done.stdout
    if trouble := re.search(r"Non-2xx.*", told):
        raise Failure("requests weren't answered", details=trouble[0])
    rate = re.search(r"Requests/sec:\s+([\d.]+)", told)
    if rate is None:
        raise Failure("wrk told no rate", details=told)
    return {
        "per_second": float(rate[1]),
        "p50_ms": _milliseconds(told, 50),
        "p99_ms": _milliseconds(told, 99),
    }


def _milliseconds(told: str, percent: int) -> float:
    found = re.search(rf"\b{percent}%\s+([\d.]+)(us|ms|s)\b", told)
    if found is None:
        raise Failure("wrk told no latency", details=told)
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]]
