"""What the root signs, as a pure function of the inputs that a transcript keeps.

The same inputs give the same bytes to be signed, so that a replay can compare them without the root's key.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from trust_services.ceremony.agenda import Agenda
from trust_services.signing import SigningKey, certificate_hash


@dataclass(frozen=True)
class Term:
    """A certificate's serial number and life."""

    serial: int
    begins: datetime
    ends: datetime


def root(agenda: Agenda, key: SigningKey, term: Term) -> x509.Certificate:
    """The root's own certificate: one level of authorities may stand below it (RFC 5280, 4.2.1.9)."""
    subject = agenda.subject(agenda.root.common_name)
    public = key.public_key()
    builder = _authority(subject, subject, public, term, path_length=1)
    identifier = x509.SubjectKeyIdentifier.from_public_key(public)
    return builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
    ).sign(key, certificate_hash(key))


def authority(
    agenda: Agenda,
    name: str,
    public: CertificatePublicKeyTypes,
    issuer: x509.Certificate,
    key: SigningKey,
    term: Term,
) -> x509.Certificate:
    """The certificate of issuing authority `name`, which may certify no authority below itself."""
    subject = agenda.subject(agenda.authorities[name].common_name)
    builder = _authority(subject, issuer.subject, public, term, path_length=0)
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    place = x509.DistributionPoint(
        [x509.UniformResourceIdentifier(agenda.revocation_list.url)], None, None, None
    )
    return (
        builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
        )
        .add_extension(x509.CRLDistributionPoints([place]), critical=False)
        .sign(key, certificate_hash(key))
    )


def _authority(
    subject: x509.Name, issuer: x509.Name, public: CertificatePublicKeyTypes, term: Term, path_length: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(term.serial)
        .not_valid_before(term.begins)
        .not_valid_after(term.ends)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(
            # digitalSignature as well: an authority may sign its OCSP answers itself.
            x509.KeyUsage(
                digital_signature=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=True,
                crl_sign=True,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )
