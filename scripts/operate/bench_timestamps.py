"""Measures time stamps a second over HTTP, beside other programs on the same machine. Asserts nothing.

The client shares the machine's cores with the server. Everything is on the loopback and in a temporary folder.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from operate.bench import Figure
from operate.failure import Failure

POLICY = "1.3.6.1.4.1.99999.1.1"

# What chronyc prints on a host whose clock is right.
TRACKING = 'echo "C0000201,192.0.2.1,3,$(date +%s.%N),0.0001,0,0,0,0,0,0.002,0.0004,64.2,Normal"'

OPENSSL = """
[tsa]
default_tsa = authority
[authority]
serial = serial
signer_cert = certificate.pem
certs = root.pem
signer_key = plain.pem
signer_digest = sha512
default_policy = {policy}
digests = sha256, sha512
accuracy = secs:1
ess_cert_id_chain = no
ess_cert_id_alg = sha256
"""

WRK = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/timestamp-query"
wrk.body = io.open("query", "rb"):read("*a")
"""


def measure(seconds: int = 10, connections: int = 8, sigstore: Path | None = None) -> dict[str, Any]:
    """Figures of our authority with one and two workers, of `openssl ts` and of sigstore's server if given."""
    for program in ("wrk", "openssl"):
        if not shutil.which(program):
            raise Failure(f"{program} isn't installed", next_step=f"apt-get install {program}")
    with tempfile.TemporaryDirectory(prefix="timestamps-") as name:
        folder = Path(name)
        key = _prepare(folder)
        openssl = _rate_of_openssl(folder, seconds)
        figures = [
            Figure("RSA-3072 signatures by one core", _rate(lambda: _sign(key), 2), "1/s"),
            Figure("openssl ts -reply, a process each", openssl, "1/s"),
        ]
        baseline = None
        if sigstore:
            with _sigstore(sigstore, folder) as address:
                baseline, slowest = _load(folder, address, seconds, connections)
            figures += [
                Figure("sigstore timestamp-authority", baseline, "1/s"),
                Figure("  of 100 answers, the slowest", slowest, "ms"),
            ]
        for workers in (1, 2):
            with _own(folder, workers) as address:
                rate, slowest = _load(folder, address, seconds, connections)
            figures += [
                Figure(
                    f"our authority, {workers} worker(s)", rate, "1/s", "≥ 500", rate / (baseline or openssl)
                ),
                Figure("  of 100 answers, the slowest", slowest, "ms"),
            ]
    return {
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "seconds": seconds,
        "connections": connections,
        "figures": [asdict(figure) for figure in figures],
    }


