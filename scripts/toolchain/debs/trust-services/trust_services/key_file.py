"""An authority's key in a file of its host, where the program that signs with it can't use a token.

The file is its owner's alone, PKCS #8 in PEM, and is there whole or not at all. It is never replaced: who
removes it loses the authority.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from trust_services.refusal import Refusal
from trust_services.signing import SigningKey
from trust_services.token import CURVES, RSA_BITS

_CURVES: dict[str, ec.EllipticCurve] = {
    kind: {"secp256r1": ec.SECP256R1(), "secp384r1": ec.SECP384R1()}[curve] for kind, curve in CURVES.items()
}


def read(path: Path) -> SigningKey | None:
    """The key in a file; None without the file. Refusal if others may read it, or it isn't such a key."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Refusal(f"{path}: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        mode = stat.S_IMODE(found.st_mode)
        if mode & 0o077 or found.st_uid != os.geteuid():
            raise Refusal(
                f"{path}: mode {mode:04o}, user {found.st_uid}: others than the authority may know the key",
                "if somebody does, have the certificate revoked and raise `generation`; else "
                f"chown {os.geteuid()} {path}; chmod 0600 {path}",
            )
        text = file.read()
    try:
        key = serialization.load_pem_private_key(text, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Refusal(f"{path}: it isn't a private key in PEM", "bring it back from a backup") from error
    if not isinstance(key, SigningKey):
        raise Refusal(f"{path}: a {type(key).__name__} can't sign certificates here")
    return key


def make(path: Path, kind: str) -> SigningKey:
    """The key in the file, made of `kind` (an estate's key name) where there is none.

    Whoever comes second gets the first one's key. A run that is killed leaves the file away, or whole.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(path.parent) as folder:
        if (present := read(path)) is not None:
            return present
        key: SigningKey
        if kind in RSA_BITS:
            key = rsa.generate_private_key(65537, RSA_BITS[kind])
        else:
            key = ec.generate_private_key(_CURVES[kind])
        text = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        new = path.with_name(f".{path.name}.new")
        # Of a run that was killed: whatever its permissions were, they aren't this file's.
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.rename(path)
        os.fsync(folder)
    return key


@contextmanager
def _alone(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)
