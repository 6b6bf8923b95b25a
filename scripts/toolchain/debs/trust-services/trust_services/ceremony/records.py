"""The root's records: one numbered folder for each ceremony, each transcript naming the one before it.

    0001/agenda.json  requests/  root.crt  root.crl  transcript.json  transcript.json.sig
    0002/agenda.json  requests/  trust-services.crt  root.crl  …

They are all that a later ceremony needs beside the token and its shares: nothing in them is secret. A folder
appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography import x509
from pydantic import ValidationError

from trust_services.ceremony import requests
from trust_services.ceremony.transcript import FILE, SIGNATURE, RevokedEntry, Transcript, sha256
from trust_services.refusal import Refusal
from trust_services.signing import PublicKey

AGENDA = "agenda.json"
REQUESTS = "requests"
ROOT = "root.crt"
LIST = "root.crl"


@dataclass
class History:
    """What the records say, verified from the first to the last."""

    transcripts: list[Transcript] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    root: x509.Certificate | None = None
    present: dict[str, x509.Certificate] = field(default_factory=dict)
    """The certificate in force of each authority."""
    revoked: tuple[RevokedEntry, ...] = ()
    taken: set[str] = field(default_factory=set)
    """Digests of all requests that were ever granted."""
    last: str = ""
    """SHA-256 of the last transcript."""

    @property
    def ended(self) -> datetime | None:
        """When the last ceremony ended."""
        return self.transcripts[-1].ended if self.transcripts else None

    @property
    def lists(self) -> int:
        """How many revocation lists were issued."""
        return sum(issued.kind == "revocation_list" for text in self.transcripts for issued in text.issued)

    def names(self) -> set[x509.Name]:
        """Names of all authorities that were ever certified."""
        return {certificate.subject for certificate in self.certificates()}

    def certificates(self, authority: str | None = None) -> list[x509.Certificate]:
        """All certificates that were ever issued to authorities, or to one of them, the first ones first."""
        return [
            load_certificate(folder / issued.file)
            for folder, text in zip(self.folders, self.transcripts, strict=True)
            for issued in text.issued
            if issued.kind == "authority" and authority in (None, issued.authority)
        ]


def load(folder: Path) -> History:
    """The history in `folder`. Refusal if anything in it was changed, lost, or not signed by the root."""
    history = History()
    for number, path in enumerate(_numbered(folder), start=1):
        if path.name != f"{number:04}":
            raise Refusal(f"{folder}: the record of ceremony {number} is missing", "bring all records")
        text = _transcript(path)
        if text.number != number or text.previous != history.last:
            raise Refusal(f"{path / FILE}: it doesn't follow the transcript before it")
        if number == 1:
            history.root = load_certificate(path / ROOT)
        _check_signature(path, history.root)
        for name, digest in text.inputs.items():
            _check_digest(path / name, digest)
        for issued in text.issued:
            _check_digest(path / issued.file, issued.digest)
            if issued.kind == "authority" and issued.authority is not None:
                history.present[issued.authority] = load_certificate(path / issued.file)
            elif issued.kind == "revocation_list":
                history.revoked = issued.revoked
        gone = {entry.serial for entry in history.revoked}
        history.present = {
            name: found for name, found in history.present.items() if found.serial_number not in gone
        }
        history.taken |= {digest for name, digest in text.inputs.items() if name.startswith(REQUESTS)}
        history.last = sha256(path / FILE)
        history.transcripts.append(text)
        history.folders.append(path)
    return history


@contextmanager
def writing(folder: Path, number: int) -> Iterator[Path]:
    """A folder for the record of ceremony `number`; in its place and on the disk once the block ended well."""
    new = folder / f".{number:04}.new"
    if new.exists():
        # Left by a ceremony that was interrupted; nothing in it was ever handed out.
        shutil.rmtree(new)
    (new / REQUESTS).mkdir(parents=True)
    yield new
    for path in sorted(new.rglob("*")):
        _to_disk(path)
    _to_disk(new)
    new.rename(folder / f"{number:04}")
    _to_disk(folder)


def load_certificate(path: Path) -> x509.Certificate:
    """The certificate in a file; Refusal if it isn't one."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Refusal(f"{path}: {error}", "bring the record as it was written") from error


def public_key(certificate: x509.Certificate) -> PublicKey:
    """The key of an authority's certificate."""
    public = certificate.public_key()
    if not isinstance(public, PublicKey):
        raise Refusal(f"'{certificate.subject.rfc4514_string()}' has a key that no authority here has")
    return public


def _numbered(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("[0-9]*") if path.is_dir()) if folder.is_dir() else []


def _transcript(path: Path) -> Transcript:
    try:
        return Transcript.model_validate_json((path / FILE).read_bytes())
    except (OSError, ValidationError) as error:
        raise Refusal(f"{path / FILE}: {error}", "bring the record as it was written") from error


def _check_signature(path: Path, root: x509.Certificate | None) -> None:
    signature = path / SIGNATURE
    if (
        root is None
        or not signature.is_file()
        or not requests.verify(public_key(root), signature.read_bytes(), (path / FILE).read_bytes())
    ):
        raise Refusal(f"{path / FILE}: the root didn't sign it as it lies here")


def _check_digest(path: Path, digest: str) -> None:
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
        raise Refusal(f"{path}: it is missing, or not what the transcript says", "bring the record as it was")


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
