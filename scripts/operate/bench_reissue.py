"""Measures how long a new generation of the trust services CA takes to replace all that the former one issued.

Everything as in earnest: both generations' keys (RSA 3072) in a SoftHSM token, certified by a played root; the
record in a PostgreSQL server whose commits wait for the disk; the API over TLS; the status publisher and a
responder beside it. Members' keys are made beforehand: they are made on their servers, not here. From the
switch on a few clients order, and verify what they get; meanwhile somebody asks the responder about
certificates of both generations, a hundred times a second.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import secrets
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from operate.bench_issuing import (
    ACCOUNT,
    DATABASE,
    PIN,
    authority_certificate,
    connection_to,
    digest,
    free_port,
    issuing_here,
    keyed,
    measured,
    member_codes,
    orders_of,
    prepare_record,
    program,
    settings_of,
    soft_token,
    verified_events,
    working_folder,
)
from operate.failure import Failure
from operate.ocsp_load import BUDGET, Publication, asking

CERTIFICATES = 1000
"""Half of them for authentication, half for signing."""

CLIENTS = 4
LIMIT_SECONDS = 600
"""The target; after it the measurement is given up."""

RESPONDER = "status.example.bj"


def measure(seconds: float = 10.0, certificates: int = CERTIFICATES) -> dict[str, Any]:
    """Seconds from the switch until all is replaced; and how the responder answered, also `seconds` afterwards.

    Failure if a part isn't installed, something isn't right, or it takes longer than `LIMIT_SECONDS`.
    """
    return measured("reissue", seconds, certificates)


@dataclass(frozen=True)
class _Site:
    """What both generations share."""

    folder: Path
    library: str
    connection: str
    api_port: int
    ocsp_port: int
    tokens: dict[str, str]
    members: list[str]

    def path(self, name: str) -> str:
        """A file or folder of it."""
        return str(self.folder / name)

    def issuer(self, generation: int) -> dict[str, Any]:
        return {"certificate": self.path(f"issuer-{generation}.pem"), "above": [self.path("root.pem")]}

    def token(self, generation: int) -> dict[str, Any]:
        key = {"key": f"issuing-{generation}", "pin_file": self.path("pin")}
        return {"library": self.library, "label": "bench", **key}

    def certificate(self, generation: int) -> x509.Certificate:
        return x509.load_pem_x509_certificate((self.folder / f"issuer-{generation}.pem").read_bytes())

    def publication(self, generation: int) -> Publication:
        answers = self.folder / "published" / f"trust-{generation}.answers"
        return Publication(self.folder / f"issuer-{generation}.pem", answers)


def _measure(seconds: float, certificates: int) -> dict[str, Any]:
    from tests import postgresql_server

    with postgresql_server.running("postgres", durable=True) as server, working_folder() as folder:
        if server is None:
            raise Failure("PostgreSQL isn't installed", next_step="apt-get install postgresql")
        prepare_record(server)
        site = _prepared(folder, connection_to(server), certificates // 2)
        orders = orders_of(site.members, _key)
        former = _issue_all(_configuration(site, 1), orders)
        found: dict[str, Any] = {"cores": os.cpu_count(), "certificates": len(orders), "clients": CLIENTS}
        with _generation(site, 1):
            _wait_for_publication(site, 1, former, time.monotonic() + LIMIT_SECONDS)
        with ExitStack() as stack:
            stack.enter_context(program("status", "serve", _responder_settings(site)))
            _wait_until(lambda: _listens(site.ocsp_port), "the responder doesn't answer")
            told = stack.enter_context(asking(site.ocsp_port, *(site.publication(one) for one in (1, 2))))
            time.sleep(2)
            # The switch.
            started = time.monotonic()
            stack.enter_context(_generation(site, 2))
            found |= _replaced(site, orders, started)
            time.sleep(seconds)
            found["requests"] = told()
        return {**found, "load": os.getloadavg()[0], "record": _verified(server, site, len(orders))}


def _prepared(folder: Path, connection: str, members: int) -> _Site:
    """A token with the keys of both generations, the root's certificates of them, and what is secret."""
    place = soft_token(folder)
    root_key = ec.generate_private_key(ec.SECP384R1())
    root = authority_certificate("Bench Root CA", root_key.public_key(), "Bench Root CA", root_key, 1)
    (folder / "root.pem").write_bytes(root.public_bytes(Encoding.PEM))
    with place.open(PIN) as token:
        for generation in (1, 2):
            key = token.generate(f"issuing-{generation}", "rsa-3072").public_key()
            name = f"Bench Trust Services CA {generation}"
            made = authority_certificate(name, key, "Bench Root CA", root_key, 0)
            (folder / f"issuer-{generation}.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "pin").write_text(PIN)
    _write_tls(folder, root, root_key)
    tokens = {name: secrets.token_urlsafe(32) for name in ("orders", "status")}
    (folder / "status-token").write_text(tokens["status"])
    for name in ("published", "state-1", "state-2"):
        (folder / name).mkdir()
    ports = free_port(), free_port()
    return _Site(folder, place.library, connection, *ports, tokens, member_codes(members))


def _write_tls(folder: Path, root: x509.Certificate, root_key: ec.EllipticCurvePrivateKey) -> None:
    """The API's own key and certificate, for this machine's loopback."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "api")])
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(root.subject, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(root_key, hashes.SHA256())
    )
    (folder / "api.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "api.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


# Settings of the programs.


def _configuration(site: _Site, generation: int) -> Path:
    """The issuing service's."""
    own = [{"profile": "status-responder", "name": RESPONDER}]
    clients = [
        {"name": "orders", "role": "orderer", "token_sha256": digest(site.tokens["orders"])},
        {
            "name": "status",
            "role": "service",
            "token_sha256": digest(site.tokens["status"]),
            "services": own,
        },
    ]
    return _written(
        site,
        f"issuing-{generation}.json",
        {
            **settings_of(f"trust-{generation}", site.connection, site.members),
            "issuer": site.issuer(generation),
            "token": site.token(generation),
            "clients": clients,
            "listen": {
                "port": site.api_port,
                "workers": 2,
                "certificate": site.path("api.pem"),
                "key": site.path("api.key"),
            },
        },
    )


def _publisher_settings(site: _Site, generation: int) -> Path:
    """The status publisher's. The second generation tells about the first one's certificates too."""
    former = {"name": "trust-1", "certificate": site.path("issuer-1.pem"), "key": "issuing-1"}
    url = f"https://127.0.0.1:{site.api_port}"
    return _written(
        site,
        f"publisher-{generation}.json",
        {
            "authority": f"trust-{generation}",
            "issuer": site.issuer(generation),
            "token": site.token(generation),
            "organization": "Bench",
            "country": "BJ",
            "responder": {"name": RESPONDER, "key": "rsa-3072", "label": f"responder-{generation}"},
            "record": {"connection": site.connection},
            "former": [former] if generation == 2 else [],
            "folder": site.path("published"),
            "state": site.path(f"state-{generation}"),
            "freshness_seconds": int(BUDGET.total_seconds()),
            "order": {"url": url, "ca": site.path("root.pem"), "token_file": site.path("status-token")},
        },
    )


def _responder_settings(site: _Site) -> Path:
    """The responder's, which serves what is published on the same disk."""
    authorities = [
        {"name": f"trust-{number}", "certificate": site.path(f"issuer-{number}.pem"), "publishes": ["answers"]}
        for number in (1, 2)
    ]
    common = {"folder": site.path("published"), "freshness_seconds": int(BUDGET.total_seconds())}
    return _written(
        site, "responder.json", {"listen": {"port": site.ocsp_port}, "authorities": authorities, **common}
    )


def _written(site: _Site, name: str, content: dict[str, Any]) -> Path:
    path = site.folder / name
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


# Programs.


@contextmanager
def _generation(site: _Site, number: int) -> Iterator[None]:
    """A generation's API and its publisher."""
    with (
        program("issuing", "serve", _configuration(site, number)),
        program("status", "publish", _publisher_settings(site, number)),
    ):
        yield


def _wait_until(true: Callable[[], bool], trouble: str, ends: float | None = None) -> None:
    ends = time.monotonic() + LIMIT_SECONDS if ends is None else ends
    while not true():
        if time.monotonic() > ends:
            raise Failure(f"{trouble} after {LIMIT_SECONDS} seconds")
        time.sleep(0.1)


def _wait_for_publication(site: _Site, generation: int, serials: set[int], ends: float) -> None:
    """Until a generation's publication has good answers, verified, about all of these."""
    publication = site.publication(generation)
    _wait_until(
        lambda: publication.changed() and serials <= publication.read().keys(),
        f"generation {generation} hasn't published everything",
        ends,
    )


def _listens(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True


# The former generation's certificates; not timed.


def _issue_all(configuration: Path, orders: list[dict[str, Any]]) -> set[int]:
    """Issue everything without HTTP; the serial numbers."""
    with issuing_here(configuration, "orders") as place:
        serials = [future.result().entry.serial for future in [place(order) for order in orders]]
    return {int(serial, 16) for serial in serials if serial is not None}


# The switch, and what follows.


def _replaced(site: _Site, orders: list[dict[str, Any]], started: float) -> dict[str, Any]:
    """Order everything from the second generation, and wait until all of it is published."""
    ends = started + LIMIT_SECONDS
    serials = _ordered(site, orders, ends)
    issued = time.monotonic()
    _wait_for_publication(site, 2, serials, ends)
    done = time.monotonic()
    return {
        "seconds": round(done - started, 2),
        "issued_and_verified_seconds": round(issued - started, 2),
        "published_after_seconds": round(done - issued, 2),
        "issued_per_second": round(len(orders) / (issued - started), 1),
    }


def _ordered(site: _Site, orders: list[dict[str, Any]], ends: float) -> set[int]:
    """Order everything through the API, by a few clients at once; serial numbers of what they verified."""
    serials: set[int] = set()
    failed: list[str] = []
    issuer = site.certificate(2)
    root = x509.load_pem_x509_certificate((site.folder / "root.pem").read_bytes())
    issuer.verify_directly_issued_by(root)
    context = ssl.create_default_context(cafile=site.path("root.pem"))

    def work(own: list[dict[str, Any]]) -> None:
        try:
            with _Client(site, context, ends) as client:
                for order in own:
                    made = client.place(order)
                    _verify(made, order, issuer)
                    serials.add(made.serial_number)
        except Exception as error:  # noqa: BLE001 - told by the thread that waits
            failed.append(f"{type(error).__name__}: {error}")

    threads = [threading.Thread(target=work, args=(orders[number::CLIENTS],)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise Failure(f"an order wasn't issued: {failed[0]}")
    if len(serials) != len(orders):
        raise Failure(f"{len(serials)} certificates came for {len(orders)} orders")
    return serials


class _Client:
    """Orders on a kept connection, from when the API comes up."""

    def __init__(self, site: _Site, context: ssl.SSLContext, ends: float) -> None:
        self._headers = {"Authorization": f"Bearer {site.tokens['orders']}"}
        self._connection = http.client.HTTPSConnection("127.0.0.1", site.api_port, timeout=60, context=context)
        self._ends = ends

    def __enter__(self) -> _Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def place(self, order: dict[str, Any]) -> x509.Certificate:
        """The certificate. The same order is sent again while nobody answers, or can't issue yet."""
        body = json.dumps(keyed(order))
        while True:
            if time.monotonic() > self._ends:
                raise Failure(f"orders aren't answered after {LIMIT_SECONDS} seconds")
            try:
                self._connection.request("POST", "/orders", body, self._headers)
                answer = self._connection.getresponse()
                told = answer.read()
            except (OSError, http.client.HTTPException):
                self._connection.close()
            else:
                if answer.status in (200, 201):
                    return x509.load_pem_x509_certificate(json.loads(told)["certificate"].encode())
                if answer.status != 503:
                    raise Failure(f"the API answers {answer.status}: {told.decode()}")
            time.sleep(0.1)


def _verify(made: x509.Certificate, order: dict[str, Any], issuer: x509.Certificate) -> None:
    """A certificate for the request's key and subject, from the new generation, valid now."""
    made.verify_directly_issued_by(issuer)
    asked = x509.load_pem_x509_csr(order["csr"].encode())
    now = datetime.now(UTC)
    if (
        made.public_key() != asked.public_key()
        or made.subject != asked.subject
        or not made.not_valid_before_utc <= now <= made.not_valid_after_utc
    ):
        raise Failure(f"the certificate {made.serial_number:x} isn't what was ordered")


def _verified(server: Any, site: _Site, count: int) -> dict[str, Any]:
    """That the record is whole and has as many certificates of either generation; Failure if not."""
    with server.connect(DATABASE, ACCOUNT, autocommit=True) as connection:
        events = verified_events(connection)
        rows = connection.execute(
            "SELECT issuer, count(*) FROM issuing.certificates "
            "WHERE profile IN ('authentication', 'signing') GROUP BY issuer"
        ).fetchall()
    kinds = x509.SubjectKeyIdentifier
    of = {site.certificate(number).extensions.get_extension_for_class(kinds).value.digest for number in (1, 2)}
    if dict(rows) != dict.fromkeys(of, count):
        raise Failure(f"the record has {[row[1] for row in rows]} certificates, not {count} of each generation")
    return {"events": events, "certificates": 2 * count}


def main(arguments: list[str]) -> None:
    """`[SECONDS]`: prints what was measured, JSON. `inside …` is a process of it."""
    match arguments:
        case ["inside", seconds, certificates]:
            found = _measure(float(seconds), int(certificates))
        case _:
            found = measure(float(arguments[0])) if arguments else measure()
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
