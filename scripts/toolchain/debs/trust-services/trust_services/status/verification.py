"""What a publication and a CRL must be before anybody is answered from them.

The rules are those that a client applies (RFC 6960 section 3.2, RFC 5280 section 6.3.3), and one more:
nothing goes back in time, so that an old publication can't bring a revoked certificate back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from trust_services.refusal import Refusal
from trust_services.status import answers, publication
from trust_services.status.answers import Answer
from trust_services.status.certificate_id import IssuerHashes, issuer_hashes

CLOCK_DIFFERENCE = timedelta(seconds=60)
"""How far the authority's clock may run ahead of this host's."""

SIGNATURE_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


@dataclass(frozen=True, slots=True)
class HeldAnswer:
    """A verified answer and until when it may be given."""

    fresh_until: float
    """Seconds since 1970: its nextUpdate, the budget's end or its signer's expiry, whichever is first."""
    answer: Answer


@dataclass(frozen=True, slots=True)
class HeldList:
    """A verified CRL."""

    der: bytes
    number: int
    this_update: datetime
    next_update: datetime


@dataclass(frozen=True)
class HeldAnswers:
    """A verified publication."""

    by_request: Mapping[bytes, HeldAnswer]
    """By the shortest request for each."""

    @cached_property
    def oldest_update(self) -> datetime | None:
        """When the oldest answer was signed; None if there is no answer."""
        return min((held.answer.this_update for held in self.by_request.values()), default=None)

    @cached_property
    def first_next_update(self) -> datetime | None:
        """The first nextUpdate; None if there is no answer."""
        return min((held.answer.next_update for held in self.by_request.values()), default=None)

    @cached_property
    def fresh_until(self) -> float:
        """When the first answer mustn't be given any more, seconds since 1970; never, if there is none."""
        return min((held.fresh_until for held in self.by_request.values()), default=float("inf"))


