"""Certificate revocation lists (RFC 5280 section 5): complete, version 2, signed by the authority itself."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from cryptography import x509

from trust_services.certificate_state import CertificateState
from trust_services.refusal import Refusal
from trust_services.signing import SigningKey, certificate_hash


def sign(
    issuer: x509.Certificate,
    key: SigningKey,
    states: Iterable[CertificateState],
    *,
    number: int,
    this_update: datetime,
    next_update: datetime,
) -> x509.CertificateRevocationList:
    """The list of those that are revoked. `number` must grow from each list to the next (section 5.2.3).

    Refusal if the key isn't the issuer's, or the issuer's certificate has no subject key identifier.
    """
    if key.public_key() != issuer.public_key():
        raise Refusal(f"the key isn't that of {issuer.subject.rfc4514_string()}")
    if next_update <= this_update:
        raise Refusal("nextUpdate must be later than thisUpdate")
    try:
        identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound as error:
        raise Refusal(
            f"the certificate of {issuer.subject.rfc4514_string()} has no subject key identifier"
        ) from error
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(this_update)
        .next_update(next_update)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
        )
        .add_extension(x509.CRLNumber(number), critical=False)
    )
    for state in sorted(states, key=lambda one: one.serial):
        revoked_at, reason = state.shown
        if revoked_at is None:
            continue
        entry = x509.RevokedCertificateBuilder().serial_number(state.serial).revocation_date(revoked_at)
        if reason is not None:
            entry = entry.add_extension(x509.CRLReason(reason), critical=False)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(key, certificate_hash(key))
