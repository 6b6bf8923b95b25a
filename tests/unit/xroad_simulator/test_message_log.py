"""The message log without a federation: limits, stamps, archives, retention, and what a kill leaves."""

from __future__ import annotations

import asyncio
import hashlib
import io
import re
import sqlite3
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.unit.operate.messages.conftest import CLIENT, SERVICE, Authorities, request, response

from operate.messages import container, verification
from operate.messages.trust import Anchors
from xroad_simulator.identifiers import ClientId
from xroad_simulator.listeners import TlsFiles
from xroad_simulator.message_log_settings import Grouping, MessageLogSettings
from xroad_simulator.security import containers, message_archive, time_stamping
from xroad_simulator.security.message import Envelope, MessageError, Request
from xroad_simulator.security.message_log import MessageLog, Side
from xroad_simulator.security.server import SecurityServer
from xroad_simulator.settings import Ini, SecuritySettings
from xroad_simulator.time_stamps import TimeStamp, TimeStampError


@pytest.fixture(scope="module")
def authorities() -> Authorities:
    return Authorities()


def opened(folder: Path, **settings: object) -> tuple[SecurityServer, MessageLog]:
    """A server's log in a folder, with settings."""
    chosen = MessageLogSettings.model_validate({"archive_path": folder / "archive", **settings})
    (folder / "archive").mkdir(exist_ok=True)
    read = SecuritySettings(state=folder, tls=folder, message_log=chosen)
    server = SecurityServer(read, TlsFiles(folder, "internal", ["security.example.test"]))
    return server, MessageLog(server)


def write(log: MessageLog, authorities: Authorities, asked: Request, side: Side = Side.PROVIDER) -> int:
    """Log a signed request."""
    parts = [asked.head(), asked.body] if asked.body else [asked.head()]
    signature = authorities.sign(parts, authorities.members["DIGITAL"])
    number, _ = log.write(side, asked, None, Envelope("", asked.head(), asked.body, signature))
    return number


def stamp(log: MessageLog, authorities: Authorities) -> int:
    """Stamp what waits; how many records that were."""
    batch = log.unstamped()
    if batch is None:
        return 0
    log.stamped(batch, "http://tsa", TimeStamp(datetime.now(UTC), authorities.token(batch.content)))
    return len(batch.numbers)


def verified(content: bytes, authorities: Authorities) -> bool:
    """What the other implementation says."""
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        held = container.Container("x", {name: file.read(name) for name in file.namelist()})
    return verification.verify(held, Anchors((authorities.root,))).valid


def ids(log: MessageLog) -> list[str]:
    return [log.entry(number).message_id for _, number in log.to_archive(1000)]


def test_records_belong_to_the_own_client(tmp_path: Path, authorities: Authorities) -> None:
    """On each side to another; found by the message's id, one by one."""
    _, log = opened(tmp_path)
    write(log, authorities, request(message_id="a"), Side.CONSUMER)
    write(log, authorities, request(message_id="a"))
    write(log, authorities, request(message_id="b"))

    assert [entry.belongs_to for entry in log.entries("a")] == [str(CLIENT), str(SERVICE.client)]
    assert len(log.entries("a", CLIENT)) == 1
    assert log.entries("a", CLIENT, is_response=True) == []
    with sqlite3.connect(tmp_path / "security.db") as database:
        plan = database.execute(
            "EXPLAIN QUERY PLAN SELECT * FROM message_record WHERE message_id = 'a' AND belongs_to = 'b'"
        ).fetchall()
    assert "USING INDEX message_record_id" in str(plan)


def test_large_bodies(tmp_path: Path, authorities: Authorities) -> None:
    """Refused, unless they may be cut; a cut one proves nothing any more."""
    _, log = opened(tmp_path, largest_body=4)
    write(log, authorities, request(b"four"))
    for side, place in ((Side.PROVIDER, "ServerProxy"), (Side.CONSUMER, "ClientProxy")):
        with pytest.raises(MessageError, match="exceeds maximum") as caught:
            write(log, authorities, request(b"fifth"), side)
        assert caught.value.type == f"Server.{place}.LoggingFailed"
    _, cutting = opened(tmp_path, largest_body=4, cuts_bodies=True)
    write(cutting, authorities, request(b"fifth", message_id="cut"))
    stamp(cutting, authorities)
    (cut,) = cutting.entries("cut")
    assert cut.body == b"fift"
    assert not verified(containers.container(cut), authorities)