@dataclass(frozen=True)
class Authority:
    """An authority whose certificate this host was given by its configuration."""

    certificate: x509.Certificate
    budget: timedelta
    """How old an answer may become."""
    _hashes: IssuerHashes = field(init=False, repr=False)
    _responders: dict[bytes, x509.Certificate] = field(init=False, repr=False, default_factory=dict)
    """Responders' certificates that were verified, by their DER form; a handful."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hashes", issuer_hashes(self.certificate))

    def answers(
        self,
        content: bytes,
        in_force: HeldAnswers | None,
        now: datetime,
        after_each: Callable[[], None] = lambda: None,
    ) -> HeldAnswers:
        """The answers of a publication. Refusal if one of them is bad: then none is taken.

        Answers that are in force already aren't verified again. An answer that is too old to be given is
        not bad: it says for which certificates a newer one is missing. `after_each` lets a busy host
        breathe: verifying thousands of answers takes seconds.
        """
        before = in_force.by_request if in_force is not None else {}
        known = {held.answer.der: held for held in before.values()}
        found: dict[bytes, HeldAnswer] = {}
        for der in publication.decode(self.certificate, content):
            held = known.get(der) or self.verified(der, now)
            request = held.answer.request
            if request in found:
                raise Refusal(f"it has two answers to one request about certificate {held.answer.serial:x}")
            if request in before and before[request].answer.this_update > held.answer.this_update:
                raise Refusal(
                    f"its answer about certificate {held.answer.serial:x} is older than the one in force"
                )
            found[request] = held
            after_each()
        return HeldAnswers(found)

    def verified(self, der: bytes, now: datetime) -> HeldAnswer:
        """One answer, whether or not it is still fresh. Refusal if it is bad."""
        answer, response = answers.read(der)
        about = f"its answer about certificate {answer.serial:x}"
        if (response.issuer_name_hash, response.issuer_key_hash) != self._hashes.get(
            response.hash_algorithm.name
        ):
            raise Refusal(f"{about} is about another authority's certificate")
        responder = self._responder(response, about)
        _check_signature(response, responder, about)
        if answer.this_update > now + CLOCK_DIFFERENCE:
            raise Refusal(
                f"{about} was signed in the future, at {answer.this_update.isoformat()}",
                "compare the clocks of this host and the authority's",
            )
        if answer.this_update < responder.not_valid_before_utc:
            raise Refusal(f"{about} was signed before its responder's certificate was valid")
        if answer.next_update <= answer.this_update:
            raise Refusal(f"{about} has a nextUpdate that isn't after its thisUpdate")
        until = min(answer.next_update, answer.this_update + self.budget, responder.not_valid_after_utc)
        return HeldAnswer(until.timestamp(), answer)

    def _responder(self, response: ocsp.OCSPResponse, about: str) -> x509.Certificate:
        """The certificate that an answer carries, as RFC 6960 section 4.2.2.2 wants it."""
        carried = response.certificates
        if len(carried) != 1:
            raise Refusal(f"{about} carries {len(carried)} certificates instead of its responder's alone")
        certificate = carried[0]
        der = certificate.public_bytes(Encoding.DER)
        if der not in self._responders:
            self._check_responder(certificate)
            self._responders[der] = certificate
        identifier = x509.SubjectKeyIdentifier.from_public_key(certificate.public_key()).digest
        if response.responder_key_hash != identifier:
            raise Refusal(f"{about} doesn't name its responder by the hash of its key")
        return self._responders[der]

    def _check_responder(self, certificate: x509.Certificate) -> None:
        if certificate == self.certificate:
            # The authority signs for itself.
            return
        name = certificate.subject.rfc4514_string()
        try:
            certificate.verify_directly_issued_by(self.certificate)
        except (ValueError, TypeError, InvalidSignature) as error:
            raise Refusal(f"the responder's certificate {name} wasn't issued by the authority") from error
        try:
            usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension) as error:
            raise Refusal(f"the responder's certificate {name} has no extended key usage") from error
        if ExtendedKeyUsageOID.OCSP_SIGNING not in usage:
            raise Refusal(f"the responder's certificate {name} isn't for signing OCSP answers")

    def own_certificate(self, content: bytes) -> bytes:
        """The authority's certificate in DER. Refusal if it is another one."""
        if content != self.certificate.public_bytes(Encoding.DER):
            raise Refusal("it isn't the certificate that this host was given as the authority's")
        return content

    def revocation_list(self, content: bytes, in_force: HeldList | None, now: datetime) -> HeldList:
        """A CRL in DER. Refusal if it is damaged, another authority's, or older than the one in force."""
        try:
            found = x509.load_der_x509_crl(content)
            valid = found.issuer == self.certificate.subject and found.is_signature_valid(
                self.certificate.public_key()  # type: ignore[arg-type] # of an authority: RSA or EC
            )
            number = found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        except (ValueError, TypeError, x509.ExtensionNotFound, x509.DuplicateExtension) as error:
            raise Refusal(f"it isn't a CRL with a number: {error}") from error
        if not valid:
            raise Refusal("the authority didn't sign it")
        if found.next_update_utc is None:
            raise Refusal("it has no nextUpdate")
        if found.last_update_utc > now + CLOCK_DIFFERENCE:
            raise Refusal(
                f"it was signed in the future, at {found.last_update_utc.isoformat()}",
                "compare the clocks of this host and the authority's",
            )
        if in_force is not None and number < in_force.number:
            raise Refusal(f"its number {number} is below {in_force.number}, that of the one in force")
        return HeldList(content, number, found.last_update_utc, found.next_update_utc)


def _check_signature(response: ocsp.OCSPResponse, responder: x509.Certificate, about: str) -> None:
    algorithm = response.signature_hash_algorithm
    if not isinstance(algorithm, SIGNATURE_HASHES):
        raise Refusal(f"{about} is signed with a hash that isn't used here")
    key = responder.public_key()
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(response.signature, response.tbs_response_bytes, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(response.signature, response.tbs_response_bytes, ec.ECDSA(algorithm))
        else:
            raise Refusal(f"{about} is signed with a kind of key that isn't used here")
    except InvalidSignature as error:
        raise Refusal(f"{about} has a wrong signature") from error
