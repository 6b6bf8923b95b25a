"""The software token: private keys that are usable only after its PIN was entered.

A random token secret wraps every key (AES-256-GCM); the PIN wraps the token secret (scrypt). What
is on disk is useless without the PIN, and a new PIN re-wraps one value only. After a restart the
PIN is needed again, as with X-Road's signer.
"""

from __future__ import annotations

import base64
import secrets
import uuid
from enum import StrEnum
from typing import ClassVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from xroad_simulator.store import Record, Store

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

TOKEN_ID = "0"
"""X-Road's identifier of the software token."""

MAXIMUM_PIN_FAILURES = 3
_NONCE_BYTES = 12


class KeyAlgorithm(StrEnum):
    """Algorithms that the server generates keys for."""

    RSA = "RSA"
    EC = "EC"


class TokenNotInitializedError(Exception):
    """The token has no PIN yet."""


class TokenLoggedOutError(Exception):
    """A key was asked for before the PIN was entered."""


class WrongPinError(Exception):
    """The PIN isn't the token's; `tries_left` more until it locks."""

    def __init__(self, tries_left: int) -> None:
        super().__init__(f"wrong PIN, {tries_left} tries left")
        self.tries_left = tries_left


class TokenLockedError(Exception):
    """Too many wrong PINs. A restart of the server opens the token for new tries."""


class TokenRecord(Record):
    """The token as it lies on disk."""

    KIND: ClassVar[str] = "token"
    name: str = "softToken-0"
    salt: str
    wrapped_secret: str

    @property
    def key(self) -> str:
        """There is one."""
        return TOKEN_ID


class KeyRecord(Record):
    """A key as it lies on disk: the private half is wrapped."""

    KIND: ClassVar[str] = "key"
    id: str
    label: str
    name: str
    usage: str
    algorithm: KeyAlgorithm
    public_key: str
    wrapped_key: str

    @property
    def key(self) -> str:
        """The key's identifier."""
        return self.id


def _wrap(secret: bytes, data: bytes) -> str:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return base64.b64encode(nonce + AESGCM(secret).encrypt(nonce, data, None)).decode()


def _unwrap(secret: bytes, text: str) -> bytes:
    data = base64.b64decode(text)
    return AESGCM(secret).decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], None)


def _secret_of_pin(pin: str, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=32, n=2**14, r=8, p=1).derive(pin.encode())


def generate_private_key(algorithm: KeyAlgorithm, rsa_bits: int = 2048) -> PrivateKey:
    """A new key of the wanted algorithm; elliptic-curve keys are on P-256, as X-Road's are."""
    if algorithm is KeyAlgorithm.EC:
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=rsa_bits)


def sign(key: PrivateKey, data: bytes) -> bytes:
    """A signature over the SHA-512 of the data."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(data, ec.ECDSA(hashes.SHA512()))
    return key.sign(data, padding.PKCS1v15(), hashes.SHA512())


def verify(key: PublicKeyTypes, signature: bytes, data: bytes) -> None:
    """Inverse of `sign`; cryptography's InvalidSignature if it doesn't match."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, data, ec.ECDSA(hashes.SHA512()))
    elif isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, data, padding.PKCS1v15(), hashes.SHA512())
    else:
        raise TypeError(f"no signatures with a {type(key).__name__}")


class SoftwareToken:
    """The token of one server. Its secret lives in memory only, from log-in to log-out."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._secret: bytes | None = None
        self._failures = 0

    @property
    def record(self) -> TokenRecord | None:
        """The token on disk, None before initialization."""
        return self._store.get(TokenRecord, TOKEN_ID)

    @property
    def is_initialized(self) -> bool:
        """Whether a PIN was set."""
        return self.record is not None

    @property
    def is_logged_in(self) -> bool:
        """Whether keys can be used."""
        return self._secret is not None

    @property
    def tries_left(self) -> int:
        """Wrong PINs that may still be entered until the token locks."""
        return max(MAXIMUM_PIN_FAILURES - self._failures, 0)

    @property
    def is_locked(self) -> bool:
        """Whether too many wrong PINs were entered since the start of the server."""
        return self.tries_left == 0

    @property
    def status(self) -> str:
        """What the APIs say of the last PIN (X-Road: SoftwareTokenWorker.java, activateToken)."""
        if self.is_locked:
            return "USER_PIN_LOCKED"
        if self.tries_left == 1:
            return "USER_PIN_FINAL_TRY"
        return "USER_PIN_INCORRECT" if self._failures else "OK"

    def initialize(self, pin: str) -> None:
        """Make the token with this PIN."""
        salt = secrets.token_bytes(16)
        wrapped = _wrap(_secret_of_pin(pin, salt), secrets.token_bytes(32))
        record = TokenRecord(salt=base64.b64encode(salt).decode(), wrapped_secret=wrapped)
        self._store.put(record)

    def _opened(self, pin: str) -> bytes:
        record = self.record
        if record is None:
            raise TokenNotInitializedError
        if self.is_locked:
            raise TokenLockedError
        try:
            secret = _unwrap(_secret_of_pin(pin, base64.b64decode(record.salt)), record.wrapped_secret)
        except InvalidTag:
            self._failures += 1
            raise WrongPinError(self.tries_left) from None
        self._failures = 0
        return secret

    def log_in(self, pin: str) -> None:
        """Make the keys usable. Raises TokenNotInitializedError, WrongPinError or TokenLockedError."""
        self._secret = self._opened(pin)

    def restart(self) -> None:
        """Start afresh, as with a restart of the signer: logged out, with all tries left."""
        self._secret = None
        self._failures = 0

    def log_out(self) -> None:
        """Forget the secret."""
        self._secret = None

    def change_pin(self, old: str, new: str) -> None:
        """Wrap the token's secret with another PIN. Raises as `log_in`."""
        secret = self._opened(old)
        salt = secrets.token_bytes(16)
        record = self.record
        assert record is not None
        self._store.put(
            record.having(
                salt=base64.b64encode(salt).decode(),
                wrapped_secret=_wrap(_secret_of_pin(new, salt), secret),
            )
        )

    def generate(
        self, label: str, usage: str, algorithm: KeyAlgorithm, rsa_bits: int
    ) -> tuple[KeyRecord, PrivateKey]:
        """A new key, not stored yet: the caller stores it with what belongs to it."""
        if self._secret is None:
            raise TokenLoggedOutError
        private = generate_private_key(algorithm, rsa_bits)
        encoded = private.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        public = private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        identifier = uuid.uuid4().hex.upper()
        record = KeyRecord(
            id=identifier,
            label=label,
            name=label or identifier,
            usage=usage,
            algorithm=algorithm,
            public_key=base64.b64encode(public).decode(),
            wrapped_key=_wrap(self._secret, encoded),
        )
        return record, private

    def private_key(self, record: KeyRecord) -> PrivateKey:
        """The key, ready to sign; TokenLoggedOutError without a PIN."""
        if self._secret is None:
            raise TokenLoggedOutError
        key = serialization.load_der_private_key(_unwrap(self._secret, record.wrapped_key), password=None)
        assert isinstance(key, PrivateKey)
        return key
