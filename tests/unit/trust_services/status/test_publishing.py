"""The authority's host publishes what its record says, and what it publishes reaches the responder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import NameOID
from tests.soft_token import tokens
from tests.unit.trust_services.conftest import OverTls, Place, api_over_tls
from tests.unit.trust_services.issuing.ordering import COUNTRY, ORGANIZATION, SERVICE, authority
from tests.unit.trust_services.issuing.ordering import Memory as InMemory
from tests.unit.trust_services.issuing.test_record import issue

from trust_services import ordering, settings_file
from trust_services.issuing.record import Record
from trust_services.issuing.refusals import Unavailable
from trust_services.signing import SigningKey
from trust_services.status import publishing, revocation_list
from trust_services.status.fetching import Fetched
from trust_services.status.metrics import Counts
from trust_services.status.publishing import Program, PublishSettings, renew_responder
from trust_services.status.responder import Responder
from trust_services.status.settings import Settings
from trust_services.status.shelf import Shelf
from trust_services.status.verification import Authority
from trust_services.token import TokenPlace

NOW = datetime.now(UTC)
BUDGET = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _present(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests may begin long after they were collected: certificates made meanwhile are from later."""
    monkeypatch.setitem(globals(), "NOW", datetime.now(UTC))


class Memory:
    """A token in memory, which keeps its keys when the program starts again."""

    def __init__(self) -> None:
        self.keys: dict[str, SigningKey] = {"issuing": authority().key}
        self.trouble = ""

    def token(self) -> Memory:
        if self.trouble:
            raise Unavailable(self.trouble)
        return self

    def forget(self) -> None:
        """Nothing to close."""

    def key(self, label: str) -> SigningKey | None:
        return self.keys.get(label)

    def generate(self, label: str, kind: str) -> SigningKey:
        assert kind == "ec-p256"
        return self.keys.setdefault(label, ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    made = Memory()
    monkeypatch.setattr(publishing, "HeldToken", lambda *_: made)
    return made


@pytest.fixture
def settings(issuing: OverTls, place: Place, memory: Memory, tmp_path: Path) -> PublishSettings:
    (tmp_path / "state").mkdir()
    (tmp_path / "issuer.pem").write_bytes(authority().certificate.public_bytes(Encoding.PEM))
    return PublishSettings.model_validate(
        {
            "authority": "trust",
            "issuer": {"certificate": str(tmp_path / "issuer.pem")},
            "token": {"library": "none", "label": "trust", "key": "issuing", "pin_file": "/none"},
            "organization": ORGANIZATION,
            "country": COUNTRY,
            "responder": {"name": SERVICE, "key": "ec-p256"},
            "record": {"connection": place.text},
            "folder": str(issuing.folder / "published"),
            "state": str(tmp_path / "state"),
            "order": issuing.document,
            "metrics_file": str(tmp_path / "status.prom"),
        }
    )


@pytest.fixture
def program(settings: PublishSettings) -> Program:
    return Program(settings)


def answers(settings: PublishSettings, now: datetime | None = None) -> dict[int, datetime | None]:
    """What is published, verified as a responder's host does: serial numbers, and when revoked."""
    held = Authority(authority().certificate, BUDGET).answers(
        settings.published("answers").read_bytes(), None, now or NOW
    )
    return {one.answer.serial: one.answer.revoked_at for one in held.by_request.values()}


def listed(settings: PublishSettings) -> x509.CertificateRevocationList:
    content = settings.published("crl").read_bytes()
    Authority(authority().certificate, BUDGET).revocation_list(content, None, NOW + timedelta(days=9999))
    return x509.load_der_x509_crl(content)


def number(settings: PublishSettings) -> int:
    return listed(settings).extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def responder_of(settings: PublishSettings) -> x509.Certificate:
    return x509.load_pem_x509_certificate((settings.state / "responder.pem").read_bytes())


def test_everything_is_published(program: Program, settings: PublishSettings, record: Record) -> None:
    serials = {int(serial, 16) for serial in issue(record, 2)}
    assert not program.round(NOW)

    own = authority().certificate
    assert serials | {responder_of(settings).serial_number} == set(answers(settings))
    assert settings.published("crt").read_bytes() == own.public_bytes(Encoding.DER)
    assert list(listed(settings)) == []
    figures = settings.metrics_file.read_text() if settings.metrics_file else ""
    assert 'trust_status_publisher_answers{authority="trust"} 6' in figures
    assert f'last_success_timestamp_seconds{{authority="trust"}} {NOW.timestamp():.0f}' in figures
    ends = responder_of(settings).not_valid_after_utc.timestamp()
    assert f'responder_not_after_timestamp_seconds{{authority="trust"}} {ends:.0f}' in figures


def test_a_revocation_is_published_at_once(program: Program, settings: PublishSettings, record: Record) -> None:
    (serial,) = issue(record)
    program.round(NOW)
    first = number(settings)
    record.revoke(serial, "officer", "keyCompromise")
    program.round(NOW)

    assert answers(settings)[int(serial, 16)] is not None
    (entry,) = listed(settings)
    assert entry.serial_number == int(serial, 16)
    assert number(settings) > first


def test_without_a_change_nothing_is_written(
    program: Program, settings: PublishSettings, record: Record
) -> None:
    issue(record)
    program.round(NOW)
    program.round(NOW)
    before = {path: path.stat().st_mtime_ns for path in settings.folder.iterdir()}
    for second in range(60):
        program.round(NOW + timedelta(seconds=second))

    assert {path: path.stat().st_mtime_ns for path in settings.folder.iterdir()} == before


def test_answers_and_lists_are_made_anew_in_time(program: Program, settings: PublishSettings) -> None:
    program.round(NOW)
    first = number(settings)
    later = NOW + BUDGET / 3
    program.round(later)
    oldest = Authority(authority().certificate, BUDGET).answers(
        settings.published("answers").read_bytes(), None, later
    )
    assert oldest.oldest_update == later.replace(microsecond=0)
    assert number(settings) == first

    program.round(NOW + timedelta(hours=24))
    assert number(settings) > first


@pytest.mark.parametrize("backwards", [False, True])
def test_list_numbers_grow_whatever_is_lost(
    settings: PublishSettings, record: Record, *, backwards: bool
) -> None:
    """Over restarts, with the last list lost, or with the clock set back."""
    seen = []
    now = NOW
    for serial in issue(record, 3):
        record.revoke(serial, "officer", "superseded")
        program = Program(settings)
        program.round(now)
        seen.append(number(settings))
        if backwards:
            now -= timedelta(seconds=30)
        else:
            settings.published("crl").unlink()
            now += timedelta(seconds=1)

    assert seen == sorted(set(seen))


def test_a_restart_takes_over_what_was_published(settings: PublishSettings, record: Record) -> None:
    issue(record)
    Program(settings).round(NOW)
    before = settings.published("answers").read_bytes(), responder_of(settings), number(settings)
    Program(settings).round(NOW + timedelta(seconds=9))

    assert (settings.published("answers").read_bytes(), responder_of(settings), number(settings)) == before


def test_the_responder_is_renewed_in_time_and_the_former_one_used_until_then(
    program: Program, settings: PublishSettings, issuing: OverTls, memory: Memory
) -> None:
    program.round(NOW)
    first = responder_of(settings)
    late = first.not_valid_after_utc - timedelta(days=100)
    issuing.trouble = 503
    program.round(late)
    assert responder_of(settings) == first
    assert answers(settings, late)
    with pytest.MonkeyPatch.context() as patched:
        # The authority's clock isn't the test's.
        patched.setattr(ordering, "due", lambda certificate, *_: certificate == first)
        issuing.trouble = 0
        program.round(late + timedelta(seconds=5))

    assert responder_of(settings) != first
    assert responder_of(settings).public_key() == first.public_key()
    assert set(memory.keys) == {"issuing", "status-responder-1"}


@pytest.mark.parametrize("killed", ["", "before it was ordered", "before it was kept", "after it was kept"])
def test_the_responders_key_is_changed(
    settings: PublishSettings, memory: Memory, monkeypatch: pytest.MonkeyPatch, killed: str
) -> None:
    """Once; also when the program ended in the middle."""
    program = Program(settings)
    program.round(NOW)
    first = responder_of(settings)
    renew_responder(settings)
    renew_responder(settings)
    with monkeypatch.context() as patched:
        if killed == "before it was ordered":
            patched.setattr(ordering, "order", _die)
        elif killed == "before it was kept":
            real = publishing.files.write
            patched.setattr(
                publishing.files,
                "write",
                lambda path, *rest: _die() if path.name == "responder.pem" else real(path, *rest),
            )
        elif killed:
            patched.setattr(Path, "unlink", _die)
        if killed:
            with pytest.raises(KeyboardInterrupt):
                program.round(NOW)
    Program(settings).round(NOW)
    Program(settings).round(NOW)

    assert responder_of(settings).public_key() != first.public_key()
    assert set(memory.keys) == {"issuing", "status-responder-1", "status-responder-2"}
    assert not settings.renewal.exists()
    assert answers(settings)


def _die(*_: Any, **__: Any) -> Any:
    # What `except Exception` doesn't catch, as a kill.
    raise KeyboardInterrupt


def test_trouble_is_told_once_and_nothing_is_lost(
    program: Program,
    settings: PublishSettings,
    record: Record,
    memory: Memory,
    place: Place,
    issuing: OverTls,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (serial,) = issue(record)
    program.round(NOW)
    before = settings.published("answers").read_bytes()
    memory.trouble = "the token is locked"
    for _ in range(3):
        program.round(NOW)
    memory.trouble = ""
    program.round(NOW)
    record.revoke(serial, "officer", "keyCompromise")
    place.server.stop()
    try:
        for _ in range(3):
            program.round(NOW)
        assert settings.published("answers").read_bytes() == before
    finally:
        place.server.start()
    program.round(NOW)

    assert answers(settings)[int(serial, 16)] is not None
    told = capsys.readouterr().err.splitlines()
    assert sum("the token is locked" in line for line in told) == 1
    assert sum("the token: well again" in line for line in told) == 1
    assert 1 <= sum("the record:" in line and "stays" in line for line in told) <= 2
    assert sum("the record: well again" in line for line in told) == 1


def test_without_the_api_at_first_nothing_is_signed_but_the_list(
    program: Program, settings: PublishSettings, issuing: OverTls
) -> None:
    issuing.trouble = 503
    program.round(NOW)
    assert not settings.published("answers").exists()
    assert listed(settings) is not None
    issuing.trouble = 0
    program.round(NOW)
    assert not settings.published("answers").exists(), "orders aren't hurried"
    program.round(NOW + timedelta(seconds=5))
    assert settings.published("answers").exists()


def test_the_record_is_only_read(program: Program, place: Place) -> None:
    program.round(NOW)
    assert program._connection is not None
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        program._connection.execute("SELECT issuing.hold_chain()")


def test_a_certificate_that_is_due_at_once_isnt_ordered_again_and_again(
    program: Program, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    """As when the authority's lifetimes are a mistake."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ordering, "due", lambda *_: True)
        for second in range(60):
            program.round(NOW + timedelta(seconds=second))

    assert place.rows("SELECT count(*) FROM issuing.certificates") == [(4,)]
    assert capsys.readouterr().err.count("due for renewal already") == 1


def test_what_has_ended_isnt_told_about(program: Program, settings: PublishSettings, record: Record) -> None:
    (serial,) = issue(record)
    record.revoke(serial, "officer", "keyCompromise")
    program.round(NOW)
    assert [entry.serial_number for entry in listed(settings)] == [int(serial, 16)]
    program.round(NOW + timedelta(days=365 * 11))

    assert list(listed(settings)) == []


def test_a_revocation_reaches_those_who_ask(
    program: Program, settings: PublishSettings, record: Record, issuing: OverTls, tmp_path: Path
) -> None:
    """Published, served by the API over TLS, fetched, and answered; what didn't change isn't sent again."""
    (serial,) = issue(record)
    folder = tmp_path / "responder"
    folder.mkdir()
    program.round(NOW)
    shelf = Shelf(
        Settings.model_validate(
            {
                "listen": {"port": 1},
                "folder": str(folder),
                "authorities": [{"name": "trust", "certificate": str(tmp_path / "issuer.pem")}],
                "source": {"url": f"{issuing.document['url']}/status", "ca": issuing.document["ca"]},
            }
        )
    )
    source = Settings.model_validate(
        {
            "listen": {"port": 1},
            "folder": str(folder),
            "authorities": [{"name": "trust", "certificate": str(tmp_path / "issuer.pem")}],
            "source": {"url": f"{issuing.document['url']}/status", "ca": issuing.document["ca"]},
        }
    ).source
    assert source is not None
    files: list[Fetched[Any]] = [
        Fetched(source, watched)
        for watched in (shelf.publications["trust"], shelf.lists["trust"], shelf.certificates["trust"])
    ]
    responder = Responder(shelf, Counts())
    builder = ocsp.OCSPRequestBuilder()
    name, key = (Authority(authority().certificate, BUDGET)._hashes["sha1"][place] for place in range(2))
    request = (
        builder.add_certificate_by_hash(name, key, int(serial, 16), hashes.SHA1())  # noqa: S303
        .build()
        .public_bytes(Encoding.DER)
    )

    def status() -> ocsp.OCSPCertStatus:
        shelf.look()
        return ocsp.load_der_ocsp_response(responder.post(request, NOW.timestamp()).body).certificate_status

    assert [file.fetch() for file in files] == [True, True, True]
    assert [file.fetch() for file in files] == [False, False, False]
    assert status() is ocsp.OCSPCertStatus.GOOD
    record.revoke(serial, "officer", "keyCompromise")
    program.round(NOW)
    assert [file.fetch() for file in files] == [True, True, False]
    assert status() is ocsp.OCSPCertStatus.REVOKED

    page = responder.get("/ca/trust.crt", None, NOW.timestamp())
    assert dict(page.headers)["content-type"] == "application/pkix-cert"
    assert x509.load_der_x509_certificate(page.body) == authority().certificate
    assert responder.get("/ca/other.crt", None, NOW.timestamp()).status == 404
    assert responder.get("/ca/trust", None, NOW.timestamp()).status == 404
    statuses = [status for method, path, status in issuing.seen if path.startswith("/status/")]
    assert statuses == [200, 200, 200, 304, 304, 304, 200, 200, 304]


def test_it_goes_on_until_told_to_stop(
    program: Program, settings: PublishSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = threading.Event()
    rounds: list[datetime] = []

    def counted(now: datetime) -> bool:
        rounds.append(now)
        if len(rounds) == 3:
            stop.set()
        return True

    monkeypatch.setattr(program, "round", counted)
    program.keep(stop)
    assert len(rounds) == 3


def test_the_program_with_its_keys_in_a_token(
    place: Place, record: Record, issuing_folder: Path, tmp_path: Path
) -> None:
    """As a process: it publishes, sees a revocation, changes its key when asked to, and ends when told."""
    with tokens(tmp_path / "softhsm") as library:
        where = TokenPlace(library, "trust")
        where.initialize("87654321", "123456")
        (tmp_path / "pin").write_text("123456\n")
        (tmp_path / "state").mkdir()
        with where.open("123456") as opened:
            key = opened.generate("issuing", "ec-p256")
            own = authority(key=key)
            (tmp_path / "issuer.pem").write_bytes(own.certificate.public_bytes(Encoding.PEM))
            with api_over_tls(place, own, InMemory(key), issuing_folder) as api:
                config = tmp_path / "status.json"
                config.write_text(
                    json.dumps(
                        {
                            "authority": "trust",
                            "issuer": {"certificate": str(tmp_path / "issuer.pem")},
                            "token": {
                                "library": library,
                                "label": "trust",
                                "key": "issuing",
                                "pin_file": str(tmp_path / "pin"),
                            },
                            "organization": ORGANIZATION,
                            "country": COUNTRY,
                            "responder": {"name": SERVICE, "key": "ec-p256"},
                            "record": {"connection": place.text},
                            "folder": str(issuing_folder / "published"),
                            "state": str(tmp_path / "state"),
                            "interval_seconds": 0.1,
                            "order": api.document,
                        }
                    )
                )
                (serial,) = issue(record, issuer=own)
                _exercise(config, own.certificate, record, serial)


def _exercise(config: Path, issuer: x509.Certificate, record: Record, serial: str) -> None:
    command = [sys.executable, "-m", "trust_services.status"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with (config.parent / "log").open("w") as log:
        process = subprocess.Popen([*command, "publish", "--config", str(config)], env=environment, stderr=log)
    settings = settings_file.read(config, PublishSettings)
    path = settings.published("answers")

    def wait_for(reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not reached():
            assert time.monotonic() < deadline, (config.parent / "log").read_text()
            assert process.poll() is None, (config.parent / "log").read_text()
            time.sleep(0.05)

    def answer() -> Any:
        held = Authority(issuer, BUDGET).answers(path.read_bytes(), None, datetime.now(UTC))
        found = [one.answer for one in held.by_request.values() if one.answer.serial == int(serial, 16)]
        return found[0] if found else None

    try:
        wait_for(lambda: path.exists() and answer() is not None)
        first = responder_of(settings)
        record.revoke(serial, "officer", "keyCompromise")
        wait_for(lambda: answer().revoked_at is not None)
        done = subprocess.run(
            [*command, "renew-responder", "--config", str(config)], env=environment, check=True
        )
        assert done.returncode == 0
        wait_for(lambda: not settings.renewal.exists() and responder_of(settings) != first)
        assert responder_of(settings).public_key() != first.public_key()
        wait_for(lambda: responder_of(settings).public_bytes(Encoding.DER) in answer().der)
    finally:
        process.terminate()
        status = process.wait(30)
    assert status == 0
    assert "123456" not in (config.parent / "log").read_text()


def test_a_folder_that_isnt_there_is_named(settings: PublishSettings) -> None:
    with pytest.raises(Exception, match="nowhere"):
        Program(settings.model_copy(update={"folder": Path("/nowhere")}))


def carried(folder: Path, key: SigningKey, name: str = "Root", number: int = 1) -> None:
    """What the root's ceremony leaves: a certificate and a list."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = x509.CertificateBuilder(subject, subject, key.public_key(), 1, NOW, NOW + timedelta(days=9))
    ca = x509.BasicConstraints(ca=True, path_length=None)
    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        made.add_extension(ca, critical=True).add_extension(own, critical=False).sign(key, hashes.SHA256())
    )
    crl = revocation_list.sign(
        certificate, key, [], number=number, this_update=NOW, next_update=NOW + timedelta(days=9)
    )
    (folder / "root.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "root.crl").write_bytes(crl.public_bytes(Encoding.PEM))


def test_what_the_ceremony_issued_is_published_as_it_is(settings: PublishSettings, tmp_path: Path) -> None:
    """Again when it changes; not while list and certificate don't belong together."""
    key = ec.generate_private_key(ec.SECP256R1())
    place = {"certificate": tmp_path / "root.crt", "crl": tmp_path / "root.crl"}
    told = settings.model_dump(mode="json") | {"carried": {"root": {k: str(v) for k, v in place.items()}}}
    program = Program(PublishSettings.model_validate(told))
    program.round(NOW)
    assert not (settings.folder / "root.crl").exists()

    carried(tmp_path, key)
    program.round(NOW)
    first = (settings.folder / "root.crl").read_bytes()
    assert x509.load_der_x509_crl(first).is_signature_valid(key.public_key())
    assert x509.load_der_x509_certificate((settings.folder / "root.crt").read_bytes()).public_key() == (
        key.public_key()
    )

    carried(tmp_path, key, number=2)
    program.round(NOW)
    second = (settings.folder / "root.crl").read_bytes()
    assert second != first

    foreign = tmp_path / "foreign"
    foreign.mkdir()
    carried(foreign, ec.generate_private_key(ec.SECP256R1()))
    (tmp_path / "root.crl").write_bytes((foreign / "root.crl").read_bytes())
    program.round(NOW)
    assert (settings.folder / "root.crl").read_bytes() == second


def test_a_password_that_is_not_there_is_told_and_waited_for(
    settings: PublishSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its file's name."""
    told = settings.model_dump(mode="json")
    told["record"]["password_file"] = str(tmp_path / "password")
    program = Program(PublishSettings.model_validate(told))
    program.round(NOW)
    assert str(tmp_path / "password") in "".join(capsys.readouterr())

    (tmp_path / "password").write_text("a-password\n", encoding="utf-8")
    program.round(NOW)
    assert settings.published("answers").exists()


def successor() -> tuple[x509.Certificate, SigningKey]:
    """An authority that follows the one of the other tests."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Successor")])
    made = x509.CertificateBuilder(subject, subject, key.public_key(), 2, NOW, NOW + timedelta(days=9))
    ca = x509.BasicConstraints(ca=True, path_length=None)
    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    made = made.add_extension(ca, critical=True).add_extension(own, critical=False)
    return made.sign(key, hashes.SHA256()), key


def test_a_former_authority_is_told_about_until_all_that_it_issued_has_ended(
    settings: PublishSettings, memory: Memory, record: Record, tmp_path: Path
) -> None:
    """It signs for itself; its certificates are in no file of its successor, which has issued none yet."""
    first, second = issue(record, 2)
    record.revoke(second, "officer", "superseded")
    certificate, key = successor()
    memory.keys |= {"former": memory.keys["issuing"], "issuing": key}
    (tmp_path / "former.pem").write_bytes((tmp_path / "issuer.pem").read_bytes())
    (tmp_path / "issuer.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    former = {"name": "trust-1", "certificate": str(tmp_path / "former.pem"), "key": "former"}
    told = settings.model_dump(mode="json") | {"authority": "trust-2", "former": [former]}
    changed = PublishSettings.model_validate(told)

    Program(changed).round(NOW)

    held = Authority(authority().certificate, BUDGET)
    found = held.answers((settings.folder / "trust-1.answers").read_bytes(), None, NOW)
    states = {one.answer.serial: one.answer.revoked_at for one in found.by_request.values()}
    assert states[int(first, 16)] is None
    assert states[int(second, 16)] is not None
    held.revocation_list((settings.folder / "trust-1.crl").read_bytes(), None, NOW + timedelta(minutes=1))
    mine = x509.load_der_x509_crl((settings.folder / "trust-2.crl").read_bytes())
    assert mine.is_signature_valid(key.public_key())
    assert list(mine) == []
    assert (settings.folder / "trust-1.crt").read_bytes() == authority().certificate.public_bytes(Encoding.DER)
