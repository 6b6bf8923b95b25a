"""The key of an issuing authority on its host, and what the authority asks of the root.

`python -m trust_services.authority --config FILE` makes the key where it is missing, in a token that it
initializes, or in a file. Where there is no certificate of that key, or too little of its life is left, it
writes a request for the root's ceremony. It prints what it found as JSON. Run by the account of the service
that signs with the key.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from pydantic import BaseModel, ConfigDict

from trust_services import key_file, settings_file
from trust_services.ceremony import requests
from trust_services.ceremony.agenda import authority_name
from trust_services.ceremony.requests import Content
from trust_services.refusal import Refusal, told
from trust_services.renewal import due
from trust_services.signing import SigningKey, certificate_hash
from trust_services.token import Token, TokenPlace


class Settings(BaseModel):
    """What the program is told, wherever the key is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    authority: str
    """Short name, as the ceremony's agenda has it."""
    country: str
    organization: str
    common_name: str
    key: Literal["rsa-3072", "rsa-4096", "ec-p256", "ec-p384"]
    certificate: Path
    """Where the certificate lies once the root has issued it."""
    requests: Path
    """Folder for requests to the root."""
    revocation_list: Path | None = None
    """The root's, in PEM, once there is one: who follows a revoked authority asks as if it were the first."""

    def subject(self) -> x509.Name:
        """The authority's name, which must be the agenda's."""
        return authority_name(self.country, self.organization, self.common_name)


class InToken(Settings):
    """The key is in a token."""

    label: str
    """Of the key in the token."""
    library: str
    token: str
    slot: int | None = None
    pin_file: Path
    officer_pin_file: Path


class InFile(Settings):
    """The key is in a file, as its user can't use a token."""

    key_file: Path


class State(BaseModel):
    """What was found and done."""

    made: tuple[str, ...] = ()
    """Token and key, where they were missing."""
    certificate: Literal["missing", "another key's", "expiring", "in force"]
    request: str | None = None
    """The request that waits for a ceremony."""


def read(path: Path) -> InToken | InFile:
    """The settings in a file. Refusal that names file, key and value if something is wrong."""
    try:
        in_file = "key_file" in json.loads(path.read_bytes())
    except (OSError, ValueError, TypeError):
        # Whatever is wrong is told below.
        in_file = False
    return settings_file.read(path, InFile) if in_file else settings_file.read(path, InToken)


def ensure(settings: InToken | InFile, now: datetime, *, dry: bool = False) -> State:
    """Token, key and request as they must be. `dry` only looks; then a missing token has no request yet."""
    made: list[str] = []
    with _opened(settings, made, dry=dry) as keys:
        key = keys.present() if keys is not None else None
        if keys is None or key is None:
            made.append("key")
            if keys is None or dry:
                return State(made=tuple(made), certificate="missing")
            key = keys.make()
        present = _certificate(settings.certificate)
        state = _state(present, key, now)
        request = None if state == "in force" else _request(settings, keys, key, present, now, dry=dry)
        return State(made=tuple(made), certificate=state, request=request)


class _Keys(Protocol):
    """Where an authority's keys are."""

    def present(self) -> SigningKey | None:
        """The key that the settings name."""

    def make(self) -> SigningKey:
        """Make it."""

    def all(self) -> Iterator[SigningKey]:
        """It, and earlier ones that are still there."""


class _TokenKeys:
    def __init__(self, settings: InToken, token: Token) -> None:
        self._settings = settings
        self._token = token

    def present(self) -> SigningKey | None:
        return self._token.key(self._settings.label)

    def make(self) -> SigningKey:
        return self._token.generate(self._settings.label, self._settings.key)

    def all(self) -> Iterator[SigningKey]:
        return self._token.all_keys()


class _FileKeys:
    def __init__(self, settings: InFile) -> None:
        self._settings = settings

    def present(self) -> SigningKey | None:
        key = key_file.read(self._settings.key_file)
        if key is not None and (kind := requests.kind_of(key.public_key())) != self._settings.key:
            raise Refusal(
                f"{self._settings.key_file}: its key is {kind}, the estate wants {self._settings.key}",
                "put the kind back in the estate's trust.yml, or raise the authority's `generation`",
            )
        return key

    def make(self) -> SigningKey:
        return key_file.make(self._settings.key_file, self._settings.key)

    def all(self) -> Iterator[SigningKey]:
        if (key := self.present()) is not None:
            yield key


