"""Keys in a PKCS#11 token (OASIS PKCS #11 2.40).

The same code drives SoftHSM and hardware: a library, a slot or a label, and a PIN. A private key never leaves
its token.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pkcs11
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass, exceptions
from pkcs11.util.ec import encode_ec_public_key, encode_ecdsa_signature, encode_named_curve_parameters

from trust_services.refusal import Refusal
from trust_services.signing import SigningKey, elsewhere

RSA_BITS = {"rsa-3072": 3072, "rsa-4096": 4096}
CURVES = {"ec-p256": "secp256r1", "ec-p384": "secp384r1"}
RSA_MECHANISMS = {
    "sha256": Mechanism.SHA256_RSA_PKCS,
    "sha384": Mechanism.SHA384_RSA_PKCS,
    "sha512": Mechanism.SHA512_RSA_PKCS,
}


@dataclass(frozen=True)
class TokenPlace:
    """Where a token is: the library that drives it, and the token's label or the slot it stands in."""

    library: str
    label: str
    slot: int | None = None

    def initialize(self, so_pin: str, pin: str) -> None:
        """Give a token its label and PINs. Whatever it held is gone; the old `so_pin` must be the same.

        The first slot that holds a token of this label, or a token without any label, unless `slot` says which.
        Refusal if there is none or the token doesn't take the PIN.
        """
        slot = self._slot_to_initialize()
        # pkcs11-tool, as the Python library can't. PINs by environment: arguments are seen by others.
        arguments = ["--init-token", "--label", self.label, "--so-pin", "env:TOKEN_SO_PIN"]
        self._tool(slot, *arguments, TOKEN_SO_PIN=so_pin)
        # SoftHSM gives an initialized token another slot, which only a fresh look finds.
        with _open(self._token(self._loaded(anew=True)), so_pin, officer=True) as session:
            session.init_pin(pin)

    def exists(self) -> bool:
        """Whether such a token is there."""
        library = self._loaded(anew=True)
        return any(self._matches(slot) for slot in library.get_slots(token_present=True))

    @contextmanager
    def open(self, pin: str) -> Iterator[Token]:
        """The token, with its PIN given. Refusal if it isn't there, or refuses the PIN, or is locked."""
        library = self._loaded()
        token = self._token(library)
        with _open(token, pin) as session:
            yield Token(session, token)

    def _loaded(self, *, anew: bool = False) -> Any:
        """The library; `anew` has it look at its slots again."""
        try:
            library = pkcs11.lib(self.library)
            if anew:
                library.reinitialize()
        except (RuntimeError, exceptions.PKCS11Error) as error:
            raise Refusal(
                f"the PKCS#11 library {self.library} can't be used: {str(error) or type(error).__name__}",
                "look at the token's `library` in the estate's trust.yml",
            ) from error
        return library

    def _token(self, library: Any) -> Any:
        try:
            for slot in library.get_slots(token_present=True):
                if self._matches(slot):
                    return slot.get_token()
        except exceptions.PKCS11Error as error:
            raise Refusal(
                f"the token can't be reached: {type(error).__name__}", "is the device plugged in?"
            ) from error
        raise Refusal(
            f"no token '{self.label}' is in {self._where()}",
            f"pkcs11-tool --module {self.library} --list-token-slots",
        )

    def _matches(self, slot: Any) -> bool:
        return slot.get_token().label == self.label and self.slot in (None, slot.slot_id)

    def _slot_to_initialize(self) -> int:
        library = self._loaded(anew=True)
        found: list[tuple[bool, int]] = []
        for slot in library.get_slots(token_present=True):
            token = slot.get_token()
            initialized = pkcs11.TokenFlag.TOKEN_INITIALIZED in token.flags
            if self.slot in (None, slot.slot_id) and (not initialized or token.label == self.label):
                found.append((not initialized, slot.slot_id))
        if not found:
            raise Refusal(
                f"no empty token is in {self._where()}",
                "bring a token that holds nothing, or name its slot in the estate's trust.yml",
            )
        # One with our label comes from an interrupted attempt; it is used again before an empty one.
        return min(found)[1]

    def _where(self) -> str:
        return "any slot" if self.slot is None else f"slot {self.slot}"

    def _tool(self, slot: int, *arguments: str, **secrets: str) -> None:
        done = subprocess.run(
            ["pkcs11-tool", "--module", self.library, "--slot", str(slot), *arguments],
            env={**os.environ, **secrets},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise Refusal(f"the token refuses to be initialized: {done.stderr.strip()[-300:]}")


@contextmanager
def _open(token: Any, pin: str, *, officer: bool = False) -> Iterator[Any]:
    try:
        session = token.open(rw=True, so_pin=pin) if officer else token.open(rw=True, user_pin=pin)
    except (exceptions.PinIncorrect, exceptions.PinLenRange, exceptions.PinInvalid) as error:
        raise Refusal(
            f"token '{token.label}' refuses the PIN", "are the shares, or the secret, of this token?"
        ) from error
    except exceptions.PinLocked as error:
        raise Refusal(
            f"token '{token.label}' is locked after wrong PINs", "its security officer must set a new PIN"
        ) from error
    except exceptions.PKCS11Error as error:
        raise Refusal(f"token '{token.label}' can't be opened: {type(error).__name__}") from error
    with session:
        yield session


class Token:
    """An open token."""

    def __init__(self, session: Any, token: Any) -> None:
        self._session = session
        self._token = token
        # One session signs one thing at a time (PKCS #11 2.40, section 2.6).
        self._lock = threading.Lock()

    @property
    def description(self) -> dict[str, str]:
        """Maker, model and serial number, for transcripts."""
        told = {
            "manufacturer": self._token.manufacturer_id,
            "model": self._token.model,
            "serial": self._token.serial,
        }
        return {
            name: (value.decode(errors="replace") if isinstance(value, bytes) else str(value)).strip()
            for name, value in told.items()
        }

    def generate(self, label: str, kind: str) -> SigningKey:
        """Make a key of `kind` (an estate's key name) that can't be taken out. Refusal if `label` is in use."""
        if self.key(label) is not None:
            raise Refusal(f"the token already has a key '{label}'")
        private = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False}
        # Go's programs find the halves of a pair by their common identifier.
        identifier = label.encode()
        if kind in RSA_BITS:
            self._session.generate_keypair(
                KeyType.RSA, RSA_BITS[kind], id=identifier, store=True, label=label, private_template=private
            )
        else:
            parameters = self._session.create_domain_parameters(
                KeyType.EC, {Attribute.EC_PARAMS: encode_named_curve_parameters(CURVES[kind])}, local=True
            )
            parameters.generate_keypair(id=identifier, store=True, label=label, private_template=private)
        made = self.key(label)
        if made is None:
            raise Refusal(f"the token says that it made key '{label}', but doesn't have it")
        return made

    def all_keys(self) -> Iterator[SigningKey]:
        """All keys in the token."""
        labels = {
            private.label for private in self._session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY})
        }
        for label in sorted(labels):
            if (key := self.key(label)) is not None:
                yield key

    def key(self, label: str) -> SigningKey | None:
        """The key of this label; None if the token has no such key."""
        private = self._one(ObjectClass.PRIVATE_KEY, label)
        public = self._one(ObjectClass.PUBLIC_KEY, label)
        if private is None or public is None:
            return None
        if private.key_type is KeyType.RSA:
            modulus, exponent = (
                int.from_bytes(public[part]) for part in (Attribute.MODULUS, Attribute.PUBLIC_EXPONENT)
            )
            return elsewhere(
                rsa.RSAPublicNumbers(exponent, modulus).public_key(),
                lambda data, algorithm: self._sign(private, data, RSA_MECHANISMS[algorithm.name]),
            )
        read = serialization.load_der_public_key(encode_ec_public_key(public))
        assert isinstance(read, ec.EllipticCurvePublicKey)  # noqa: S101 - what was just encoded

        def sign(data: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
            # Hashed here: SoftHSM offers no mechanism that hashes and signs with ECDSA at once.
            digest = hashes.Hash(algorithm)
            digest.update(data)
            return encode_ecdsa_signature(self._sign(private, digest.finalize(), Mechanism.ECDSA))

        return elsewhere(read, sign)

    def _sign(self, private: Any, data: bytes, mechanism: Mechanism) -> bytes:
        try:
            with self._lock:
                signature: bytes = private.sign(data, mechanism=mechanism)
        except exceptions.PKCS11Error as error:
            raise Refusal(f"the token doesn't sign: {type(error).__name__}", "open the token again") from error
        return signature

    def _one(self, kind: ObjectClass, label: str) -> Any:
        try:
            return self._session.get_key(object_class=kind, label=label)
        except exceptions.NoSuchKey:
            return None
        except exceptions.MultipleObjectsReturned as error:
            raise Refusal(f"the token has more than one key '{label}'") from error
