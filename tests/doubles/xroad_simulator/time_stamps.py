"""Time stamps (RFC 3161) as X-Road asks for them, and checks them against certificates that it was told of."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from asn1crypto import cms, core, tsp
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from xroad_simulator.certificates import der

QUERY_TYPE, REPLY_TYPE = "application/timestamp-query", "application/timestamp-reply"
_GRANTED = {"granted", "granted_with_mods"}
_HASHES = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}


class TimeStampError(Exception):
    """An answer that is no time stamp, or none that can be relied on."""


@dataclass(frozen=True, slots=True)
class TimeStamp:
    """A verified time stamp."""

    time: datetime
    token: bytes
    """The signed structure (a ContentInfo in DER), which stays verifiable."""


def query(digest: bytes, nonce: int) -> bytes:
    """The question about a SHA-512 digest, X-Road's default (`hash-algo-id`)."""
    imprint = {"hash_algorithm": {"algorithm": "sha512"}, "hashed_message": digest}
    asked = tsp.TimeStampReq({"version": "v1", "message_imprint": imprint, "nonce": nonce, "cert_req": True})
    encoded: bytes = asked.dump()
    return encoded


def read_reply(reply: bytes, digest: bytes, nonce: int, approved: Sequence[x509.Certificate]) -> TimeStamp:
    """The time stamp in an answer; TimeStampError unless it is of the digest and an approved one signed it."""
    try:
        answer = tsp.TimeStampResp.load(reply, strict=True)
        status = answer["status"]["status"].native
        if status not in _GRANTED:
            told = answer["status"].native
            reasons = f"{told.get('fail_info')}, {told.get('status_string')}"
            raise TimeStampError(f"no time stamp: {status}, {reasons}")
        token = answer["time_stamp_token"].dump()
        info = _verified(token, approved)
        if info["nonce"].native != nonce:
            raise TimeStampError("the time stamp answers another question: its nonce is another")
    except (ValueError, TypeError, KeyError) as error:
        raise TimeStampError(f"the time stamp can't be read: {error}") from error
    _require_digest(info, digest)
    return TimeStamp(info["gen_time"].native, token)


def verify(token: bytes, digest: bytes, approved: Sequence[x509.Certificate]) -> datetime:
    """When a digest was stamped; TimeStampError unless the token is about it and an approved one signed it."""
    try:
        info = _verified(token, approved)
        _require_digest(info, digest)
        moment: datetime = info["gen_time"].native
    except (ValueError, TypeError, KeyError) as error:
        raise TimeStampError(f"the time stamp can't be read: {error}") from error
    return moment


def _require_digest(info: Any, digest: bytes) -> None:
    imprint = info["message_imprint"]
    if (imprint["hash_algorithm"]["algorithm"].native, imprint["hashed_message"].native) != ("sha512", digest):
        raise TimeStampError("the time stamp is of something else")


def _verified(token: bytes, approved: Sequence[x509.Certificate]) -> Any:
    """The content of a token whose signature is in order."""
    outer = cms.ContentInfo.load(token, strict=True)
    if outer["content_type"].native != "signed_data":
        raise TimeStampError("the time stamp isn't signed data")
    signed = outer["content"]
    content = signed["encap_content_info"]
    if content["content_type"].native != "tst_info" or len(signed["signer_infos"]) != 1:
        raise TimeStampError("the signed data isn't a time stamp with one signature")
    signer = signed["signer_infos"][0]
    certificate = _named(signer, approved)
    encoded: bytes = content["content"].contents
    _require_signature(signer, encoded, certificate)
    info = tsp.TSTInfo.load(encoded, strict=True)
    _require_purpose(certificate, info["gen_time"].native)
    return info


def _named(signer: Any, approved: Sequence[x509.Certificate]) -> x509.Certificate:
    """The approved certificate that the signature names, by issuer and number or by its key's identifier."""
    named = signer["sid"]
    for certificate in approved:
        if named.name == "subject_key_identifier":
            digest = x509.SubjectKeyIdentifier.from_public_key(certificate.public_key()).digest
            if named.chosen.native == digest:
                return certificate
        elif (
            named.chosen["serial_number"].native == certificate.serial_number
            and named.chosen["issuer"].dump() == certificate.issuer.public_bytes()
        ):
            return certificate
    raise TimeStampError("the time stamp's signer is none of the approved time-stamping services")


def _require_signature(signer: Any, content: bytes, certificate: x509.Certificate) -> None:
    attributes = {item["type"].native: item["values"] for item in signer["signed_attrs"]}
    algorithm = signer["digest_algorithm"]["algorithm"].native
    if algorithm not in _HASHES:
        raise TimeStampError(f"the time stamp is signed over {algorithm}")
    if attributes["content_type"][0].native != "tst_info":
        raise TimeStampError("the signature is of other content than a time stamp")
    if attributes["message_digest"][0].native != hashlib.new(algorithm, content).digest():
        raise TimeStampError("the time stamp was changed after it was signed")
    if not _names_certificate(attributes, certificate):
        raise TimeStampError("the signature doesn't name its certificate")
    # They are signed as the SET that they are, not under the tag that they carry (RFC 5652, section 5.4).
    signed: bytes = signer["signed_attrs"].untag().dump(force=True)
    key, hash_ = certificate.public_key(), _HASHES[algorithm]
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signer["signature"].native, signed, padding.PKCS1v15(), hash_)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signer["signature"].native, signed, ec.ECDSA(hash_))
        else:
            raise TimeStampError("the time stamp's key is of a kind that isn't known")
    except InvalidSignature as error:
        raise TimeStampError("the time stamp's signature is wrong") from error


def _names_certificate(attributes: dict[str, Any], certificate: x509.Certificate) -> bool:
    """Whether the signature binds its certificate (RFC 5816, or RFC 2634 with SHA-1)."""
    for attribute, usual in (("signing_certificate_v2", "sha256"), ("signing_certificate", "sha1")):
        if attribute in attributes:
            first = attributes[attribute][0]["certs"][0]
            algorithm = first["hash_algorithm"]["algorithm"].native if usual == "sha256" else usual
            named: core.OctetString = first["cert_hash"]
            return bool(named.native == hashlib.new(algorithm, der(certificate)).digest())
    return False


def _require_purpose(certificate: x509.Certificate, moment: datetime) -> None:
    """RFC 3161, section 2.3: for time stamps, critically, and for nothing else; and valid at that time."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except x509.ExtensionNotFound as error:
        raise TimeStampError("the approved certificate isn't for time stamps") from error
    if not usage.critical or list(usage.value) != [ExtendedKeyUsageOID.TIME_STAMPING]:
        raise TimeStampError("the approved certificate isn't for time stamps alone")
    if not certificate.not_valid_before_utc <= moment <= certificate.not_valid_after_utc:
        raise TimeStampError("the approved certificate wasn't valid at the time of the stamp")
