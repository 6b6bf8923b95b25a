"""What the authority's host runs: it signs what is due and publishes it for the responders to fetch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from trust_services import files
from trust_services.certificate_state import CertificateState
from trust_services.refusal import Refusal
from trust_services.signing import SigningKey
from trust_services.status import publication, revocation_list
from trust_services.status.answers import Answer
from trust_services.status.signing import Signer
from trust_services.status.verification import Authority


@dataclass(frozen=True)
class Published:
    """What one round did."""

    signed: int
    """Certificates whose answers were signed anew."""
    waiting: int
    """Certificates that are due, but left for the next round."""
    answers: int
    """Answers in the publication."""


class Publisher:
    """Keeps one authority's publication current. For one thread at a time.

    Call `publish` every few seconds, and at once when a certificate is revoked: only what is due is
    signed, changed states before old answers, so a revocation never waits for answers that only grow old.
    """

    def __init__(self, path: Path, signer: Signer, budget: timedelta) -> None:
        self._path = path
        self._signer = signer
        self._budget = budget
        self._answers: dict[int, list[Answer]] = {}
        self._written = False

    @property
    def signer(self) -> Signer:
        """What signs."""
        return self._signer

    def resume(self, now: datetime) -> str:
        """Take over the answers that were published before. Why that can't be, or an empty string."""
        try:
            held = Authority(self._signer.issuer, self._budget).answers(self._path.read_bytes(), None, now)
        except FileNotFoundError:
            return "there is none yet"
        except (OSError, Refusal) as error:
            return str(error)
        for one in held.by_request.values():
            self._answers.setdefault(one.answer.serial, []).append(one.answer)
        self._written = True
        return ""

    def publish(self, states: Iterable[CertificateState], now: datetime, at_most: int = 1000) -> Published:
        """Sign what is due and write the publication if that changes it.

        `states` are all certificates that the authority answers for; others lose their answers. `at_most`
        bounds the certificates of one round, and so how long a revocation can wait for a round to end.
        Refusal if the token refuses, OSError if the file can't be written: the old one stays, and the next
        round tries again.
        """
        wanted = {state.serial: state for state in states}
        due = self._signer.due(wanted.values(), self._answers, self._budget, now)
        signed: dict[int, list[Answer]] = {}
        for answer in self._signer.sign(due[:at_most], now, now + self._budget):
            signed.setdefault(answer.serial, []).append(answer)
        kept = {serial: found for serial, found in self._answers.items() if serial in wanted}
        if signed or len(kept) < len(self._answers) or not self._path.exists():
            self._written = False
        self._answers = kept | signed
        everything = [answer.der for found in self._answers.values() for answer in found]
        if not self._written:
            files.write(self._path, publication.encode(self._signer.issuer, everything))
            self._written = True
        return Published(len(signed), len(due[at_most:]), len(everything))


def publish_crl(
    path: Path,
    issuer: x509.Certificate,
    key: SigningKey,
    states: Iterable[CertificateState],
    *,
    number: int,
    this_update: datetime,
    next_update: datetime,
) -> None:
    """Sign a CRL and write it in DER. Refusal or OSError as above: the old one stays."""
    signed = revocation_list.sign(
        issuer, key, states, number=number, this_update=this_update, next_update=next_update
    )
    files.write(path, signed.public_bytes(Encoding.DER))
