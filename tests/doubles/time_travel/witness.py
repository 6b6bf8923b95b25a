"""Asks for everything that the stage serves, and judges it by the time of that moment.

Judged with the cryptography library and openssl alone: what the programs think of their answers isn't asked.
"""

from __future__ import annotations

import base64
import hashlib
import ssl
import subprocess
import urllib.parse
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Literal

from asn1crypto import cms, core, tsp
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from trust_services.status.responder import Response

Status = Literal["good", "revoked", "unknown", "any"]
"""How a certificate must be answered about; `any` where the moment between two states may show either."""

_HASHES = (hashes.SHA1(), hashes.SHA256())  # noqa: S303 - names certificates, doesn't protect
STAMPED = hashlib.sha512(b"a message").digest()


class _Parts(core.SequenceOf):  # type: ignore[misc] # asn1crypto has no types
    """A TimeStampResp that may be without a time stamp, which asn1crypto's own must have."""

    _child_spec = core.Any


@dataclass
class Findings:
    """What was asked, and what came."""

    asked: Counter[str] = field(default_factory=Counter)
    """Answers that were looked at, by kind."""
    expired: list[str] = field(default_factory=list)
    """Served after its end, by the clock of that moment. There must be none."""
    wrong: list[str] = field(default_factory=list)
    """Anything else that a client would refuse, or that says what isn't so."""
    late: Counter[str] = field(default_factory=Counter)
    """How often `tryLater` came, by circumstance: allowed where nobody could sign or fetch."""

    def judge_life(self, what: str, begins: datetime, ends: datetime, now: datetime) -> None:
        """Note what isn't valid now. The last second belongs to a certificate's life, not to an answer's."""
        if now > ends:
            self.expired.append(f"{now:%Y-%m-%d %H:%M}: {what} ended {ends:%Y-%m-%d %H:%M:%S}")
        elif now < begins:
            self.wrong.append(f"{now:%Y-%m-%d %H:%M}: {what} begins only {begins:%Y-%m-%d %H:%M:%S}")

    def judge_certificate(self, what: str, found: x509.Certificate, now: datetime) -> None:
        """Note a certificate that isn't valid now."""
        self.judge_life(
            f"{what} {found.serial_number:x}", found.not_valid_before_utc, found.not_valid_after_utc, now
        )

    def judge_update(self, what: str, this: datetime, following: datetime | None, now: datetime) -> None:
        """Note an answer or a list that isn't current (RFC 6960 section 3.2, RFC 5280 section 6.3.3)."""
        if following is None:
            self.wrong.append(f"{what} has no nextUpdate")
        elif now >= following:
            self.expired.append(f"{now:%Y-%m-%d %H:%M}: {what} was good until {following:%Y-%m-%d %H:%M:%S}")
        elif now < this:
            self.wrong.append(f"{now:%Y-%m-%d %H:%M}: {what} is of {this:%Y-%m-%d %H:%M:%S}")


@lru_cache(maxsize=4096)
def signed_by(lower: x509.Certificate, upper: x509.Certificate) -> bool:
    """Whether one certificate issued the other, whenever."""
    try:
        lower.verify_directly_issued_by(upper)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