@pytest.mark.parametrize(
    ("settings", "side", "is_logged"),
    [
        ({}, Side.PROVIDER, True),
        ({"logs_bodies": False}, Side.PROVIDER, False),
        ({"local_exceptions": {SERVICE.client}}, Side.PROVIDER, False),
        ({"local_exceptions": {SERVICE.client}}, Side.CONSUMER, True),
        ({"remote_exceptions": {SERVICE.client}}, Side.CONSUMER, False),
        ({"logs_bodies": False, "local_exceptions": {SERVICE.client}}, Side.PROVIDER, True),
        ({"local_exceptions": {CLIENT}}, Side.PROVIDER, True),
        ({"largest_body": 0}, Side.PROVIDER, None),
    ],
)
def test_whose_bodies_are_logged(
    tmp_path: Path,
    authorities: Authorities,
    settings: dict[str, object],
    side: Side,
    is_logged: bool | None,
) -> None:
    """By the provider; without its body a message keeps only X-Road's own headers and no path."""
    _, log = opened(tmp_path, **settings)
    asked = request(b"secret", path="/people/1")
    write(log, authorities, asked, side)
    answered = response(asked)
    signature = authorities.sign([answered.head(), answered.body], authorities.members["CIVIL"])
    log.write(side, asked, answered, Envelope("", answered.head(), answered.body, signature))
    first, second = log.entries("message-1")

    assert (first.body is not None) == (is_logged is True)
    if is_logged is False:
        assert first.message.split("\r\n")[:2] == ["POST", "/r1/TEST/GOV/CIVIL/REGISTRY/birth-records"]
        assert "Accept" not in first.message
        assert "X-Road-UserId:BJ123" in first.message
        assert second.message.startswith("200\r\nOK\r\n")
        assert "Content-Type" not in second.message
    else:
        assert first.message == asked.head().decode()


def test_every_record_gets_one_stamp(tmp_path: Path, authorities: Authorities) -> None:
    """Batches of the set size; one alone carries it inside. A second stamp of the same changes nothing."""
    server, log = opened(tmp_path, batch_size=3)
    for number in range(7):
        write(log, authorities, request(message_id=f"m{number}"))
    again = log.unstamped()
    assert again is not None
    assert [stamp(log, authorities) for _ in range(4)] == [3, 3, 1, 0]
    before = log.entries("m0")
    log.stamped(again, "http://tsa", TimeStamp(datetime.now(UTC), authorities.token(again.content)))
    assert log.entries("m0") == before
    for number in range(7):
        (entry,) = log.entries(f"m{number}")
        assert (entry.stamp_result is None) == (number == 6)
        assert verified(containers.container(entry), authorities)
    with server.store.transaction() as connection:
        assert connection.execute("SELECT count(DISTINCT stamp) FROM message_record").fetchone() == (3,)


def test_a_stamp_at_once(tmp_path: Path, authorities: Authorities, monkeypatch: pytest.MonkeyPatch) -> None:
    """`timestamp-immediately`: a message without a stamp doesn't go on."""
    server, log = opened(tmp_path, stamps_at_once=True)
    asked = request()
    signature = authorities.sign([asked.head()], authorities.members["DIGITAL"])
    envelope = Envelope("", asked.head(), b"", signature)

    class Configuration:
        timestamping_services = ("one",)

    def ask(_server: object, kept: MessageLog, batch: object, _parameters: object) -> None:
        assert batch.numbers == (1,)  # type: ignore[attr-defined]
        made = TimeStamp(datetime.now(UTC), authorities.token(batch.content))  # type: ignore[attr-defined]
        kept.stamped(batch, "http://tsa", made)  # type: ignore[arg-type]

    monkeypatch.setattr(server, "configuration", Configuration)
    monkeypatch.setattr(time_stamping, "_stamp", ask)
    asyncio.run(time_stamping.log_message(server, log, Side.PROVIDER, asked, envelope))
    (entry,) = log.entries("message-1")
    assert verified(containers.container(entry), authorities)

    def fail(*_: object) -> None:
        raise TimeStampError("away")

    monkeypatch.setattr(time_stamping, "_stamp", fail)
    with pytest.raises(MessageError) as caught:
        asyncio.run(time_stamping.log_message(server, log, Side.CONSUMER, asked, envelope))
    assert caught.value.type == "Server.ClientProxy.LoggingFailed.TimestamperFailed"


