"""Backups: what is in one comes back whole, and nobody else's is taken."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest
from tests.unit.xroad_simulator import single
from tests.unit.xroad_simulator.conftest import PIN, Api, Authority

from xroad_simulator import restore_script
from xroad_simulator.faults import Fault
from xroad_simulator.key_ring import KeyRing, KeyRingError, within_reach


@pytest.fixture
def center(tmp_path: Path, furnished: Path) -> single.Single:
    """A central server that works."""
    return single.reopen(furnished, tmp_path / "central")


def classes(api: Api) -> set[str]:
    return {item["code"] for item in api.ask("GET", "/member-classes")}


def test_a_restoration_brings_the_state_back(center: single.Single) -> None:
    """All of it: what was added since is gone, the API keys are those of then, the token needs its PIN."""
    api = center.api()
    name = api.ask("POST", "/backups")["filename"]
    assert name.startswith("conf_backup_")
    later = center.api()
    later.ask("POST", "/member-classes", json={"code": "COM", "description": "Commerce"})
    before = center.server.management_tls.certificate()
    later.ask("POST", "/management-services-configuration/certificate")
    assert center.server.management_tls.certificate() != before

    assert later.ask("PUT", f"/backups/{name}/restore") == {"hsm_tokens_logged_out": False}
    assert later.call("GET", "/member-classes").status_code == 401
    assert classes(api) == {"GOV"}
    assert center.server.management_tls.certificate() == before
    assert api.ask("GET", "/tokens")[0]["logged_in"] is False
    api.ask("PUT", "/tokens/0/login", json={"password": PIN})
    kept = center.server.settings.state / "conf_prerestore_backup.tar"
    assert b"COM" in kept.read_bytes()
    assert kept.stat().st_mode & 0o077 == 0


def test_backups_are_kept_listed_and_removed(center: single.Single) -> None:
    api = center.api()
    name = api.ask("POST", "/backups")["filename"]
    content = api.ask("GET", f"/backups/{name}/download")
    assert PIN.encode() not in content
    assert [item["filename"] for item in api.ask("GET", "/backups")] == [name]
    assert api.refused("POST", "/backups/upload", files={"file": (name, content)}) == (400, "warnings_detected")
    files = {"file": (name, content)}
    assert api.call("POST", "/backups/upload?ignore_warnings=true", files=files).status_code == 201
    assert api.call("DELETE", f"/backups/{name}").status_code == 204
    assert api.ask("GET", "/backups") == []
    assert api.refused("DELETE", f"/backups/{name}") == (404, "backup_file_not_found")
    for bad in ("../x.gpg", ".x.gpg", "x.tar"):
        assert api.refused("POST", "/backups/upload", files={"file": (bad, content)})[1] == "invalid_filename"
    text = {"file": ("a.gpg", b"not a backup")}
    assert api.refused("POST", "/backups/upload", files=text)[1] == "invalid_file_content_type"


@pytest.mark.parametrize("fault", ["of another server", "damaged", "unsigned"])
def test_an_archive_that_is_not_this_servers_own_is_refused(
    center: single.Single, tmp_path: Path, fault: str
) -> None:
    """And nothing has changed then."""
    api = center.api()
    name = api.ask("POST", "/backups")["filename"]
    content = api.ask("GET", f"/backups/{name}/download")
    if fault == "of another server":
        other = single.central(tmp_path / "other")
        single.furnish(other, Authority("CA"))
        content = other.api().ask("GET", f"/backups/{other.api().ask('POST', '/backups')['filename']}/download")
    elif fault == "damaged":
        content = (
            content[: len(content) // 2]
            + bytes([content[len(content) // 2] ^ 1])
            + content[len(content) // 2 + 1 :]
        )
    else:
        command = ["gpg", "--homedir", str(tmp_path), "--batch", "--quiet", "--store"]
        content = subprocess.run(command, input=b"anything", capture_output=True, check=True).stdout
    api.ask("POST", "/backups/upload", files={"file": ("other.gpg", content)})
    api.ask("POST", "/member-classes", json={"code": "COM", "description": "Commerce"})
    assert api.refused("PUT", "/backups/other.gpg/restore") == (500, "restore_process_failed")
    assert classes(api) == {"GOV", "COM"}


def test_an_archive_of_another_identity_is_refused(center: single.Single) -> None:
    """Also if the signature is right: the label tells whose it is."""
    api, server = center.api(), center.server
    made = server.backups.create("central_XROAD_7.1_OTHER", "TEST")
    assert api.refused("PUT", f"/backups/{made.name}/restore") == (500, "restore_process_failed")


@pytest.mark.parametrize("step", ["restore.opened", "restore.kept", "restore.database"])
def test_a_restoration_that_fails_half_way_changes_nothing(center: single.Single, step: str) -> None:
    api = center.api()
    name = api.ask("POST", "/backups")["filename"]
    api.ask("POST", "/member-classes", json={"code": "COM", "description": "Commerce"})
    center.server.faults.add(Fault(kind="fail", step=step))
    assert api.refused("PUT", f"/backups/{name}/restore") == (500, "restore_process_failed")
    assert classes(api) == {"GOV", "COM"}
    api.ask("PUT", f"/backups/{name}/restore")
    assert classes(api) == {"GOV"}


def test_encrypted_backups_are_read_by_the_server_and_the_keys_of_the_settings(
    tmp_path: Path, furnished: Path
) -> None:
    outside = KeyRing(tmp_path / "outside")
    outside.generate("Auditor")
    encryption = {"backup_encryption": True, "backup_encryption_keys": ("Auditor",)}
    made = single.reopen(furnished, tmp_path / "central", **encryption)
    api = made.api()
    assert api.refused("POST", "/backups") == (500, "backup_generation_failed")

    exported = _gpg(tmp_path / "outside", "--export", "Auditor")
    ring = made.server.settings.state / "gpghome"
    _gpg(ring, "--import", content=exported)
    # Of a key that nobody trusts GnuPG says that it may be anybody's.
    assert api.refused("POST", "/backups") == (500, "backup_generation_failed")
    _gpg(ring, "--import-ownertrust", content=f"{_fingerprint(tmp_path / 'outside')}:6:\n".encode())
    name = api.ask("POST", "/backups")["filename"]
    content = api.ask("GET", f"/backups/{name}/download")
    with pytest.raises(KeyRingError):
        KeyRing(tmp_path / "nobody").open(content)
    opened = _gpg(tmp_path / "outside", "--decrypt", content=content)
    with tarfile.open(fileobj=io.BytesIO(opened)) as tar:
        assert tar.getnames()[:2] == ["central_XROAD_7.1_TEST", "var/lib/xroad/dbdump.dat"]
    api.ask("PUT", f"/backups/{name}/restore")


def _gpg(home: Path, *arguments: str, content: bytes = b"") -> bytes:
    with within_reach(home) as short:
        command = ["gpg", "--homedir", str(short), "--batch", "--quiet", *arguments]
        return subprocess.run(command, input=content, capture_output=True, check=False).stdout


def _fingerprint(home: Path) -> str:
    listed = _gpg(home, "--list-keys", "--with-colons").decode().splitlines()
    return next(line.split(":")[9] for line in listed if line.startswith("fpr:"))


def test_a_security_server_tells_when_it_made_a_backup(center: single.Single, tmp_path: Path) -> None:
    made = single.security(tmp_path / "security", center.server)
    single.initialize(made, "CIVIL", "SS1")
    api = made.api()
    backup = api.ask("POST", "/backups/ext")
    assert backup["local_conf_present"] is False
    assert [item["filename"] for item in api.ask("GET", "/backups")] == [backup["filename"]]
    api.ask("PUT", f"/backups/{backup['filename']}/restore")
    assert api.ask("GET", "/initialization/status")["is_server_owner_initialized"] is True
    assert api.ask("GET", "/diagnostics/backup-encryption-status") == {
        "backup_encryption_status": False,
        "backup_encryption_keys": [],
    }


def scripted(server: single.Single, *options: str) -> int:
    """What the packages' script of a server ends with."""
    settings = server.server.settings
    place = ["--state", str(settings.state), "--tls", str(settings.tls)]
    return restore_script.main(["security", *place, *options])


