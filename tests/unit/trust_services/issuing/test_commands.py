"""The command line, and a service with its key in a SoftHSM token behind its server."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from tests.soft_token import tokens
from tests.unit.trust_services.conftest import ACCOUNT, DATABASE, OWNER, Place
from tests.unit.trust_services.issuing import test_configuration
from tests.unit.trust_services.issuing.ordering import NAME, SERVER, authority, content, order

from trust_services.issuing.__main__ import main
from trust_services.issuing.record import Record, State
from trust_services.issuing.refusals import Unavailable
from trust_services.issuing.signing import TokenKey
from trust_services.token import TokenPlace

PIN, OFFICERS_PIN = "123456", "87654321"


@pytest.fixture
def data(tmp_path: Path, server: Any) -> dict[str, Any]:
    """A configuration for the throw-away server."""
    found = test_configuration.content(tmp_path)
    text = f"host={server.folder} dbname={DATABASE}"
    found["database"] = {
        "connection": f"{text} user={ACCOUNT}",
        "owner_connection": f"{text} user={OWNER}",
        "account": ACCOUNT,
    }
    return found


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    """A command, and what it prints for programs."""
    status = main([*arguments, "--json"])
    return status, json.loads(capsys.readouterr().out)


def waiting(place: Place) -> str:
    """An order that waits."""
    from tests.unit.trust_services.issuing.test_record import placing

    with place.connect() as connection:
        (placed,) = Record(connection).place([placing(order(), automatic=False)])
    return str(placed.order)


def test_migrate(bare: Place, tmp_path: Path, data: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """Twice; the second time nothing is left to do."""
    config = str(test_configuration.written(tmp_path, data))

    assert run(capsys, "migrate", "--config", config) == (0, {"applied": [1], "changed": True})
    assert run(capsys, "migrate", "--config", config) == (0, {"applied": [], "changed": False})


def test_only_the_owner_migrates(
    tmp_path: Path, data: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """The service's configuration doesn't say how the owner connects."""
    del data["database"]["owner_connection"]
    status, told = run(capsys, "migrate", "--config", str(test_configuration.written(tmp_path, data)))

    assert status == 1
    assert "owner_connection" in told["error"]


def test_a_database_that_only_its_owner_may_enter(
    bare: Place, tmp_path: Path, server: Any, data: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """The owner lets the service's account in."""
    with server.connect(DATABASE, OWNER, autocommit=True) as owner:
        owner.execute(f"REVOKE ALL ON DATABASE {DATABASE} FROM PUBLIC")
    config = ["--config", str(test_configuration.written(tmp_path, data))]

    assert run(capsys, "orders", *config)[0] == 1
    assert run(capsys, "migrate", *config)[0] == 0
    assert run(capsys, "orders", *config) == (0, {"orders": []})


@pytest.mark.parametrize(("key", "command"), [("password_file", "orders"), ("owner_password_file", "migrate")])
def test_a_password_is_read_from_its_file(
    bare: Place,
    tmp_path: Path,
    data: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    key: str,
    command: str,
) -> None:
    """One that can't be read is told by its file's name; what it holds is told by nobody."""
    place = tmp_path / "password"
    data["database"][key] = str(place)
    config = ["--config", str(test_configuration.written(tmp_path, data))]
    assert run(capsys, "migrate", *config)[0] == (1 if command == "migrate" else 0)

    status, told = run(capsys, command, *config)
    assert status == 1
    assert str(place) in told["error"]

    place.write_text("a-password\n", encoding="utf-8")
    assert run(capsys, command, *config)[0] == 0