def _prepare(folder: Path) -> rsa.RSAPrivateKey:
    """Keys, certificates, a request and configurations."""
    root_key = ec.generate_private_key(ec.SECP256R1())
    key = rsa.generate_private_key(65537, 3072)
    root = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Root")])
    now = datetime.now(UTC)

    def builder(subject: x509.Name) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .issuer_name(root)
            .subject_name(subject)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
        )

    root_certificate = (
        builder(root)
        .public_key(root_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    certificate = (
        builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Time stamps")]))
        .public_key(key.public_key())
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    passphrase = os.urandom(16).hex()
    files = {
        "certificate.pem": certificate.public_bytes(serialization.Encoding.PEM),
        "root.pem": root_certificate.public_bytes(serialization.Encoding.PEM),
        "key.pem": _pem(key, serialization.BestAvailableEncryption(passphrase.encode())),
        "plain.pem": _pem(key, serialization.NoEncryption()),
        "passphrase": passphrase.encode(),
        "openssl.cnf": OPENSSL.format(policy=POLICY).encode(),
        "serial": b"01\n",
        "wrk.lua": WRK.encode(),
        "message": b"a message",
    }
    files["chain.pem"] = files["certificate.pem"] + files["root.pem"]
    for name, content in files.items():
        (folder / name).write_bytes(content)
    # X-Road's servers ask with SHA-512 and want the certificate.
    _openssl(folder, "-query", "-data", "message", "-sha512", "-cert", "-out", "query")
    return key


def _pem(key: rsa.RSAPrivateKey, encryption: serialization.KeySerializationEncryption) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def _sign(key: rsa.RSAPrivateKey) -> None:
    key.sign(b"some attributes", PKCS1v15(), hashes.SHA512())


def _rate_of_openssl(folder: Path, seconds: int) -> float:
    def reply() -> None:
        _openssl(folder, "-reply", "-config", "openssl.cnf", "-queryfile", "query", "-out", "reply")

    rate = _rate(reply, seconds)
    _verify(folder)
    return rate


def _rate(work: Callable[[], None], seconds: float) -> float:
    """How often a second `work` gets done, one after another."""
    work()
    began = time.monotonic()
    done = 0
    while (elapsed := time.monotonic() - began) < seconds:
        work()
        done += 1
    return done / elapsed


@contextlib.contextmanager
def _own(folder: Path, workers: int) -> Iterator[str]:
    """Our authority; yields its address."""
    port = _free_port()
    settings = {
        "address": "127.0.0.1",
        "port": port,
        "workers": workers,
        "policy": POLICY,
        "certificate": "certificate.pem",
        "key": "key.pem",
        "passphrase": "passphrase",
        "clock": {"command": ["sh", "-c", TRACKING]},
    }
    (folder / "timestamps.json").write_text(json.dumps(settings), encoding="utf-8")
    command = [sys.executable, "-m", "trust_services.timestamps", "serve", "--config", "timestamps.json"]
    with _running(command, folder, f"http://127.0.0.1:{port}/health"):
        yield f"http://127.0.0.1:{port}/"
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2) as answer:
            counted = re.findall(r'result="(\w+)"} (\d+)', answer.read().decode())
    refused = {result: count for result, count in counted if result != "granted" and count != "0"}
    if refused:
        raise Failure(f"the authority refused requests under load: {refused}")


@contextlib.contextmanager
def _sigstore(program: Path, folder: Path) -> Iterator[str]:
    """Sigstore's server with the same key, as it comes except for what it stamps with; yields its address."""
    port = _free_port()
    command = [program.resolve(), "serve", "--host=127.0.0.1", f"--port={port}", "--disable-ntp-monitoring"]
    command += ["--log-type=prod", "--timestamp-signer=file", "--file-signer-key-path=plain.pem"]
    command += ["--timestamp-signer-hash=sha512", "--certificate-chain-path=chain.pem"]
    with _running([*map(str, command)], folder, f"http://127.0.0.1:{port}/ping"):
        yield f"http://127.0.0.1:{port}/api/v1/timestamp"


@contextlib.contextmanager
def _running(command: list[str], folder: Path, ready: str) -> Iterator[None]:
    """A server that answers at `ready`; ended afterwards."""
    log = folder / "log"
    with log.open("wb") as output:
        server = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 20
        while not _answers(ready):
            if server.poll() is not None or time.monotonic() > deadline:
                raise Failure(f"{command[0]} doesn't serve", details=log.read_text(errors="replace")[-2000:])
            time.sleep(0.1)
        yield
    finally:
        server.terminate()
        server.wait(20)


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2):  # noqa: S310 - made here: http on the loopback
            return True
    except (urllib.error.URLError, OSError):
        return False


def _load(folder: Path, address: str, seconds: int, connections: int) -> tuple[float, float]:
    """Time stamps a second, and the milliseconds that 99 of 100 answers took at most."""
    _stamp_once(folder, address)
    command = ["wrk", "--threads", "1", "--connections", str(connections), "--latency"]
    command += ["--duration", f"{seconds}s", "--script", "wrk.lua", address]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    wrong = re.search(r"Non-2xx or 3xx responses: \d+|Socket errors: .*", done.stdout)
    rate = re.search(r"^Requests/sec: +([\d.]+)$", done.stdout, re.MULTILINE)
    slowest = re.search(r"^ +99% +([\d.]+)(us|ms|s)$", done.stdout, re.MULTILINE)
    if wrong or not rate or not slowest:
        raise Failure("the load couldn't be measured", details=done.stdout)
    unit = {"us": 0.001, "ms": 1.0, "s": 1000.0}[slowest[2]]
    return float(rate[1]), float(slowest[1]) * unit


def _stamp_once(folder: Path, address: str) -> None:
    """Get one time stamp and have openssl verify it: what follows measures answers that are worth something."""
    asked = urllib.request.Request(  # noqa: S310 - made here: http on the loopback
        address,
        data=(folder / "query").read_bytes(),
        headers={"Content-Type": "application/timestamp-query"},
    )
    with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310 - as above
        (folder / "reply").write_bytes(answer.read())
    _verify(folder)


def _verify(folder: Path) -> None:
    _openssl(folder, "-verify", "-in", "reply", "-queryfile", "query", "-CAfile", "root.pem")


def _openssl(folder: Path, *arguments: str) -> None:
    done = subprocess.run(
        ["openssl", "ts", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise Failure(f"openssl ts {arguments[0]} failed", details=done.stdout + done.stderr)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(prog="python -m operate.bench_timestamps", description=__doc__)
    parser.add_argument("--seconds", type=int, default=10, help="of each load")
    parser.add_argument("--connections", type=int, default=8, help="that ask at once")
    parser.add_argument("--sigstore", type=Path, help="sigstore's timestamp-server, as a baseline")
    asked = parser.parse_args()
    print(json.dumps(measure(asked.seconds, asked.connections, asked.sigstore), indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