@contextmanager
def _opened(settings: InToken | InFile, made: list[str], *, dry: bool) -> Iterator[_Keys | None]:
    """The keys' place, with a missing token initialized and noted in `made`; None where `dry` leaves it so."""
    if isinstance(settings, InFile):
        yield _FileKeys(settings)
        return
    place = TokenPlace(settings.library, settings.token, settings.slot)
    if not place.exists():
        made.append("token")
        if dry:
            yield None
            return
        place.initialize(_secret(settings.officer_pin_file), _secret(settings.pin_file))
    with place.open(_secret(settings.pin_file)) as token:
        yield _TokenKeys(settings, token)


def _state(
    present: x509.Certificate | None, key: SigningKey, now: datetime
) -> Literal["missing", "another key's", "expiring", "in force"]:
    if present is None:
        return "missing"
    if present.public_key() != key.public_key():
        return "another key's"
    return "expiring" if due(present, now) else "in force"


def _request(
    settings: Settings,
    keys: _Keys,
    key: SigningKey,
    present: x509.Certificate | None,
    now: datetime,
    *,
    dry: bool,
) -> str | None:
    """The file name of the request that asks for what is missing; an earlier one for the same is kept."""
    public = requests.fingerprint(key.public_key())
    # For a new key, or for the next generation, the holder of the present certificate's key has to agree.
    renewed = present is not None and not _revoked(settings, present)
    signer = key
    if renewed and present is not None and present.public_key() != key.public_key():
        signer = _holder(keys, present)
    digest = present.fingerprint(hashes.SHA256()).hex() if renewed and present is not None else None
    for path in sorted(settings.requests.glob(f"{settings.authority}-*.json")):
        if _asks(path, public, digest):
            return path.name
    if dry:
        return None
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(settings.subject())
        .sign(key, certificate_hash(key))
    )
    content = Content(
        kind="renew" if renewed else "issue",
        authority=settings.authority,
        created=now.replace(microsecond=0),
        csr=csr.public_bytes(serialization.Encoding.PEM).decode(),
        certificate=digest,
    )
    return requests.write(settings.requests, content, signer).name


def _revoked(settings: Settings, present: x509.Certificate) -> bool:
    if settings.revocation_list is None or not settings.revocation_list.exists():
        return False
    try:
        listed = x509.load_pem_x509_crl(settings.revocation_list.read_bytes())
    except ValueError as error:
        raise Refusal(
            f"{settings.revocation_list}: {error}", "apply the site again: the list is in the root's records"
        ) from error
    return listed.get_revoked_certificate_by_serial_number(present.serial_number) is not None


def _holder(keys: _Keys, present: x509.Certificate) -> SigningKey:
    for key in keys.all():
        if key.public_key() == present.public_key():
            return key
    raise Refusal(
        "this host doesn't hold the present certificate's key",
        "have the certificate revoked by the quorum, and raise the authority's `generation`",
    )


def _asks(path: Path, public: str, certificate: str | None) -> bool:
    """Whether an earlier request is for this key and certificate."""
    try:
        content = Content.model_validate_json(path.read_bytes())
        csr = x509.load_pem_x509_csr((content.csr or "").encode())
        asked = requests.fingerprint(csr.public_key())  # type: ignore[arg-type]
    except (OSError, ValueError):
        return False
    return (
        asked == public and content.certificate == certificate and path.with_name(f"{path.name}.sig").is_file()
    )


def _certificate(path: Path) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise Refusal(
            f"{path}: {error}", "apply the site again: the certificate is in the root's records"
        ) from error


def _secret(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise Refusal(f"{path}: {error.strerror}") from error


def main() -> int:
    """Run the command line; 0, or 1 after a refusal."""
    parser = argparse.ArgumentParser(prog="trust_services.authority", description=__doc__.split("\n\n")[0])
    parser.add_argument("--config", type=Path, required=True, help="settings in JSON")
    parser.add_argument("--dry-run", action="store_true", help="only look")
    arguments = parser.parse_args()
    try:
        state = ensure(read(arguments.config), datetime.now(UTC), dry=arguments.dry_run)
    except Refusal as refusal:
        return told(refusal)
    except OSError as error:
        return told(Refusal(f"{error.filename or arguments.config}: {error.strerror or error}"))
    json.dump(state.model_dump(), sys.stdout)
    sys.stdout.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
