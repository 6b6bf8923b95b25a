"""Signing OCSP answers before anybody asks (RFC 6960 section 2.5, in the profile of RFC 5019)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from trust_services.certificate_state import CertificateState
from trust_services.refusal import Refusal
from trust_services.signing import SigningKey, certificate_hash
from trust_services.status.answers import Answer
from trust_services.status.certificate_id import HASHES, issuer_hashes, shortest_request


@dataclass(frozen=True)
class Signer:
    """An authority's delegated responder (RFC 6960 section 4.2.2.2): its certificate and its key."""

    issuer: x509.Certificate
    responder: x509.Certificate
    key: SigningKey

    def __post_init__(self) -> None:
        if self.responder.public_key() != self.key.public_key():
            raise Refusal(
                f"the key isn't that of the responder's certificate {self.responder.subject.rfc4514_string()}"
            )

    def sign(
        self, states: Iterable[CertificateState], this_update: datetime, next_update: datetime
    ) -> list[Answer]:
        """One answer for each certificate and each hash that CertIDs are made with.

        The hash of the signature is SHA-256, or SHA-384 for a key on P-384. Refusal if the token refuses.
        """
        this_update = this_update.replace(microsecond=0)
        next_update = next_update.replace(microsecond=0)
        if next_update <= this_update:
            raise Refusal("nextUpdate must be later than thisUpdate")
        issuer = issuer_hashes(self.issuer)
        signature_hash = certificate_hash(self.key)
        made = []
        for state in states:
            revoked_at, reason = state.shown
            status = ocsp.OCSPCertStatus.REVOKED if revoked_at else ocsp.OCSPCertStatus.GOOD
            for algorithm in HASHES:
                names = issuer[algorithm.name]
                response = (
                    ocsp.OCSPResponseBuilder()
                    .add_response_by_hash(
                        *names, state.serial, algorithm, status, this_update, next_update, revoked_at, reason
                    )
                    .responder_id(ocsp.OCSPResponderEncoding.HASH, self.responder)
                    .certificates([self.responder])
                    .sign(self.key, signature_hash)
                )
                made.append(
                    Answer(
                        response.public_bytes(Encoding.DER),
                        shortest_request(*names, state.serial, algorithm),
                        state.serial,
                        this_update,
                        next_update,
                        revoked_at,
                        reason,
                    )
                )
        return made

    def due(
        self,
        states: Iterable[CertificateState],
        answers: Mapping[int, list[Answer]],
        budget: timedelta,
        now: datetime,
    ) -> list[CertificateState]:
        """The certificates whose answers must be signed anew, the most urgent first.

        `answers` are those in force by serial number. First come certificates whose state isn't what the
        answers say, then those without answers, then those with old answers, oldest first. An answer is
        old at a third of `budget`, so that two attempts may fail before clients refuse it; budget is
        X-Road's `ocspFreshnessSeconds`. An answer that carries another responder's certificate is old.
        """
        certificate = self.responder.public_bytes(Encoding.DER)
        urgent: list[tuple[int, datetime, CertificateState]] = []
        for state in states:
            found = answers.get(state.serial, [])
            oldest = min((answer.this_update for answer in found), default=now)
            if any((answer.revoked_at, answer.reason) != state.shown for answer in found):
                urgent.append((0, oldest, state))
            elif len(found) < len(HASHES):
                urgent.append((1, oldest, state))
            elif now - oldest >= budget / 3 or any(certificate not in answer.der for answer in found):
                urgent.append((2, oldest, state))
        urgent.sort(key=lambda one: one[:2])
        return [state for _, _, state in urgent]
