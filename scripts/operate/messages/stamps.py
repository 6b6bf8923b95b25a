"""Time stamps (RFC 3161): who states that something existed at a moment, and whether that holds."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from asn1crypto import cms, tsp
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from operate.messages.documents import Mismatch
from operate.messages.trust import certificate, is_signature, name_of

_HASHES = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}


@dataclass(frozen=True, slots=True)
class Stamp:
    """A time stamp whose own signature is in order. Whether its authority is believed is another question."""

    moment: datetime
    authority: x509.Certificate
    carried: tuple[x509.Certificate, ...]
    algorithm: str
    digest: bytes

    @classmethod
    def read(cls, token: bytes, known: tuple[x509.Certificate, ...]) -> Stamp:
        """Read a token; Mismatch if it isn't one, or isn't signed by a certificate for time stamps.

        `known` are certificates that the token needn't carry.
        """
        try:
            return cls._read(token, known)
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise Mismatch(f"the time stamp can't be read: {error}") from error

    @classmethod
    def _read(cls, token: bytes, known: tuple[x509.Certificate, ...]) -> Stamp:
        outer = cms.ContentInfo.load(token, strict=True)
        if outer["content_type"].native != "signed_data":
            raise Mismatch("the time stamp isn't signed data")
        signed = outer["content"]
        content = signed["encap_content_info"]
        if content["content_type"].native != "tst_info" or len(signed["signer_infos"]) != 1:
            raise Mismatch("the time stamp isn't signed by one authority")
        carried = tuple(
            certificate(choice.chosen.dump())
            for choice in signed["certificates"]
            if isinstance(choice.chosen, asn1_x509.Certificate)
        )
        signer = signed["signer_infos"][0]
        authority = _named(signer["sid"], (*carried, *known))
        encoded = content["content"].contents
        _require_signature(signer, encoded, authority)
        info = tsp.TSTInfo.load(encoded, strict=True)
        moment, imprint = info["gen_time"].native, info["message_imprint"]
        _require_purpose(authority)
        algorithm = imprint["hash_algorithm"]["algorithm"].native
        return cls(moment, authority, carried, algorithm, imprint["hashed_message"].native)

    def require_about(self, content: bytes, what: str) -> None:
        """Mismatch unless the time stamp is of this content."""
        if self.algorithm not in _HASHES or hashlib.new(self.algorithm, content).digest() != self.digest:
            raise Mismatch(f"the time stamp isn't of {what}")


def _named(identifier: Any, candidates: tuple[x509.Certificate, ...]) -> x509.Certificate:
    for candidate in candidates:
        if identifier.name == "subject_key_identifier":
            digest = x509.SubjectKeyIdentifier.from_public_key(candidate.public_key()).digest
            if identifier.chosen.native == digest:
                return candidate
        elif (
            identifier.chosen["serial_number"].native == candidate.serial_number
            and identifier.chosen["issuer"].dump() == candidate.issuer.public_bytes()
        ):
            return candidate
    raise Mismatch("the certificate of the time stamp's authority isn't there")


def _require_signature(signer: Any, content: bytes, authority: x509.Certificate) -> None:
    attributes: dict[str, Any] = {}
    for item in signer["signed_attrs"]:
        if item["type"].native in attributes or len(item["values"]) != 1:
            raise Mismatch("the time stamp's signature has an attribute twice")
        attributes[item["type"].native] = item["values"][0]
    algorithm = signer["digest_algorithm"]["algorithm"].native
    if algorithm not in _HASHES or attributes["content_type"].native != "tst_info":
        raise Mismatch("the time stamp's signature is of something else, or over a weak digest")
    if attributes["message_digest"].native != hashlib.new(algorithm, content).digest():
        raise Mismatch("the time stamp was changed after it was signed")
    if not _binds(attributes, authority):
        raise Mismatch("the time stamp's signature doesn't name its certificate")
    # What is signed is the SET, not what it is tagged as (RFC 5652, section 5.4).
    signed = signer["signed_attrs"].untag().dump(force=True)
    if not is_signature(authority, signer["signature"].native, signed, _HASHES[algorithm]):
        raise Mismatch("the time stamp isn't signed by its authority")


def _binds(attributes: dict[str, Any], authority: x509.Certificate) -> bool:
    """RFC 5816, section 2.2.1; RFC 2634, section 5.4 with SHA-1."""
    encoded = authority.public_bytes(Encoding.DER)
    if "signing_certificate_v2" in attributes:
        first = attributes["signing_certificate_v2"]["certs"][0]
        algorithm = first["hash_algorithm"]["algorithm"].native
        return bool(
            algorithm in _HASHES and first["cert_hash"].native == hashlib.new(algorithm, encoded).digest()
        )
    if "signing_certificate" in attributes:
        first = attributes["signing_certificate"]["certs"][0]
        return bool(first["cert_hash"].native == hashlib.sha1(encoded, usedforsecurity=False).digest())
    return False


def _require_purpose(authority: x509.Certificate) -> None:
    """RFC 3161, section 2.3: time stamps alone, and critically so."""
    try:
        usage = authority.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except x509.ExtensionNotFound:
        usage = None
    if usage is None or not usage.critical or list(usage.value) != [ExtendedKeyUsageOID.TIME_STAMPING]:
        raise Mismatch(f"{name_of(authority.subject)} isn't an authority for time stamps")
