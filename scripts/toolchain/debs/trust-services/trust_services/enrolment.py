"""The key of a service on its host, and its certificate from the site's issuing authority.

    python -m trust_services.enrolment --config FILE [--dry-run] [--force] [--new-key]

Makes the key where it is missing, orders a certificate where there is none of that key, or too little of its
life is left, and prints what it found as JSON. The files that the settings name are links into a folder beside
the key: a new certificate, its chain and, if there is one, its new key take the old ones' place in one step. A
run that was killed is finished by the next. Run by the account of the service that uses the key.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from pydantic import BaseModel, ConfigDict, model_validator

from trust_services import files, ordering, settings_file
from trust_services.ordering import Api, Certified, Wanted
from trust_services.refusal import Refusal, told
from trust_services.renewal import SERVICE, due
from trust_services.settings_file import AbsolutePath

RSA_BITS = {"rsa-3072": 3072}
EXPONENT = 65537


class Key(BaseModel):
    """The private key, encrypted (PKCS #8)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: AbsolutePath
    kind: Literal["rsa-3072"]
    passphrase_file: Path
    """A path, or the name of a systemd credential."""


class Settings(Wanted):
    """What the program is told."""

    key: Key
    certificate: AbsolutePath
    chain: AbsolutePath
    """The certificates between the service's and the root."""
    authority: Api

    @model_validator(mode="after")
    def _is_a_services(self) -> Self:
        if not self.profile.of_service:
            raise ValueError(f"{self.profile} certificates are members', who order them otherwise")
        if len({self.key.file, self.certificate, self.chain}) < 3:
            raise ValueError("`key.file`, `certificate` and `chain` must be three files")
        return self

    @property
    def wanted(self) -> Wanted:
        """What is ordered."""
        return Wanted(
            profile=self.profile, name=self.name, organization=self.organization, country=self.country
        )


class State(BaseModel):
    """What was found or, after a run that wasn't dry, what is there now."""

    changed: bool
    """Whether something was done, or would be."""
    certificate: Literal["in force", "missing", "expiring"]
    not_after: datetime | None = None


def ensure(
    settings: Settings, now: datetime, *, dry: bool = False, force: bool = False, new_key: bool = False
) -> State:
    """Key and certificate as they must be. `force` renews now; `new_key` does so with another key.

    Refusal if the key can't be opened or no certificate is had: what was in force stays.
    """
    store = _Store(settings)
    if dry:
        state, _ = _found(settings, store, now)
        wanted = force or new_key or store.pending or not store.linked or state.certificate != "in force"
        return state.model_copy(update={"changed": wanted})
    with store.locked():
        state, present = _found(settings, store, now)
        if store.pending or force or new_key or store.empty or state.certificate != "in force":
            _renew(settings, store, present, now, new_key=new_key)
        elif store.linked:
            return state
        store.put_in_force()
        state, _ = _found(settings, store, now)
        return state.model_copy(update={"changed": True})


def _found(settings: Settings, store: _Store, now: datetime) -> tuple[State, x509.Certificate | None]:
    """How it stands, and the certificate that is there, in force or not."""
    present = store.certificate()
    if present is None or not store.key_file.exists():
        return State(changed=False, certificate="missing"), present
    ends = present.not_valid_after_utc
    key = store.key(store.key_file).public_key()
    try:
        ordering.check(settings.wanted, key, present)
    except Refusal:
        return State(changed=False, certificate="missing", not_after=ends), present
    late = due(present, now, SERVICE)
    return State(changed=False, certificate="expiring" if late else "in force", not_after=ends), present


def _renew(
    settings: Settings, store: _Store, present: x509.Certificate | None, now: datetime, *, new_key: bool
) -> None:
    key = store.next_key(new=new_key)
    if not store.complete(settings.wanted, key, now):
        store.keep(ordering.order(settings.authority, settings.wanted, key, present, now))
    store.exchange()


class _Store:
    """The folder beside the key: `next` while a certificate is ordered, then one by the certificate's hash.

    `current` leads to the one in force, and the settings' files lead through `current`.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = settings.key.file.with_name(f"{settings.key.file.name}.versions")
        self._next = self._folder / "next"
        self._current = self._folder / "current"
        self._links = {
            settings.key.file: "key.pem",
            settings.certificate: "certificate.pem",
            settings.chain: "chain.pem",
        }

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One run at a time. Refusal if the folder can't be made."""
        try:
            self._folder.mkdir(mode=0o755, exist_ok=True)
            descriptor = os.open(self._folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Refusal(
                f"{self._folder}: {error.strerror}", "give the folder to the account that runs this"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @property
    def pending(self) -> bool:
        """Whether an earlier run began something that isn't finished."""
        return (self._next / "key.pem").exists()

    @property
    def empty(self) -> bool:
        """Whether nothing was put in force from here yet."""
        return not self._current.is_symlink()

    @property
    def linked(self) -> bool:
        """Whether the settings' files are those in force."""
        return not self.empty and all(
            path.is_symlink() and path.readlink() == self._current / name for path, name in self._links.items()
        )

    @property
    def key_file(self) -> Path:
        """The key in force."""
        inside = self._current / "key.pem"
        return inside if inside.exists() else self._settings.key.file

    def certificate(self) -> x509.Certificate | None:
        """The certificate in force; None if there is none, or what is there isn't one."""
        inside = self._current / "certificate.pem"
        return _certificate(inside if inside.exists() else self._settings.certificate)

    def key(self, path: Path) -> rsa.RSAPrivateKey:
        """A key. Refusal if the passphrase doesn't open it."""
        passphrase = settings_file.secret(self._settings.key.passphrase_file)
        try:
            found = load_pem_private_key(path.read_bytes(), passphrase)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            # Not with the cause: it could tell something about the passphrase.
            raise Refusal(
                f"{path}: the passphrase in {self._settings.key.passphrase_file} opens no key there",
                f"give the right passphrase; or move {path} away, and another key is made",
            ) from None
        if not isinstance(found, rsa.RSAPrivateKey):
            raise Refusal(f"{path}: not an RSA key", f"move {path} away, and one is made")
        return found

    def next_key(self, *, new: bool) -> rsa.RSAPrivateKey:
        """The key of the next certificate, kept before anything is ordered for it.

        That of an earlier run that wasn't finished; else the one in force, unless there is none or a `new` one
        is wanted.
        """
        path = self._next / "key.pem"
        if not path.exists():
            self._next.mkdir(mode=0o755, exist_ok=True)
            if self.key_file.exists() and not new:
                content = self.key_file.read_bytes()
                self.key(self.key_file)
            else:
                passphrase = settings_file.secret(self._settings.key.passphrase_file)
                made = rsa.generate_private_key(EXPONENT, RSA_BITS[self._settings.key.kind])
                content = made.private_bytes(
                    Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase)
                )
            files.write(path, content, 0o600)
        return self.key(path)

    def complete(self, wanted: Wanted, key: rsa.RSAPrivateKey, now: datetime) -> bool:
        """Whether an earlier run has put a certificate beside the next key."""
        made = _certificate(self._next / "certificate.pem")
        if made is None or due(made, now, SERVICE):
            return False
        try:
            ordering.check(wanted, key.public_key(), made)
        except Refusal:
            return False
        return True

    def keep(self, certified: Certified) -> None:
        """Put chain and certificate beside the next key; the certificate last: it says that all is there."""
        chain = b"".join(each.public_bytes(Encoding.PEM) for each in certified.chain)
        files.write(self._next / "chain.pem", chain)
        files.write(self._next / "certificate.pem", certified.certificate.public_bytes(Encoding.PEM))

    def exchange(self) -> None:
        """Put the next key, certificate and chain into the place of those in force, in one step."""
        content = {name: (self._next / name).read_bytes() for name in self._links.values()}
        name = Path(hashlib.sha256(content["certificate.pem"]).hexdigest()[:32])
        version, copied = self._folder / name, self._folder / "copied"
        if not self.empty and self._current.readlink() == name:
            for file, what in content.items():
                if not (version / file).exists() or (version / file).read_bytes() != what:
                    files.write(version / file, what, _mode(file))
        else:
            for folder in (version, copied):
                shutil.rmtree(folder, ignore_errors=True)
            copied.mkdir(mode=0o755)
            for file, what in content.items():
                files.write(copied / file, what, _mode(file))
            copied.rename(version)
            files.settle(self._folder)
            files.link(self._current, name)
        # In one step as well: half of it would look like something that was begun.
        finished = self._folder / "finished"
        shutil.rmtree(finished, ignore_errors=True)
        self._next.rename(finished)
        files.settle(self._folder)

    def put_in_force(self) -> None:
        """Lead the settings' files to the current ones, and remove what isn't in force any more."""
        for path, name in self._links.items():
            if not (path.is_symlink() and path.readlink() == self._current / name):
                files.link(path, self._current / name)
        current = self._current.readlink().name
        for folder in self._folder.iterdir():
            if folder.is_dir() and not folder.is_symlink() and folder.name not in (current, "next"):
                shutil.rmtree(folder)


def _mode(file: str) -> int:
    return 0o600 if file == "key.pem" else 0o644


def _certificate(path: Path) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; 0, or 1 after a refusal."""
    parser = argparse.ArgumentParser(
        prog="trust-services enrolment",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="settings in JSON")
    parser.add_argument("--dry-run", action="store_true", help="only look")
    parser.add_argument("--force", action="store_true", help="renew the certificate now")
    parser.add_argument("--new-key", action="store_true", help="renew it now, with a new key")
    asked = parser.parse_args(arguments)
    try:
        settings = settings_file.read(asked.config, Settings)
        state = ensure(settings, datetime.now(UTC), dry=asked.dry_run, force=asked.force, new_key=asked.new_key)
    except Refusal as refusal:
        return told(refusal)
    except OSError as error:
        return told(Refusal(f"{error.filename or asked.config}: {error.strerror or error}"))
    json.dump(state.model_dump(mode="json"), sys.stdout)
    sys.stdout.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