@pytest.fixture
def lost(center: single.Single, tmp_path: Path) -> tuple[single.Single, Path]:
    """A security server that was never initialised, and the backup of one that was."""
    made = single.security(tmp_path / "security", center.server)
    single.initialize(made, "CIVIL", "SS1")
    name = made.api().ask("POST", "/backups")["filename"]
    kept = made.server.settings.state / "backup" / name
    return single.security(tmp_path / "new", center.server), kept


def test_the_script_restores_a_server_that_was_never_initialised(
    lost: tuple[single.Single, Path], tmp_path: Path
) -> None:
    """Which the admin API can't: the former host's key comes first (ug-ss 13.2)."""
    server, kept = lost
    identity = "TEST/GOV/CIVIL/SS1"
    assert scripted(server, "-s", identity, "-f", str(kept)) == 1
    exported = _gpg(tmp_path / "security" / "gpghome", "--export-secret-keys", identity)
    _gpg(server.server.settings.state / "gpghome", "--import", content=exported)
    assert scripted(server, "-s", "TEST/GOV/CIVIL/SS2", "-f", str(kept)) == 1
    assert server.server.server_id is None

    assert scripted(server, "-s", identity, "-f", str(kept)) == 0
    assert str(server.server.server_id) == identity.replace("/", ":")


def test_the_script_takes_what_was_opened_elsewhere(lost: tuple[single.Single, Path], tmp_path: Path) -> None:
    """Without its key, and whoever's it is, if that is asked for in so many words."""
    server, kept = lost
    plain = tmp_path / "plain.tar"
    plain.write_bytes(KeyRing(tmp_path / "security" / "gpghome").open(kept.read_bytes()))
    assert scripted(server, "-F", "-f", str(kept)) == 1
    assert scripted(server, "-F", "-P", "-f", str(plain)) == 0
    assert str(server.server.server_id) == "TEST:GOV:CIVIL:SS1"
