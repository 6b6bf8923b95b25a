"""The token's secret in k-of-n shares (SLIP-0039): words that a person can write down, with a checksum.

PIN and security officer's PIN come from one secret, so whoever brings enough shares can do everything with the
token, and whoever brings fewer can do nothing.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from shamir_mnemonic import MnemonicError, combine_mnemonics, generate_mnemonics

from trust_services.refusal import Refusal

_SECRET_BYTES = 32
_PIN_BYTES = 16


@dataclass(frozen=True)
class Pins:
    """What opens a token, and what its security officer gives to initialize it."""

    user: str
    officer: str


def create(folder: Path, custodians: Sequence[str], threshold: int) -> Pins:
    """A new secret, with one file for each custodian in `folder`; the PINs made from it.

    A complete set that is already there is used again: an interrupted attempt left it, and the token may know
    it.
    """
    present = [folder / file_name(custodian) for custodian in custodians]
    if all(path.is_file() for path in present):
        return pins(_combined([_words(path) for path in present[:threshold]]))
    secret = secrets.token_bytes(_SECRET_BYTES)
    [words] = generate_mnemonics(1, [(threshold, len(custodians))], secret)
    for custodian, path, mnemonic in zip(custodians, present, words, strict=True):
        _write(path, f"# Share of {custodian}. Any {threshold} shares open the root's token.\n{mnemonic}\n")
    return pins(secret)


def recover(folder: Path, custodians: Sequence[str], threshold: int) -> tuple[Pins, list[str]]:
    """The PINs from the shares in `folder`, and who brought theirs. Refusal if they don't suffice."""
    present = [custodian for custodian in custodians if (folder / file_name(custodian)).is_file()]
    if len(present) < threshold:
        raise Refusal(
            f"{len(present)} of {threshold} shares are in {folder}",
            "ask more custodians: " + ", ".join(name for name in custodians if name not in present),
        )
    used = present[:threshold]
    return pins(_combined([_words(folder / file_name(custodian)) for custodian in used])), used


def pins(secret: bytes) -> Pins:
    """The PINs of a secret."""
    return Pins(_derived(secret, b"pin"), _derived(secret, b"security officer pin"))


def file_name(custodian: str) -> str:
    """The file of a custodian's share."""
    return re.sub(r"[^a-z0-9]+", "-", custodian.lower()).strip("-") + ".share"


def _derived(secret: bytes, purpose: bytes) -> str:
    return HKDF(hashes.SHA256(), _PIN_BYTES, salt=None, info=purpose).derive(secret).hex()


def _words(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    return " ".join(line for line in lines if not line.startswith("#")).strip()


def _combined(words: list[str]) -> bytes:
    try:
        secret: bytes = combine_mnemonics(words)
    except MnemonicError:
        # Without the library's message, which quotes the words of a bad share.
        raise Refusal(
            "the shares don't fit together, or one has a mistake in it", "type the share again, word by word"
        ) from None
    return secret


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
