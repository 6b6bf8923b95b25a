"""What the authority's certificates are: X-Road's Basic profile, and those of the site's own services."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from trust_services.issuing.orders import Profile
from trust_services.issuing.rules import USAGE_BITS, Accepted, PublicKey, Site
from trust_services.refusal import Refusal

BACKDATED = timedelta(minutes=5)
"""A certificate is valid from a little before it is made: hosts' clocks differ."""

RSA_AUTHENTICATION = frozenset({"digital_signature", "key_encipherment", "data_encipherment"})
"""X-Road's test CA adds keyAgreement; RFC 3279 section 2.3.1 has no such usage for RSA keys."""

EC_AUTHENTICATION = frozenset({"digital_signature", "key_agreement"})
"""RFC 8813 section 3: on elliptic curves neither keyEncipherment nor dataEncipherment."""

SIGNING = frozenset({"content_commitment"})
"""nonRepudiation and nothing else: X-Road refuses authentication bits beside it (`wrong_cert_usage.both`)."""

STATUS_RESPONDER = frozenset({"digital_signature"})
TIME_STAMPING = frozenset({"content_commitment"})
"""As X-Road's test CA writes it. RFC 5280 section 4.2.1.12 has digitalSignature, this, or both."""

SERVICE_PURPOSES = {
    Profile.STATUS_RESPONDER: ExtendedKeyUsageOID.OCSP_SIGNING,
    Profile.TIME_STAMPING: ExtendedKeyUsageOID.TIME_STAMPING,
}
"""Alone and critical: so says RFC 3161 section 2.3, and a responder's key shall do nothing else either."""


@dataclass(frozen=True)
class Addresses:
    """Where the world learns about a certificate's state and its issuer."""

    ocsp: str
    crl: str
    ca_issuers: str


@dataclass(frozen=True)
class Terms:
    """What every certificate of the authority has in common."""

    issuer: x509.Certificate
    site: Site
    addresses: Addresses
    life: dict[Profile, timedelta]

    def validity(self, profile: Profile, moment: datetime) -> tuple[datetime, datetime]:
        """First and last second of a certificate made now. Refusal if the issuer isn't valid now."""
        starts, ends = self.issuer.not_valid_before_utc, self.issuer.not_valid_after_utc
        if not starts <= moment < ends:
            raise Refusal(
                f"the authority's own certificate is valid from {starts:%Y-%m-%d} to {ends:%Y-%m-%d} only",
                "bring the authority a new certificate from the root ceremony",
            )
        # Both ends belong to the validity (RFC 5280, section 4.1.2.5): hence the second.
        first = max(moment - BACKDATED, starts)
        return first, min(first + self.life[profile] - timedelta(seconds=1), ends)

    def authority_key(self) -> x509.AuthorityKeyIdentifier:
        """The issuer's own key identifier, as its certificate has it (RFC 5280, section 4.2.1.1)."""
        try:
            own = self.issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        except x509.ExtensionNotFound as error:
            raise Refusal("the issuing authority's certificate has no subject key identifier") from error
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def key_usage(profile: Profile, key: PublicKey) -> frozenset[str]:
    """The key usages of a profile's certificate."""
    if profile is Profile.SIGNING:
        return SIGNING
    if profile is Profile.STATUS_RESPONDER:
        return STATUS_RESPONDER
    if profile is Profile.TIME_STAMPING:
        return TIME_STAMPING
    return RSA_AUTHENTICATION if isinstance(key, rsa.RSAPublicKey) else EC_AUTHENTICATION


def certificate(accepted: Accepted, serial: int, terms: Terms, moment: datetime) -> x509.CertificateBuilder:
    """A certificate that only needs to be signed. Refusal if the issuer isn't valid now."""
    order, key = accepted.order, accepted.key
    first, last = terms.validity(order.profile, moment.astimezone(UTC).replace(microsecond=0))
    used = key_usage(order.profile, key)
    usage = x509.KeyUsage(**{bit: bit in used for bit in USAGE_BITS}, encipher_only=False, decipher_only=False)
    builder = (
        x509.CertificateBuilder(terms.issuer.subject, accepted.subject, key, serial, first, last)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(terms.authority_key(), critical=False)
    )
    if order.profile.of_service:
        purpose = x509.ExtendedKeyUsage([SERVICE_PURPOSES[order.profile]])
        builder = builder.add_extension(purpose, critical=True)
    if order.profile is Profile.STATUS_RESPONDER:
        # RFC 6960 section 4.2.2.2.1: nobody asks about the certificate that answers are verified with, so it
        # doesn't say where. Every answer carries it, so it is kept short too.
        return builder.add_extension(x509.OCSPNoCheck(), critical=False)
    builder = builder.add_extension(_revocation_list(terms.addresses), critical=False).add_extension(
        _information(terms.addresses), critical=False
    )
    if order.server is None:
        return builder
    purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH])
    return builder.add_extension(purposes, critical=False).add_extension(
        x509.SubjectAlternativeName([x509.DNSName(order.server)]), critical=False
    )


def _revocation_list(addresses: Addresses) -> x509.CRLDistributionPoints:
    place = x509.UniformResourceIdentifier(addresses.crl)
    return x509.CRLDistributionPoints([x509.DistributionPoint([place], None, None, None)])


def _information(addresses: Addresses) -> x509.AuthorityInformationAccess:
    return x509.AuthorityInformationAccess(
        [
            x509.AccessDescription(method, x509.UniformResourceIdentifier(address))
            for method, address in (
                (AuthorityInformationAccessOID.OCSP, addresses.ocsp),
                (AuthorityInformationAccessOID.CA_ISSUERS, addresses.ca_issuers),
            )
        ]
    )
