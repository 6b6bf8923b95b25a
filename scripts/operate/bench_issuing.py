"""Measures how many certificates the trust services CA issues in a second, on this machine alone.

Everything as in earnest: the issuing key (RSA 3072) in a SoftHSM token, the record in a PostgreSQL server whose
commits wait for the disk, every certificate linted and recorded before it counts. The requests are made
beforehand, from a few RSA 2048 keys: members' keys are made on their servers, not here.
"""

from __future__ import annotations

import hashlib
import http.client
import itertools
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from operate.failure import Failure
from operate.locations import ROOT

WORKERS = 2
MEMBERS = 8
"""Each with an order of either kind."""

IN_FLIGHT = 128
"""Orders on their way at any time, for each process: a batch at work and another one waiting."""

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

PIN = "123456"
OWNER, ACCOUNT, DATABASE = "issuing_owner", "issuing_service", "issuing"


def measure(seconds: float = 10.0) -> dict[str, Any]:
    """Certificates per second in two processes, without and with HTTP. Failure if a part isn't installed."""
    return measured("issuing", seconds)


def measured(what: str, *arguments: float) -> dict[str, Any]:
    """What `operate.bench_…` measures in a process of its own, which can import the throw-away server."""
    module = f"operate.bench_{what}"
    done = subprocess.run(
        [sys.executable, "-m", module, "inside", *map(str, arguments)],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Failure(f"{what} can't be measured", next_step=f"scripts/bootstrap python -m {module}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def environment(**more: str) -> dict[str, str]:
    """What lets a process import the throw-away server, which is the tests'."""
    paths = [str(ROOT), *sys.path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **more}


def _measure(seconds: float) -> dict[str, Any]:
    from tests import postgresql_server

    with postgresql_server.running("postgres", durable=True) as server, working_folder() as folder:
        if server is None:
            raise Failure("PostgreSQL isn't installed", next_step="apt-get install postgresql")
        port = free_port()
        token = secrets.token_urlsafe(32)
        codes = member_codes(MEMBERS)
        configuration = _prepared(folder, server, codes, port, token)
        orders = [json.dumps(order) for order in orders_of(codes, _key)]
        (folder / "orders.json").write_text(json.dumps(orders))
        found = {
            "cores": os.cpu_count(),
            "workers": WORKERS,
            "seconds": seconds,
            "in_process": _in_processes(configuration, folder, seconds),
            "over_http": _over_http(configuration, orders, port, token, seconds),
        }
        return {**found, "record": _verified(server)}


@contextmanager
def working_folder() -> Iterator[Path]:
    """A folder that is removed in the end."""
    folder = Path(tempfile.mkdtemp(prefix="bench-issuing-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _prepared(folder: Path, server: Any, codes: Sequence[str], port: int, token: str) -> Path:
    """A token with a key, its certificate, an empty record, and the configuration that names them."""
    prepare_record(server)
    library = _authority(folder)
    (folder / "pin").write_text(PIN)
    configuration = {
        **settings_of("trust", connection_to(server), codes),
        "issuer": {"certificate": str(folder / "issuer.pem")},
        "token": {"library": library, "label": "bench", "key": "issuing", "pin_file": str(folder / "pin")},
        "clients": [{"name": "bench", "role": "orderer", "token_sha256": digest(token)}],
        "listen": {"port": port, "workers": WORKERS},
    }
    path = folder / "issuing.json"
    path.write_text(json.dumps(configuration))
    return path


def settings_of(name: str, connection: str, codes: Sequence[str]) -> dict[str, Any]:
    """Settings of the issuing service, but for who issues, who orders and where it listens."""
    years = dict.fromkeys(("authentication_hours", "signing_hours", "time_stamping_hours"), 8760)
    return {
        "country": "BJ",
        "organization": "Bench",
        "addresses": {
            "ocsp": "http://ocsp.example/",
            "crl": f"http://pki.example/{name}.crl",
            "ca_issuers": f"http://pki.example/{name}.crt",
        },
        "lifetimes": {**years, "status_responder_hours": 720},
        "database": {"connection": connection, "account": ACCOUNT},
        "automatic": [
            {"class": "GOV", "code": code, "name": code, "servers": [_server(code)]} for code in codes
        ],
    }


def connection_to(server: Any) -> str:
    """How the issuing service connects to its record."""
    return f"host={server.folder} dbname={DATABASE} user={ACCOUNT}"


def digest(token: str) -> str:
    """What settings say of a client's token."""
    return hashlib.sha256(token.encode()).hexdigest()


def prepare_record(server: Any) -> None:
    """An empty record in a database of its own, and the accounts that reach it."""
    from trust_services.issuing.migrating import migrate

    with server.connect(autocommit=True) as administrator:
        for statement in (
            f"CREATE ROLE {OWNER} LOGIN",
            f"CREATE ROLE {ACCOUNT} LOGIN",
            f"CREATE DATABASE {DATABASE} OWNER {OWNER}",
        ):
            administrator.execute(statement)
    with server.connect(DATABASE, OWNER, autocommit=True) as owner:
        migrate(owner, ACCOUNT)


def _authority(folder: Path) -> str:
    """Make a token with an issuing key and write its certificate; return the library that drives it."""
    place = soft_token(folder)
    with place.open(PIN) as token:
        key = token.generate("issuing", "rsa-3072")
        name = "Bench Trust Services CA"
        certificate = authority_certificate(name, key.public_key(), name, key, path_length=0)
    (folder / "issuer.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    return str(place.library)


def soft_token(folder: Path) -> Any:
    """An initialized SoftHSM token without keys, for this process and those that it starts."""
    from trust_services.token import TokenPlace

    libraries = [Path("/usr/lib/softhsm/libsofthsm2.so"), *Path("/usr/lib").glob("*/softhsm/libsofthsm2.so")]
    library = next((str(path) for path in libraries if path.exists()), None)
    if library is None:
        raise Failure("SoftHSM isn't installed", next_step="apt-get install softhsm2 opensc")
    (folder / "tokens").mkdir()
    settings = folder / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {folder / 'tokens'}\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(settings)
    place = TokenPlace(library, "bench")
    place.initialize("12345678", PIN)
    return place


def authority_certificate(
    name: str, public: Any, issuer: str, issuer_key: Any, path_length: int
) -> x509.Certificate:
    """A certification authority's certificate, for ten years."""
    named, issuer_named = (
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in (name, issuer)
    )
    now = datetime.now(UTC)
    usage = dict.fromkeys(("digital_signature", "content_commitment", "key_encipherment"), False)
    usage |= dict.fromkeys(("data_encipherment", "key_agreement", "encipher_only", "decipher_only"), False)
    starts, ends = now - timedelta(days=1), now + timedelta(days=3650)
    return (
        x509.CertificateBuilder(issuer_named, named, public, x509.random_serial_number(), starts, ends)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(x509.KeyUsage(**usage, key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


def member_codes(count: int) -> list[str]:
    """Codes of so many members."""
    return [f"MEMBER{number}" for number in range(count)]


def _server(code: str) -> str:
    return f"{code.lower()}.example.bj"


def orders_of(codes: Sequence[str], key: Callable[[], Key]) -> list[dict[str, Any]]:
    """An order of either kind for each member, without an idempotency key, each with a key of its own."""
    orders = []
    for code in codes:
        names = {NameOID.COUNTRY_NAME: "BJ", NameOID.ORGANIZATION_NAME: code, NameOID.SERIAL_NUMBER: code}
        member = {"class": "GOV", "code": code, "name": code}
        signing = {**names, NameOID.COMMON_NAME: code, NameOID.BUSINESS_CATEGORY: "GOV"}
        authentication = {**names, NameOID.COMMON_NAME: _server(code)}
        orders.append({"profile": "signing", "member": member, "csr": _request(signing, key())})
        orders.append(
            {
                "profile": "authentication",
                "member": member,
                "server": _server(code),
                "csr": _request(authentication, key()),
            }
        )
    return orders


def keyed(order: dict[str, Any]) -> dict[str, Any]:
    """An order that was never sent before."""
    return {**order, "idempotency_key": secrets.token_hex(16)}


def _request(names: dict[Any, str], key: Key) -> str:
    """A certificate request in PEM."""
    subject = x509.Name([x509.NameAttribute(kind, value) for kind, value in names.items()])
    made = x509.CertificateSigningRequestBuilder(subject).sign(key, hashes.SHA256())
    return made.public_bytes(Encoding.PEM).decode()


def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


# In processes of their own, without HTTP.


def _in_processes(configuration: Path, folder: Path, seconds: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "operate.bench_issuing", "issue"]
    command += [str(configuration), str(folder / "orders.json"), str(seconds)]
    started = [
        subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) for _ in range(WORKERS)
    ]
    told = [json.loads(process.communicate()[0]) for process in started]
    return {
        "certificates": sum(item["certificates"] for item in told),
        "per_second": round(sum(item["certificates"] / item["seconds"] for item in told), 1),
        "processor_milliseconds_each": round(
            1000 * sum(item["processor"] for item in told) / sum(item["certificates"] for item in told), 2
        ),
    }


def _issue(configuration: Path, orders: Path, seconds: float) -> dict[str, Any]:
    """What one process issues in the time, as fast as it takes orders."""
    from trust_services.issuing import api

    sent = itertools.cycle(json.loads(orders.read_text()))
    with issuing_here(configuration, "bench") as place:
        api.settle()
        waiting = {place(json.loads(next(sent))) for _ in range(IN_FLIGHT)}
        issued = 0
        processor, started = time.process_time(), time.monotonic()
        while time.monotonic() - started < seconds:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                assert future.result().entry.certificate is not None  # noqa: S101 - else nothing was measured
                issued += 1
                waiting.add(place(json.loads(next(sent))))
        took, used = time.monotonic() - started, time.process_time() - processor
    return {"certificates": issued, "seconds": took, "processor": used}


@contextmanager
def issuing_here(configuration: Path, client: str) -> Iterator[Callable[[dict[str, Any]], Future[Any]]]:
    """The issuing service in this process, without HTTP; calling what is yielded places a client's order."""
    from trust_services.issuing import api
    from trust_services.issuing.configuration import read
    from trust_services.issuing.orders import Order

    service = api.service_of(read(configuration))
    service.start()
    try:
        _wait_for_token(service)
        yield lambda order: service.place(Order.model_validate_json(json.dumps(keyed(order))), client)
    finally:
        service.stop()


def _wait_for_token(service: Any) -> None:
    """Processes that open a SoftHSM token at once don't all see it at first."""
    from trust_services.issuing.refusals import Unavailable

    deadline = time.monotonic() + 20
    while True:
        try:
            service.require_ready().result()
        except Unavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


# Over HTTP.


def _over_http(configuration: Path, orders: list[str], port: int, token: str, seconds: float) -> dict[str, Any]:
    with program("issuing", "serve", configuration):
        _wait_for(port)
        _send(orders, port, token, 0.5)
        milliseconds = sorted(_send(orders, port, token, seconds))
    return {
        "certificates": len(milliseconds),
        "per_second": round(len(milliseconds) / seconds, 1),
        "milliseconds_median": round(milliseconds[len(milliseconds) // 2], 1),
        "milliseconds_99": round(milliseconds[len(milliseconds) * 99 // 100], 1),
    }


@contextmanager
def program(package: str, command: str, settings: Path) -> Iterator[None]:
    """A program of the trust services, while it is needed; its log is beside its settings."""
    started = [sys.executable, "-m", f"trust_services.{package}", command, "--config", str(settings)]
    with settings.with_suffix(".log").open("ab") as output:
        process = subprocess.Popen(started, env=environment(), stdout=output, stderr=output)
        try:
            yield
        finally:
            process.terminate()
            process.wait(60)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.1)
    raise Failure("the service doesn't answer", next_step="python -m trust_services.issuing serve --help")


def _send(orders: list[str], port: int, token: str, seconds: float) -> list[float]:
    """Send orders for so long; milliseconds that each answered one took."""
    ends = time.monotonic() + seconds
    headers = {"Authorization": f"Bearer {token}"}
    took: list[float] = []
    failed: list[str] = []

    def work(first: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for order in itertools.cycle(orders[first:] + orders[:first]):
            started = time.monotonic()
            body = f'{order[:-1]}, "idempotency_key": "{secrets.token_hex(16)}"}}'
            connection.request("POST", "/orders", body, headers)
            answer = connection.getresponse()
            told = answer.read()
            if answer.status != 201:
                failed.append(told.decode())
                return
            if time.monotonic() > ends:
                return
            took.append(1000 * (time.monotonic() - started))

    numbers = range(WORKERS * IN_FLIGHT)
    threads = [threading.Thread(target=work, args=(number % len(orders),)) for number in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise Failure(f"an order wasn't issued: {failed[0]}")
    return took


def _verified(server: Any) -> dict[str, Any]:
    with server.connect(DATABASE, ACCOUNT, autocommit=True) as connection:
        started = time.monotonic()
        events = verified_events(connection)
        took = time.monotonic() - started
        (certificates,) = connection.execute("SELECT count(*) FROM issuing.certificates").fetchone()
    return {"events": events, "certificates": certificates, "verified_in_seconds": round(took, 2)}


def verified_events(connection: Any) -> int:
    """How many events the record has; Failure if it isn't whole."""
    from trust_services.issuing.chain import verify_chain

    found = verify_chain(connection)
    if found.broken:
        raise Failure(f"the record isn't whole: {found.broken}")
    return found.events


def main(arguments: list[str]) -> None:
    """`[SECONDS]`: prints what was measured, JSON. `inside …` and `issue …` are processes of it."""
    match arguments:
        case ["issue", configuration, orders, seconds]:
            found = _issue(Path(configuration), Path(orders), float(seconds))
        case ["inside", seconds]:
            found = _measure(float(seconds))
        case _:
            found = measure(*map(float, arguments[:1]))
    print(json.dumps(found, indent=None if arguments[:1] == ["issue"] else 1))


if __name__ == "__main__":
    main(sys.argv[1:])