@lru_cache(maxsize=4096)
def _read_answer(der: bytes) -> tuple[ocsp.OCSPResponse, x509.Certificate | None, bool]:
    """An answer, who signed it, and whether that is so."""
    answer = ocsp.load_der_ocsp_response(der)
    if answer.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL or len(answer.certificates) != 1:
        return answer, None, False
    signer = answer.certificates[0]
    key, algorithm = signer.public_key(), answer.signature_hash_algorithm
    assert algorithm is not None
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(answer.signature, answer.tbs_response_bytes, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(answer.signature, answer.tbs_response_bytes, ec.ECDSA(algorithm))
        else:
            return answer, signer, False
    except InvalidSignature:
        return answer, signer, False
    usage = signer.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    return answer, signer, ExtendedKeyUsageOID.OCSP_SIGNING in usage


@lru_cache(maxsize=4096)
def request(serial: int, issuer_name: bytes, issuer: x509.Certificate, sha256: bool) -> bytes:
    """An OCSP request about a certificate."""
    algorithm = _HASHES[sha256]
    hashed = hashes.Hash(algorithm)
    hashed.update(issuer_name)
    key = ocsp.OCSPRequestBuilder().add_certificate(issuer, issuer, algorithm).build().issuer_key_hash
    built = ocsp.OCSPRequestBuilder().add_certificate_by_hash(hashed.finalize(), key, serial, algorithm)
    return built.build().public_bytes(Encoding.DER)


def address(asked: bytes) -> str:
    """The path that asks the same by GET (RFC 6960 appendix A.1)."""
    return f"/{urllib.parse.quote(base64.b64encode(asked).decode(), safe='')}"


class Witness:
    """Judges what is served. `freshness` is how old an answer may be; `root` is whom clients trust."""

    def __init__(self, freshness: timedelta, root: x509.Certificate) -> None:
        self.findings = Findings()
        self._freshness = freshness
        self._root = root
        self._list_numbers: dict[str, int] = {}

    def chain(self, what: str, certificates: Sequence[x509.Certificate], now: datetime) -> None:
        """A certificate, those above it, and the root: each valid now and issued by the next."""
        path = [*certificates, self._root]
        for found in path:
            self.findings.judge_certificate(f"in the chain of {what}:", found, now)
        if not all(signed_by(lower, upper) for lower, upper in pairwise(path)):
            self.findings.wrong.append(f"{now:%Y-%m-%d %H:%M}: the chain of {what} doesn't hold")

    def answer(
        self, what: str, der: bytes, issuer: x509.Certificate, status: Status, now: datetime, *, late: str = ""
    ) -> None:
        """An OCSP answer about one certificate; `late` names the circumstance that allows there to be none."""
        self.findings.asked["OCSP answers"] += 1
        answer, signer, signed = _read_answer(der)
        when = f"{now:%Y-%m-%d %H:%M}: the answer about {what}"
        if answer.response_status is ocsp.OCSPResponseStatus.TRY_LATER:
            self.findings.late[late or "in no circumstance that allows it"] += 1
            if not late:
                self.findings.wrong.append(f"{when} is tryLater")
            return
        if answer.response_status is ocsp.OCSPResponseStatus.UNAUTHORIZED:
            if status not in ("unknown", "any"):
                self.findings.wrong.append(f"{when}: there is none")
            return
        if signer is None or not signed or not signed_by(signer, issuer):
            self.findings.wrong.append(f"{when} isn't signed by a responder of the issuer's")
            return
        self.findings.judge_update(
            f"the answer about {what}", answer.this_update_utc, answer.next_update_utc, now
        )
        if now - answer.this_update_utc >= self._freshness:
            self.findings.expired.append(f"{when} is of {answer.this_update_utc}: older than {self._freshness}")
        self.chain(f"the answer about {what}", [signer, issuer], now)
        said = answer.certificate_status.name.lower()
        if status not in (said, "any"):
            self.findings.wrong.append(f"{when} says {said}, not {status}")

    def revocation_list(
        self, name: str, response: Response, issuer: x509.Certificate, revoked: Iterable[int], now: datetime
    ) -> None:
        """A list that is served; `revoked` must be in it."""
        self.findings.asked["revocation lists"] += 1
        if response.status != 200:
            self.findings.wrong.append(f"{now:%Y-%m-%d %H:%M}: list '{name}' isn't served: {response.status}")
            return
        found = x509.load_der_x509_crl(response.body)
        self.findings.judge_update(f"list '{name}'", found.last_update_utc, found.next_update_utc, now)
        key = issuer.public_key()
        assert isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)
        if not found.is_signature_valid(key):
            self.findings.wrong.append(f"{now:%Y-%m-%d %H:%M}: list '{name}' isn't its issuer's")
        missing = {
            serial for serial in revoked if found.get_revoked_certificate_by_serial_number(serial) is None
        }
        if missing:
            self.findings.wrong.append(f"{now:%Y-%m-%d %H:%M}: list '{name}' lacks {missing}")
        number = found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        if number < self._list_numbers.get(name, 0):
            self.findings.wrong.append(f"{now:%Y-%m-%d %H:%M}: list '{name}' went back to number {number}")
        self._list_numbers[name] = number

    def served_certificate(self, name: str, response: Response, now: datetime) -> None:
        """An authority's certificate that is served for `caIssuers`."""
        self.findings.asked["authorities' certificates"] += 1
        if response.status != 200:
            self.findings.wrong.append(f"{now:%Y-%m-%d %H:%M}: certificate '{name}' isn't served")
            return
        found = x509.load_der_x509_certificate(response.body)
        self.chain(f"'{name}'", [found] if found != self._root else [], now)

    def tls(self, port: int, chain_file: Path, now: datetime) -> None:
        """The certificate that a server of hosts' TLS shows, and what it sends with it."""
        self.findings.asked["TLS certificates"] += 1
        shown = x509.load_pem_x509_certificate(ssl.get_server_certificate(("localhost", port)).encode())
        sent = x509.load_pem_x509_certificates(chain_file.read_bytes())
        if sent[0] != shown:
            self.findings.wrong.append(f"{now:%Y-%m-%d %H:%M}: the server doesn't show the renewed certificate")
        self.chain("the API's TLS certificate", [shown, *sent[1:]], now)

    def stamp(self, reply: bytes, now: datetime, root_file: Path, folder: Path, *, by_openssl: bool) -> None:
        """A time stamp over `STAMPED` with its certificates."""
        self.findings.asked["time stamps"] += 1
        [status, *token] = _Parts.load(reply)
        said = tsp.PKIStatusInfo.load(status.dump()).native
        if said["status"] != "granted" or not token:
            self.findings.wrong.append(f"{now:%Y-%m-%d %H:%M}: no time stamp: {said['status_string']}")
            return
        read = tsp.TimeStampResp.load(reply, strict=True)
        data: cms.SignedData = read["time_stamp_token"]["content"]
        carried = [x509.load_der_x509_certificate(each.dump()) for each in data["certificates"]]
        serial = data["signer_infos"][0]["sid"].chosen["serial_number"].native
        path = sorted(carried, key=lambda each: each.serial_number != serial)
        self.chain("a time stamp", path, now)
        stated: datetime = data["encap_content_info"]["content"].parsed["gen_time"].native
        if stated != now:
            self.findings.wrong.append(f"{now:%Y-%m-%d %H:%M}: a time stamp says {stated}")
        if by_openssl:
            (folder / "reply.tsr").write_bytes(reply)
            (folder / "chain.pem").write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in path))
            done = subprocess.run(
                [
                    *("openssl", "ts", "-verify", "-digest", STAMPED.hex(), "-in", str(folder / "reply.tsr")),
                    *("-CAfile", str(root_file), "-untrusted", str(folder / "chain.pem")),
                ],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode != 0:
                self.findings.wrong.append(f"{now:%Y-%m-%d %H:%M}: openssl refuses a time stamp: {done.stderr}")

    def in_force(self, certificates: Mapping[str, x509.Certificate], now: datetime) -> None:
        """Certificates that somebody uses now."""
        for what, found in certificates.items():
            self.findings.asked["certificates in force"] += 1
            self.findings.judge_certificate(what, found, now)


def stamp_request() -> bytes:
    """A request for a time stamp with its certificates."""
    imprint = {"hash_algorithm": {"algorithm": "sha512"}, "hashed_message": STAMPED}
    made: bytes = tsp.TimeStampReq({"version": 1, "message_imprint": imprint, "cert_req": True}).dump()
    return made


def utc_now() -> datetime:
    """The moved clock's time."""
    return datetime.now(UTC)
