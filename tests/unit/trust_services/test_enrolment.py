"""Keys of services on their host, and their certificates."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import stat
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from tests.unit.trust_services.conftest import OverTls, Place
from tests.unit.trust_services.issuing.ordering import COUNTRY, ORGANIZATION, SERVICE, authority, ec_key

from trust_services import enrolment, files, ordering
from trust_services.enrolment import Settings, ensure
from trust_services.refusal import Refusal

NOW = datetime.now(UTC)
LATE = NOW + timedelta(days=300)
"""When too little of a certificate's year is left."""


@pytest.fixture
def document(issuing: OverTls, tmp_path: Path) -> dict[str, Any]:
    folder = tmp_path / "stamps"
    folder.mkdir()
    (folder / "passphrase").write_text("correct horse\n")
    return {
        "profile": "time-stamping",
        "name": SERVICE,
        "organization": ORGANIZATION,
        "country": COUNTRY,
        "key": {
            "file": str(folder / "stamps.key"),
            "kind": "rsa-3072",
            "passphrase_file": str(folder / "passphrase"),
        },
        "certificate": str(folder / "stamps.crt"),
        "chain": str(folder / "chain.pem"),
        "authority": issuing.document,
    }


@pytest.fixture(autouse=True)
def quick_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are taken from a few: making one takes a second."""
    made = itertools.cycle([_key(number) for number in range(3)])
    monkeypatch.setattr(enrolment.rsa, "generate_private_key", lambda *_: next(made))


_KEYS: list[rsa.RSAPrivateKey] = []
_generate = rsa.generate_private_key


def _key(number: int) -> rsa.RSAPrivateKey:
    while len(_KEYS) <= number:
        _KEYS.append(_generate(65537, 3072))
    return _KEYS[number]


@pytest.fixture
def settings(document: dict[str, Any]) -> Settings:
    return Settings.model_validate(document)


def key_of(settings: Settings) -> rsa.RSAPrivateKey:
    found = load_pem_private_key(settings.key.file.read_bytes(), b"correct horse")
    assert isinstance(found, rsa.RSAPrivateKey)
    return found


def whole(settings: Settings) -> x509.Certificate:
    """The certificate in force, which goes with its key and its chain."""
    found = x509.load_pem_x509_certificate(settings.certificate.read_bytes())
    assert found.public_key() == key_of(settings).public_key()
    assert x509.load_pem_x509_certificates(settings.chain.read_bytes()) == [authority().certificate]
    found.verify_directly_issued_by(authority().certificate)
    assert stat.S_IMODE(settings.key.file.stat().st_mode) == 0o600
    return found


def issued(place: Place) -> int:
    return int(place.rows("SELECT count(*) FROM issuing.certificates")[0][0])


def test_key_and_certificate_are_made_once(settings: Settings, place: Place) -> None:
    assert ensure(settings, NOW, dry=True).model_dump(exclude_none=True) == {
        "changed": True,
        "certificate": "missing",
    }
    assert not settings.key.file.exists()
    first = ensure(settings, NOW)

    found = whole(settings)
    assert (first.changed, first.certificate, first.not_after) == (True, "in force", found.not_valid_after_utc)
    assert not ensure(settings, NOW).changed
    assert not ensure(settings, NOW, dry=True).changed
    assert whole(settings) == found
    assert issued(place) == 1


def test_a_certificate_is_renewed_with_the_same_key(settings: Settings, place: Place) -> None:
    ensure(settings, NOW)
    before, key = whole(settings), key_of(settings)
    early = before.not_valid_after_utc - (before.not_valid_after_utc - before.not_valid_before_utc) / 3

    assert not ensure(settings, early, dry=True).changed
    assert ensure(settings, early + timedelta(seconds=1), dry=True).model_dump() == {
        "changed": True,
        "certificate": "expiring",
        "not_after": before.not_valid_after_utc,
    }
    assert ensure(settings, NOW, force=True).changed
    after = whole(settings)
    assert after != before
    assert key_of(settings).private_numbers() == key.private_numbers()
    assert ensure(settings, NOW, force=True).changed
    assert issued(place) == 3
    versions = settings.key.file.with_name("stamps.key.versions")
    assert len([path for path in versions.iterdir() if path.is_dir() and not path.is_symlink()]) == 1


def test_a_new_key_comes_with_its_certificate(settings: Settings) -> None:
    ensure(settings, NOW)
    before = key_of(settings).public_key()

    assert ensure(settings, NOW, new_key=True).certificate == "in force"
    assert whole(settings).public_key() != before


@pytest.mark.parametrize("lost", ["certificate", "chain", "everything"])
def test_what_was_lost_comes_back(settings: Settings, place: Place, lost: str) -> None:
    """The certificate that was issued, while it is good for long enough."""
    ensure(settings, NOW)
    before = whole(settings)
    if lost == "everything":
        for path in sorted(settings.key.file.with_name("stamps.key.versions").rglob("c*.pem")):
            path.unlink()
    else:
        getattr(settings, lost).unlink()

    assert ensure(settings, NOW, dry=True).changed
    assert ensure(settings, NOW).changed
    assert whole(settings) == before
    assert issued(place) == 1


def test_files_of_another_origin_are_taken_over(settings: Settings, tmp_path: Path) -> None:
    """A key and a certificate that lie there as plain files: the key stays, the certificate is replaced."""
    ensure(settings, NOW)
    content = {path: path.read_bytes() for path in (settings.key.file, settings.certificate, settings.chain)}
    for path, what in content.items():
        path.unlink()
        path.write_bytes(what)
        path.chmod(0o600)
    shutil.rmtree(settings.key.file.with_name("stamps.key.versions"))
    key = key_of(settings).private_numbers()

    assert ensure(settings, NOW).changed
    whole(settings)
    assert key_of(settings).private_numbers() == key
    assert not ensure(settings, NOW).changed


def test_a_certificate_of_another_key_or_name_is_replaced(settings: Settings) -> None:
    ensure(settings, NOW)
    other = authority(key=ec_key("other"))
    inside = settings.certificate.resolve()
    inside.write_bytes(other.certificate.public_bytes(Encoding.PEM))
    assert ensure(settings, NOW, dry=True).certificate == "missing"
    assert ensure(settings, NOW).certificate == "in force"
    whole(settings)


def test_while_the_authority_is_down_everything_stays(settings: Settings, issuing: OverTls) -> None:
    ensure(settings, NOW)
    before = whole(settings)
    issuing.trouble = 503
    with pytest.raises(Refusal, match="answers 503"):
        ensure(settings, NOW, new_key=True)
    assert whole(settings) == before
    with pytest.raises(Refusal, match="answers 503"):
        ensure(settings, NOW)
    issuing.trouble = 0

    assert ensure(settings, NOW).changed, "the new key waits for its certificate"
    assert whole(settings).public_key() != before.public_key()


def test_what_the_authority_refuses_is_told_in_its_words(document: dict[str, Any]) -> None:
    wrong = Settings.model_validate({**document, "name": "other.example.bj"})
    with pytest.raises(Refusal, match=r"answers 403: 'service' may order .* and nothing else"):
        ensure(wrong, NOW)
    wrong = Settings.model_validate({**document, "organization": "Another"})
    with pytest.raises(Refusal, match="the request's subject says O='Another'") as caught:
        ensure(wrong, NOW)
    assert "order again" in caught.value.next_step


def test_a_wrong_token_and_a_wrong_root(document: dict[str, Any], issuing: OverTls) -> None:
    (issuing.folder / "other").write_text("another token")
    sent = {**document, "authority": {**issuing.document, "token_file": str(issuing.folder / "other")}}
    with pytest.raises(Refusal, match="answers 401"):
        ensure(Settings.model_validate(sent), NOW)
    other = issuing.folder / "other.pem"
    other.write_bytes(authority(key=ec_key("other")).certificate.public_bytes(Encoding.PEM))
    sent = {**document, "authority": {**issuing.document, "ca": str(other)}}
    with pytest.raises(Refusal, match="certificate verify failed"):
        ensure(Settings.model_validate(sent), NOW)


def test_a_wrong_passphrase_opens_nothing(settings: Settings) -> None:
    ensure(settings, NOW)
    settings.key.passphrase_file.write_text("another")
    with pytest.raises(Refusal, match="passphrase") as caught:
        ensure(settings, NOW, force=True)
    assert "another" not in str(caught.value)
    settings.key.passphrase_file.write_text("")
    with pytest.raises(Refusal, match="empty"):
        ensure(settings, NOW)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("profile", "signing", "signing certificates are members'"),
        ("name", "STAMPS", "name: "),
        ("certificate", "relative.pem", "certificate: a path must begin with /"),
        ("authority", {"url": "http://x", "ca": "/ca", "token_file": "/t"}, "authority.url: must be an https"),
        ("more", 1, "more: "),
    ],
)
def test_settings_that_arent_right(
    document: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    key: str,
    value: object,
    words: str,
) -> None:
    config = tmp_path / "enrolment.json"
    config.write_text(json.dumps({**document, key: value}))

    assert enrolment.main(["--config", str(config)]) == 1
    told = capsys.readouterr().err
    assert str(config) in told
    assert words in told
    assert "next: " in told


def test_the_command_line(
    document: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the passphrase from a credential of systemd's."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "stamps"))
    document["key"]["passphrase_file"] = "passphrase"
    config = tmp_path / "enrolment.json"
    config.write_text(json.dumps(document))
    told = []
    for more in (["--dry-run"], [], [], ["--force"], ["--new-key"]):
        assert enrolment.main(["--config", str(config), *more]) == 0
        told.append(json.loads(capsys.readouterr().out))

    assert [one["changed"] for one in told] == [True, True, False, True, True]
    assert [one["certificate"] for one in told] == ["missing", *["in force"] * 4]
    whole(Settings.model_validate(document))


# A run that is killed at each of its steps.


def killed_at(step: int, settings: Settings, *, new_key: bool) -> int:
    """Run in a process that is killed before it takes this step; its status."""
    process = os.fork()
    if process:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    steps = iter(range(step))

    def counted(method: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **more: Any) -> Any:
            if next(steps, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            return method(*arguments, **more)

        return wrapped

    owners: list[tuple[Any, str]] = [(files, "write"), (files, "link"), (ordering, "order")]
    owners += [(Path, "rename"), (shutil, "rmtree")]
    try:
        for owner, name in owners:
            setattr(owner, name, counted(getattr(owner, name)))
        ensure(settings, NOW, new_key=new_key, force=not new_key)
    except BaseException:  # noqa: BLE001 - a fork mustn't go on as the test
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


@pytest.mark.parametrize("how", ["first", "renewed", "new"])
def test_a_run_that_is_killed_is_finished_by_the_next(settings: Settings, place: Place, how: str) -> None:
    """At whatever step; no certificate is ordered twice, and what is in force goes together at any time."""
    folder = settings.key.file.parent
    status = -signal.SIGKILL
    step = 0
    while status:
        if how == "first":
            shutil.rmtree(folder)
            folder.mkdir()
            settings.key.passphrase_file.write_text("correct horse\n")
        else:
            ensure(settings, NOW)
        before = whole(settings) if how != "first" else None
        count = issued(place)
        status = killed_at(step, settings, new_key=how == "new")
        assert status in (0, -signal.SIGKILL)
        if before is not None:
            whole(settings)
        ensure(settings, NOW)
        whole(settings)
        assert not ensure(settings, NOW).changed
        assert issued(place) - count <= 1
        step += 1
    assert step > 10
    assert whole(settings) != before
