"""The transcript of a ceremony: what was brought, done and issued, signed with the root's key.

`transcript.json` is signed as it lies there, in `transcript.json.sig`, so that no more than openssl is needed:

    openssl dgst -sha384 -verify <(openssl x509 -in root.crt -noout -pubkey) -signature transcript.json.sig transcript.json
"""  # noqa: E501 - a command is copied whole

from __future__ import annotations

import hashlib
import platform
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.backends.openssl import backend
from pydantic import BaseModel, ConfigDict

import trust_services
from trust_services.certificate_state import CertificateState

FILE = "transcript.json"
SIGNATURE = "transcript.json.sig"


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Step(_Kept):
    """Something that was done, in the order in which it was."""

    at: datetime
    action: str
    detail: str = ""


class RevokedEntry(_Kept):
    """An entry of a revocation list."""

    serial: int
    at: datetime
    reason: str

    def state(self) -> CertificateState:
        """For the signing of a list."""
        return CertificateState(self.serial, self.at, x509.ReasonFlags[self.reason])


class Issued(_Kept):
    """Something that the root signed, with the inputs from which its bytes can be made again."""

    file: str
    kind: Literal["root", "authority", "revocation_list"]
    begins: datetime
    ends: datetime
    digest: str
    """SHA-256 of the file."""
    serial: int | None = None
    authority: str | None = None
    request: str | None = None
    number: int | None = None
    revoked: tuple[RevokedEntry, ...] = ()


class Transcript(_Kept):
    """All of a ceremony but its secrets."""

    format: Literal[1] = 1
    site: str
    number: int
    """This site's ceremonies are counted from 1."""
    previous: str
    """SHA-256 of the transcript before this one; empty in the first."""
    began: datetime
    ended: datetime
    witnesses: tuple[str, ...]
    custodians: tuple[str, ...]
    """Whose shares opened the token; all of them in the first ceremony."""
    software: dict[str, str]
    token: dict[str, str]
    isolation: dict[str, str]
    inputs: dict[str, str]
    """SHA-256 of the agenda and of each request, by file."""
    steps: tuple[Step, ...]
    issued: tuple[Issued, ...]


def software(library: str) -> dict[str, str]:
    """Versions and hashes of the programs that a ceremony relies on."""
    return {
        "python": platform.python_version(),
        "cryptography": version("cryptography"),
        "openssl": backend.openssl_version_text(),
        "python-pkcs11": version("python-pkcs11"),
        "shamir-mnemonic": version("shamir-mnemonic"),
        f"{Path(library).name} sha256": sha256(Path(library)),
        "trust_services sha256": _program(),
    }


def sha256(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _program() -> str:
    """SHA-256 over the names and contents of this program's files."""
    folder = Path(trust_services.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(f"{path.relative_to(folder)} {sha256(path)}\n".encode())
    return digest.hexdigest()
