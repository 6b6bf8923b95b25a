"""The secret store makes what is missing, keeps what is there, and shows no value."""

from __future__ import annotations

from pathlib import Path

import pytest

import estate
from operate.failure import Failure
from operate.secrets import SecretStore

LAB = estate.load("lab")


@pytest.fixture
def store(tmp_path: Path) -> SecretStore:
    """A store with every secret of the lab."""
    found = SecretStore(tmp_path / "secrets")
    found.generate(LAB)
    return found


def test_generates_what_the_estate_declares(store: SecretStore) -> None:
    """Values have the declared length and three classes of characters; no two are the same."""
    values = {}
    for secret in LAB.secrets:
        value = store.path(secret.name).read_text().rstrip("\n")
        values[secret.name] = value
        assert len(value) == secret.length
        assert value.isalnum()
        assert value.lower() != value != value.upper()
        assert any(letter.isdigit() for letter in value)
    assert len(set(values.values())) == len(LAB.secrets)
    assert store.check(LAB) == []


def test_files_and_directory_are_private(store: SecretStore) -> None:
    """Nobody else on the machine can read them."""
    assert store.directory.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in store.directory.iterdir()} == {0o600}


def test_keeps_existing_values(store: SecretStore) -> None:
    """A second call makes only what is missing."""
    store.path("registry-push").unlink()
    kept = store.path("registry-pull").read_text()

    assert store.generate(LAB) == ["registry-push"]
    assert store.path("registry-pull").read_text() == kept


def test_missing_secret_is_named_with_path_and_command(store: SecretStore) -> None:
    """What to type next is part of the message."""
    store.path("pulumi-passphrase").unlink()

    with pytest.raises(Failure) as caught:
        store.require(LAB, "scripts/smartgouv secrets generate lab --lab two")

    assert "1 secret of site 'lab'" in caught.value.message
    assert f"pulumi-passphrase: missing ({store.path('pulumi-passphrase')})" in caught.value.details
    assert "scripts/smartgouv secrets generate lab --lab two" in caught.value.next_step


def test_empty_and_exposed_secrets_are_refused(store: SecretStore) -> None:
    """A file that exists isn't enough."""
    store.path("registry-push").write_text("\n")
    store.path("registry-pull").chmod(0o644)

    reasons = {finding.name: finding.reason for finding in store.check(LAB)}

    assert reasons == {"registry-push": "empty", "registry-pull": "readable by others (mode 0644)"}


def test_values_are_redacted(store: SecretStore) -> None:
    """The last guard before a log or a terminal."""
    value = store.path("registry-push").read_text().strip()

    assert store.redact(f"login with {value} refused") == "login with <secret> refused"


def test_undeclared_files_are_named(store: SecretStore) -> None:
    """A leftover of a rename shows; what hosts made and runs brought here doesn't."""
    for name in ("old-name", "xroad-api-key-ss-health", "xroad-backup-key-central1"):
        store.path(name).write_text("value\n")

    assert store.undeclared(LAB) == ["old-name"]