def test_orders_are_listed_and_decided(
    place: Place, tmp_path: Path, data: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """By who is at the console."""
    config = ["--config", str(test_configuration.written(tmp_path, data))]
    first, second = waiting(place), waiting(place)
    status, listed = run(capsys, "orders", *config, "--state", "waiting")
    assert status == 0
    assert [item["id"] for item in listed["orders"]] == [first, second]
    assert main(["orders", *config]) == 0
    assert NAME in capsys.readouterr().out

    assert run(capsys, "approve", *config, first)[0] == 0
    assert run(capsys, "refuse", *config, second, "--reason", "not a member")[0] == 0
    assert run(capsys, "approve", *config, second)[0] == 1
    with place.connect() as connection:
        assert {str(entry.id): entry.state for entry in Record(connection).orders()} == {
            first: State.APPROVED,
            second: State.REFUSED,
        }
    actors = place.rows("SELECT actor FROM issuing.events WHERE kind IN ('approved', 'refused')")
    assert [actor.partition(":")[0] for (actor,) in actors] == ["console", "console"]


def test_a_certificate_is_revoked(
    place: Place, record: Record, tmp_path: Path, data: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """By its serial number."""
    from tests.unit.trust_services.issuing.test_record import issue

    config = ["--config", str(test_configuration.written(tmp_path, data))]
    (serial,) = issue(record)
    status, told = run(capsys, "revoke", *config, serial.upper(), "--reason", "keyCompromise")

    assert (status, told["reason"]) == (0, "keyCompromise")
    assert record.revocation(serial) is not None
    assert run(capsys, "revoke", *config, "aa", "--reason", "keyCompromise")[0] == 1
    with pytest.raises(SystemExit):
        main(["revoke", *config, serial, "--reason", "boredom"])


def test_the_record_is_verified(
    place: Place, record: Record, tmp_path: Path, data: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """The end is told; what was changed is named, and the status says so."""
    from tests.unit.trust_services.issuing.test_record import issue

    config = ["--config", str(test_configuration.written(tmp_path, data))]
    issue(record)
    status, told = run(capsys, "verify-record", *config)
    assert (status, told["events"]) == (0, 4)
    assert run(capsys, "verify-record", *config, "--head", told["head"])[0] == 0
    assert run(capsys, "verify-record", *config, "--head", f"4:{'0' * 64}")[0] == 1
    with pytest.raises(SystemExit):
        main(["verify-record", *config, "--head", "nonsense"])
    with place.superuser() as connection:
        connection.execute("ALTER TABLE issuing.events DISABLE TRIGGER ALL")
        connection.execute("UPDATE issuing.events SET actor = 'x' WHERE sequence = 2")
    assert main(["verify-record", *config]) == 1
    assert "event 2: was changed" in capsys.readouterr().err


def test_without_a_database(tmp_path: Path, data: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """A sentence rather than a trace."""
    data["database"]["connection"] = f"host={tmp_path} dbname=nothing"
    status, told = run(capsys, "orders", "--config", str(test_configuration.written(tmp_path, data)))

    assert status == 1
    assert "record" in told["error"]


# A token.


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenPlace]:
    """A SoftHSM token with an RSA key 'issuing'; whoever runs with this environment finds it."""
    with tokens(tmp_path_factory.mktemp("softhsm")) as library:
        found = TokenPlace(library, "trust-services")
        found.initialize(OFFICERS_PIN, PIN)
        with found.open(PIN) as opened:
            opened.generate("issuing", "rsa-3072")
        yield found


def test_a_key_in_a_token(token: TokenPlace, tmp_path: Path) -> None:
    """Is found, and found again after it was forgotten."""
    pin = tmp_path / "pin"
    pin.write_text(PIN + "\n")
    holder = TokenKey(token, "issuing", pin)
    first = holder.key()
    holder.forget()

    assert holder.key().public_key() == first.public_key()
    # A process gives a token its PIN once at a time.
    holder.forget()
    with pytest.raises(Unavailable, match="no key 'other'"):
        TokenKey(token, "other", pin).key()


def test_a_wrong_pin_is_offered_once(token: TokenPlace, tmp_path: Path) -> None:
    """A token locks itself after a few; the right one is offered when it is there."""
    pin = tmp_path / "pin"
    holder = TokenKey(token, "issuing", pin)
    with pytest.raises(Unavailable, match="can't be read"):
        holder.key()
    pin.write_text("000000")
    with pytest.raises(Unavailable, match="refuses the PIN"):
        holder.key()
    for _ in range(5):
        with pytest.raises(Unavailable, match="refused this PIN"):
            holder.key()
    pin.write_text(PIN)
    assert holder.key().key_size == 3072
    holder.forget()


def test_a_token_that_isnt_there(token: TokenPlace, tmp_path: Path) -> None:
    """Says so."""
    (tmp_path / "pin").write_text(PIN)
    with pytest.raises(Unavailable, match="no token 'another'"):
        TokenKey(TokenPlace(token.library, "another"), "issuing", tmp_path / "pin").key()
    with pytest.raises(Unavailable, match="can't be used"):
        TokenKey(TokenPlace("/nowhere.so", "another"), "issuing", tmp_path / "pin").key()


def test_a_token_that_comes_later(token: TokenPlace, tmp_path: Path) -> None:
    """Is found once it is there, by a process that has looked for it before."""
    (tmp_path / "pin").write_text(PIN)
    holder = TokenKey(TokenPlace(token.library, "later"), "issuing", tmp_path / "pin")
    with pytest.raises(Unavailable, match="no token 'later'"):
        holder.key()
    made = subprocess.run(
        [sys.executable, "-c", LATER, token.library, OFFICERS_PIN, PIN],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    with pytest.raises(Unavailable, match="no key 'issuing'"):
        holder.key()


LATER = """
import sys
from trust_services.token import TokenPlace
library, *pins = sys.argv[1:]
TokenPlace(library, "later").initialize(*pins)
"""


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def test_served_from_a_token(place: Place, token: TokenPlace, tmp_path: Path, data: dict[str, Any]) -> None:
    """Two processes, one token, one record: an order over HTTP has its certificate, and a stop is clean."""
    (tmp_path / "pin").write_text(PIN)
    with token.open(PIN) as opened:
        key = opened.key("issuing")
        assert key is not None
        own = authority(key=key)
        (tmp_path / "issuer.pem").write_bytes(own.certificate.public_bytes(Encoding.PEM))
    data["token"] |= {"library": token.library, "label": token.label}
    data["listen"] = {"port": _free_port(), "workers": 2}
    data["clients"][0]["token_sha256"] = hashlib.sha256(b"the token of a test").hexdigest()
    config = test_configuration.written(tmp_path, data)
    with (tmp_path / "output").open("w") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "trust_services.issuing", "serve", "--config", str(config)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=output,
            stderr=output,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{data['listen']['port']}", timeout=30) as client:
            deadline = time.monotonic() + 60
            while True:
                try:
                    if client.get("/health").status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                assert time.monotonic() < deadline, (tmp_path / "output").read_text()
                assert server.poll() is None, (tmp_path / "output").read_text()
                time.sleep(0.2)
            headers = {"Authorization": "Bearer the token of a test"}
            answer = client.post("/orders", json=content("authentication"), headers=headers)
            refused = client.post("/orders", json=content(csr="nonsense"), headers=headers)
    finally:
        server.terminate()
        status = server.wait(30)

    assert answer.status_code == 201, answer.text
    made = x509.load_pem_x509_certificate(answer.json()["certificate"].encode())
    made.verify_directly_issued_by(own.certificate)
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.DNSName(SERVER)]
    assert status == 0
    assert refused.status_code == 422
    told = (tmp_path / "output").read_text()
    assert any(json.loads(line)["event"] == "refused" for line in told.splitlines() if line.startswith("{"))
    assert PIN not in told
    assert "the token of a test" not in told