def test_archives_are_linked(tmp_path: Path, authorities: Authorities) -> None:
    """Every record once, in files of the set size; each begins with the last digest of the one before."""
    server, log = opened(tmp_path, archive_size=6_000)
    for number in range(4):
        write(log, authorities, request(b"x" * 100, message_id=f"m{number}"))
    stamp(log, authorities)
    write(log, authorities, request(message_id="waits"))
    settings = server.settings.message_log
    made = message_archive.archive(settings, log)
    assert len(made) > 1
    assert message_archive.archive(settings, log) == []

    stamp(log, authorities)
    made += message_archive.archive(settings, log)
    previous, names = "-", []
    for path in made:
        read = container.read(path)
        verdicts, links = verification.verify_all(read, Anchors((authorities.root,)))
        assert links is not None
        assert links.passed, links.text
        assert all(verdict.valid for verdict in verdicts)
        first, *lines = (read.linking or "").splitlines()
        assert first.split(" ")[0] == previous
        previous = lines[-1].split(" ")[0]
        assert f"-{previous[:16]}.zip" in path.name
        names += [verdict.message.message_id for verdict in verdicts if verdict.message]
    assert sorted(names) == ["m0", "m1", "m2", "m3", "waits"]


def test_a_changed_archive(tmp_path: Path, authorities: Authorities) -> None:
    """A container left out, or put in another's place."""
    server, log = opened(tmp_path)
    for number in range(3):
        write(log, authorities, request(message_id=f"m{number}"))
    stamp(log, authorities)
    (path,) = message_archive.archive(server.settings.message_log, log)
    read = container.read(path)
    contents = dict(read.contents)
    names = list(contents)
    contents[names[0]], contents[names[1]] = contents[names[1]], contents[names[0]]
    for wrong in (contents, {name: read.contents[name] for name in names[1:]}):
        changed = container.Documents(read.containers, wrong, read.linking)
        links = verification.verify_all(changed, Anchors((authorities.root,)))[1]
        assert links is not None
        assert links.passed is False


@pytest.mark.parametrize(
    ("grouping", "files"),
    [(Grouping.NONE, 1), (Grouping.MEMBER, 2), (Grouping.SUBSYSTEM, 3)],
)
def test_archives_by_client(tmp_path: Path, authorities: Authorities, grouping: Grouping, files: int) -> None:
    """Every group has a chain and a name of its own."""
    server, log = opened(tmp_path, archive_grouping=grouping)
    for client in (CLIENT, ClientId("TEST", "GOV", "DIGITAL", "OTHER"), SERVICE.client):
        write(log, authorities, request(client=client), Side.CONSUMER)
    stamp(log, authorities)
    made = message_archive.archive(server.settings.message_log, log)
    assert len(made) == files
    if grouping is Grouping.SUBSYSTEM:
        assert any(path.name.startswith("mlog-TEST_GOV_DIGITAL_PORTAL-") for path in made)
    assert len(log.last_archives()) == files


