"""Requests to the root: files that an issuing authority signs where its key is, carried in by hand.

A request is `NAME.json` with the signature of its bytes in `NAME.json.sig`:

    issue   a first certificate; signed with the key that the CSR asks it for
    renew   the next certificate, for the same key or a new one; signed with the key of the present certificate
    revoke  no certificate any more; signed with the key of the present one, or decided by the quorum

Signatures are RSA PKCS #1 v1.5 or ECDSA, with the hash that goes with the key, as `openssl dgst -verify`
checks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from pydantic import BaseModel, ConfigDict, ValidationError

from trust_services.ceremony.agenda import Agenda
from trust_services.refusal import Refusal
from trust_services.signing import PublicKey, SigningKey, certificate_hash
from trust_services.token import CURVES, RSA_BITS

LARGEST_BYTES = 64 * 1024


class Content(BaseModel):
    """What a request says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["issue", "renew", "revoke"]
    authority: str
    created: datetime
    csr: str | None = None
    """PKCS #10 in PEM, for a certificate."""
    certificate: str | None = None
    """SHA-256 of the present certificate's DER, where there is one."""
    reason: Literal["key_compromise", "superseded", "cessation_of_operation"] | None = None


@dataclass(frozen=True)
class Request:
    """A request that was read and found right."""

    name: str
    content: Content
    digest: str
    """SHA-256 of the file."""
    public: PublicKey | None
    """The key to certify; None for a revocation."""
    by_quorum: bool = False
    """Nobody signed it: the custodians decided."""


def write(folder: Path, content: Content, key: SigningKey) -> Path:
    """A signed request in `folder`, to be carried to the ceremony."""
    folder.mkdir(parents=True, exist_ok=True)
    stamp = content.created.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    path = folder / f"{content.authority}-{content.kind}-{stamp}.json"
    text = content.model_dump_json(indent=2, exclude_none=True).encode() + b"\n"
    _signature_of(path).write_bytes(sign(key, text))
    path.write_bytes(text)
    return path


def read(
    path: Path,
    agenda: Agenda,
    present: Mapping[str, x509.Certificate],
    taken: Collection[str],
    *,
    by_quorum: bool = False,
) -> Request:
    """The request in a file, checked against the certificates in force.

    `taken` are digests of requests that earlier ceremonies granted. Refusal, naming the file, for whatever
    isn't right.
    """
    try:
        return _checked(path, agenda, present, taken, by_quorum=by_quorum)
    except ValidationError as error:
        where = "; ".join(
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()
        )
        raise Refusal(f"{path}: {where}") from error
    except (OSError, ValueError) as error:
        raise Refusal(f"{path}: {error}") from error
    except Refusal as refusal:
        raise Refusal(f"{path}: {refusal.message}", refusal.next_step) from refusal


def _checked(
    path: Path,
    agenda: Agenda,
    present: Mapping[str, x509.Certificate],
    taken: Collection[str],
    *,
    by_quorum: bool,
) -> Request:
    raw = path.read_bytes()
    if len(raw) > LARGEST_BYTES:
        raise Refusal(f"has {len(raw)} bytes; a request has at most {LARGEST_BYTES}")
    content = Content.model_validate(json.loads(raw))
    digest = hashlib.sha256(raw).hexdigest()
    if digest in taken:
        raise Refusal("an earlier ceremony already took it", "make a new request where the key is")
    certificate = present.get(content.authority)
    public = _certified(content, agenda, certificate)
    if not by_quorum:
        _verify(public if content.kind == "issue" else _public_key(certificate), path, raw)
    return Request(path.name, content, digest, public, by_quorum)


def sign(key: SigningKey, data: bytes) -> bytes:
    """The signature of `data` with the hash that goes with the key."""
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), certificate_hash(key))
    return key.sign(data, ec.ECDSA(certificate_hash(key)))


def verify(public: PublicKey, signature: bytes, data: bytes) -> bool:
    """Whether `signature` is `sign`'s of `data`."""
    try:
        if isinstance(public, rsa.RSAPublicKey):
            public.verify(signature, data, padding.PKCS1v15(), certificate_hash(public))
        else:
            public.verify(signature, data, ec.ECDSA(certificate_hash(public)))
    except InvalidSignature:
        return False
    return True


def kind_of(public: object) -> str:
    """The estate's name for a key; what the estate has no name for is described."""
    if isinstance(public, rsa.RSAPublicKey):
        sizes = {bits: kind for kind, bits in RSA_BITS.items()}
        return sizes.get(public.key_size, f"rsa-{public.key_size}")
    if isinstance(public, ec.EllipticCurvePublicKey):
        curves = {curve: kind for kind, curve in CURVES.items()}
        return curves.get(public.curve.name, f"ec on {public.curve.name}")
    return type(public).__name__


def _certified(content: Content, agenda: Agenda, present: x509.Certificate | None) -> PublicKey | None:
    """The key to certify, after all that must be true of a request of its kind."""
    if content.authority not in agenda.authorities:
        known = ", ".join(sorted(agenda.authorities))
        raise Refusal(f"authority: '{content.authority}' isn't one of the site's ({known})")
    if content.kind == "issue" and present is not None:
        raise Refusal(
            f"'{content.authority}' has a certificate until {present.not_valid_after_utc:%Y-%m-%d}",
            "ask to renew it, or revoke it first",
        )
    if content.kind != "issue":
        if present is None:
            raise Refusal(f"'{content.authority}' has no certificate to {content.kind}")
        if content.certificate != present.fingerprint(hashes.SHA256()).hex():
            raise Refusal(f"certificate: it isn't the present one of '{content.authority}'")
    if content.kind == "revoke":
        if content.reason is None:
            raise Refusal("reason: a revocation needs one")
        return None
    if content.csr is None:
        raise Refusal("csr: a certificate can't be made without one")
    csr = x509.load_pem_x509_csr(content.csr.encode())
    if not csr.is_signature_valid:
        raise Refusal("csr: its signature is wrong: the key that it asks for isn't the sender's")
    wanted = agenda.authorities[content.authority]
    if csr.subject != agenda.subject(wanted.common_name):
        raise Refusal(
            f"csr: its subject is '{csr.subject.rfc4514_string()}', "
            f"not '{agenda.subject(wanted.common_name).rfc4514_string()}'"
        )
    public = csr.public_key()
    if kind_of(public) != wanted.key or not isinstance(public, PublicKey):
        raise Refusal(f"csr: its key is {kind_of(public)}, the estate wants {wanted.key}")
    return public


def _public_key(certificate: x509.Certificate | None) -> PublicKey | None:
    public = certificate.public_key() if certificate is not None else None
    return public if isinstance(public, PublicKey) else None


def _verify(signer: PublicKey | None, path: Path, raw: bytes) -> None:
    signature = _signature_of(path)
    if not signature.is_file():
        raise Refusal(f"{signature.name} is missing: nobody signed the request")
    if signer is None or not verify(signer, signature.read_bytes(), raw):
        raise Refusal("its signature isn't of the key that must sign it", "sign it where that key is")


def _signature_of(path: Path) -> Path:
    return path.with_name(path.name + ".sig")


def fingerprint(public: PublicKey) -> str:
    """SHA-256 of a key's SubjectPublicKeyInfo."""
    encoded = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(encoded).hexdigest()