def test_a_kill_while_archiving(
    tmp_path: Path, authorities: Authorities, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the records are marked, or after it and before the file has its name: nothing is lost or twice."""
    server, log = opened(tmp_path)
    settings = server.settings.message_log
    for number in range(3):
        write(log, authorities, request(message_id=f"m{number}"))
    stamp(log, authorities)

    class Killed(BaseException):
        """Ends the work as a kill does."""

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(MessageLog, "archived", die)
        with pytest.raises(Killed):
            message_archive.archive(settings, log)
    assert [path.name[:9] for path in settings.archive_path.iterdir()] == ["tmp-mlog-"]
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", die)
        with pytest.raises(Killed):
            message_archive.archive(settings, log)
    assert ids(log) == []
    assert message_archive.archive(settings, log) == []
    (path,) = settings.archive_path.iterdir()
    assert path.name.startswith("mlog-")
    assert [item.name[:2] for item in container.read(path).containers] == ["m0", "m1", "m2"]


def test_what_was_archived_goes_after_its_time(tmp_path: Path, authorities: Authorities) -> None:
    """Never what wasn't archived; stamps go with their last record."""
    server, log = opened(tmp_path, keep_days=30)
    write(log, authorities, request(message_id="old"))
    stamp(log, authorities)
    assert log.clean(datetime.now(UTC) + timedelta(days=31)) == 0
    message_archive.archive(server.settings.message_log, log)
    assert log.clean(datetime.now(UTC) + timedelta(days=29)) == 0
    write(log, authorities, request(message_id="new"))
    assert log.clean(datetime.now(UTC) + timedelta(days=31)) == 1
    assert log.entries("old") == []
    assert len(log.entries("new")) == 1
    with server.store.transaction() as connection:
        assert connection.execute("SELECT count(*) FROM stamp_record").fetchone() == (0,)


def test_archives_that_should_be_encrypted_arent_written(tmp_path: Path, authorities: Authorities) -> None:
    """Nothing is written in clear that was to be encrypted; the records stay."""
    server, log = opened(tmp_path, archive_encryption=True)
    write(log, authorities, request())
    stamp(log, authorities)
    with pytest.raises(OSError, match="archive-encryption-enabled"):
        message_archive.archive(server.settings.message_log, log)
    assert ids(log) == ["message-1"]
    assert list((tmp_path / "archive").iterdir()) == []


def test_the_transfer_command(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In a process of its own, by bash; a failure is told with what it wrote, and isn't the server's."""
    assert message_archive.transfer(None)
    assert message_archive.transfer(f"shopt -s nullglob; echo $$ > {tmp_path}/ran; echo hidden")
    assert (tmp_path / "ran").read_text().strip().isdigit()
    assert not message_archive.transfer("echo no space >&2; exit 3")
    assert "ended with 3: no space" in caplog.text


def read(folder: Path, text: str) -> MessageLogSettings:
    (folder / "local.ini").write_text(f"[message-log]\n{text}\n")
    return MessageLogSettings.read(Ini(folder).section("message-log"), folder)


def test_settings(tmp_path: Path) -> None:
    """X-Road's names, its defaults, and its own directory for archives unless another is named."""
    default = read(tmp_path, "")
    assert default == MessageLogSettings(archive_path=tmp_path)
    assert (default.archive_interval, default.clean_interval) == (21600, 43200)
    chosen = read(
        tmp_path,
        "timestamp-immediately=true\nmessage-body-logging=false\narchive-interval=0 0/5 * 1/1 * ? *\n"
        "clean-interval=0/10 * * * * ?\nkeep-records-for=7\narchive-grouping=member\n"
        "enabled-body-logging-local-producer-subsystems=TEST/GOV/CIVIL/REGISTRY, TEST/GOV/CIVIL/B\n"
        "max-loggable-message-body-size=1024\ntruncated-body-allowed=true\narchive-path=/a\n"
        "archive-transfer-command=/usr/bin/true",
    )
    assert (chosen.stamps_at_once, chosen.logs_bodies, chosen.keep_days) == (True, False, 7)
    assert (chosen.archive_interval, chosen.clean_interval) == (300, 10)
    assert chosen.logs_body(SERVICE.client, is_local=True)
    assert not chosen.logs_body(SERVICE.client, is_local=False)
    assert (chosen.largest_body, chosen.cuts_bodies, chosen.archive_path) == (1024, True, Path("/a"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("keep-records-for=soon", "keep-records-for=soon: not a number"),
        ("timestamp-immediately=yes", "timestamp-immediately=yes: neither true nor false"),
        ("archive-interval=0 15 3 * * ?", "archive-interval=0 15 3"),
        ("archive-interval=hourly", "archive-interval=hourly"),
        ("clean-interval=0 0 0/0 1/1 * ? *", "clean-interval"),
        ("max-loggable-message-body-size=2000000000", "largest_body"),
        ("archive-grouping=client", "client"),
        ("disabled-body-logging-local-producer-subsystems=TEST/GOV/CIVIL", "four codes"),
        (
            "enabled-body-logging-local-producer-subsystems=A/B/C/D",
            "has no place where",
        ),
    ],
)
def test_settings_that_cant_be_used(tmp_path: Path, text: str, told: str) -> None:
    """Named, with their value."""
    with pytest.raises(ValueError, match=re.escape(told)):
        read(tmp_path, text)


def test_the_same_record_gives_the_same_container(tmp_path: Path, authorities: Authorities) -> None:
    """So that a digest of it stays good."""
    _, log = opened(tmp_path)
    write(log, authorities, request(b"x"))
    write(log, authorities, request(b"y", message_id="other"))
    stamp(log, authorities)
    (entry,) = log.entries("message-1")
    digests = {hashlib.sha256(containers.container(entry)).hexdigest() for _ in range(3)}
    assert len(digests) == 1
