"""What a certificate request must be, so that the ordered certificate may be made of it.

Nothing that a request says is taken over but its key and the order of its subject's attributes: a certificate's
content comes out of the order and the profile. So what a request says beyond that is refused, not ignored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from trust_services.issuing.orders import MAX_REQUEST_BYTES, Order, Profile
from trust_services.issuing.weak_keys import weakness
from trust_services.refusal import Refusal

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

RSA_BITS = range(2048, 4097, 8)
"""X-Road makes 2048 bits unless told otherwise; beyond 4096 every message gets slow for nothing."""

CURVES = ("secp256r1", "secp384r1")
REQUEST_HASHES = ("sha256", "sha384", "sha512")

USAGE_BITS = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
)
ASKABLE_USAGES = {
    Profile.AUTHENTICATION: frozenset(
        {"digital_signature", "key_encipherment", "data_encipherment", "key_agreement"}
    ),
    # X-Road 7.6 and newer ask for keyCertSign beside nonRepudiation (its signer, AbstractGenerateCertReq.java).
    # They don't get it, and don't need it: refusing them would refuse every signing request of a real server.
    Profile.SIGNING: frozenset({"content_commitment", "key_cert_sign"}),
    Profile.STATUS_RESPONDER: frozenset({"digital_signature"}),
    Profile.TIME_STAMPING: frozenset({"content_commitment"}),
}
"""Key usages that a request of a profile may ask for. What it gets is the profile's."""

ASKABLE_EXTENDED = {
    Profile.AUTHENTICATION: frozenset({ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}),
    Profile.SIGNING: frozenset[ObjectIdentifier](),
    Profile.STATUS_RESPONDER: frozenset({ExtendedKeyUsageOID.OCSP_SIGNING}),
    Profile.TIME_STAMPING: frozenset({ExtendedKeyUsageOID.TIME_STAMPING}),
}

TIME_STAMPING_BITS = 3072
"""RSA, which everybody verifies; time stamps hold for years: 128 bits (NIST SP 800-57 part 1, table 2)."""

EXTENSION_REQUEST = ObjectIdentifier("1.2.840.113549.1.9.14")
"""The one attribute that a request may carry (RFC 2985, section 5.4.2)."""

_MALFORMED = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
_NEXT = "make a new request where the key is, and order again"


@dataclass(frozen=True)
class Accepted:
    """An order whose request keeps every rule."""

    order: Order
    request: bytes
    """The certificate request in DER."""
    key: PublicKey
    key_digest: bytes
    """SHA-256 of the key's SubjectPublicKeyInfo in DER: what tells keys apart."""
    subject: x509.Name

    @property
    def digest(self) -> bytes:
        """SHA-256 of what is ordered."""
        return self.order.digest(self.request)


def key_digest(key: PublicKey) -> bytes:
    """SHA-256 of a key's SubjectPublicKeyInfo in DER."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


@dataclass(frozen=True)
class Site:
    """What subjects say about the site."""

    country: str
    organization: str
    """Its own name, which certificates of its services carry."""


def accept(order: Order, site: Site, authority_keys: Collection[bytes] = ()) -> Accepted:
    """The order with its request read. Refusal, in a sentence, for whatever isn't as it must be.

    `authority_keys` are digests of the authority's own keys: none of them is certified for anybody else.
    """
    try:
        return _accept(order, site, authority_keys)
    except _MALFORMED as error:
        # The library reads parts of a request only when they are looked at.
        raise Refusal("the certificate request isn't well-formed PKCS #10 (RFC 2986)", _NEXT) from error


def _accept(order: Order, site: Site, authority_keys: Collection[bytes]) -> Accepted:
    text = order.csr.encode()
    if len(text) > MAX_REQUEST_BYTES:
        raise Refusal(f"the certificate request is longer than {MAX_REQUEST_BYTES} bytes", _NEXT)
    request = x509.load_pem_x509_csr(text)
    key = _key(request)
    _require_strength(key, order.profile)
    _require_signature(request)
    _require_known_attributes(request)
    for extension in request.extensions:
        _require_askable(extension, order)
    digest = key_digest(key)
    if digest in authority_keys:
        raise Refusal("the request carries the authority's own key", _NEXT)
    return Accepted(order, request.public_bytes(Encoding.DER), key, digest, _subject(request, order, site))


def _key(request: x509.CertificateSigningRequest) -> PublicKey:
    key = request.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        if key.key_size not in RSA_BITS:
            raise Refusal(
                f"the RSA key has {key.key_size} bits, not {RSA_BITS.start} to {RSA_BITS.stop - 1}", _NEXT
            )
        if numbers.e != 65537:
            raise Refusal(
                f"the RSA key's exponent isn't 65537, but a number of {numbers.e.bit_length()} bits", _NEXT
            )
        if reason := weakness(numbers.n):
            raise Refusal(f"the RSA key is known to be weak: {reason}", _NEXT)
        return key
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in CURVES:
            raise Refusal(f"the key's curve {key.curve.name} is none of {', '.join(CURVES)}", _NEXT)
        return key
    raise Refusal("the key is neither an RSA key nor one on an elliptic curve that X-Road uses", _NEXT)


def _require_strength(key: PublicKey, profile: Profile) -> None:
    enough = isinstance(key, rsa.RSAPublicKey) and key.key_size >= TIME_STAMPING_BITS
    if profile is Profile.TIME_STAMPING and not enough:
        raise Refusal(
            f"the key of a time stamping authority isn't RSA of {TIME_STAMPING_BITS} bits or more", _NEXT
        )


def _require_signature(request: x509.CertificateSigningRequest) -> None:
    algorithm = request.signature_hash_algorithm
    if algorithm is None or algorithm.name not in REQUEST_HASHES:
        raise Refusal(f"the request isn't signed over a hash of {', '.join(REQUEST_HASHES)}", _NEXT)
    if not request.is_signature_valid:
        raise Refusal("the request isn't signed with the key that it carries", _NEXT)


def _require_known_attributes(request: x509.CertificateSigningRequest) -> None:
    for attribute in request.attributes:
        if attribute.oid != EXTENSION_REQUEST:
            raise Refusal(
                f"the request carries attribute {attribute.oid.dotted_string}; it may ask for extensions only",
                _NEXT,
            )


def _require_askable(extension: x509.Extension[x509.ExtensionType], order: Order) -> None:
    value, profile = extension.value, order.profile
    if isinstance(value, x509.BasicConstraints):
        if value.ca:
            raise Refusal("the request asks for a certification authority's certificate", _NEXT)
    elif isinstance(value, x509.KeyUsage):
        asked = {bit for bit in USAGE_BITS if getattr(value, bit)}
        if value.key_agreement:
            asked |= {bit for bit in ("encipher_only", "decipher_only") if getattr(value, bit)}
        if wrong := asked - ASKABLE_USAGES[profile]:
            raise Refusal(
                f"the request asks for key usage {', '.join(sorted(wrong))}, "
                f"which {profile} certificates don't have",
                _NEXT,
            )
    elif isinstance(value, x509.ExtendedKeyUsage):
        if wrong_purposes := sorted(item.dotted_string for item in set(value) - ASKABLE_EXTENDED[profile]):
            raise Refusal(
                f"the request asks for extended key usage {', '.join(wrong_purposes)}, "
                f"which {profile} certificates don't have",
                _NEXT,
            )
    elif isinstance(value, x509.SubjectAlternativeName):
        if order.server is None or list(value) != [x509.DNSName(order.server)]:
            raise Refusal(
                "the request asks for alternative names other than its server's"
                if order.server
                else f"the request asks for alternative names, which {profile} certificates don't have",
                _NEXT,
            )
    else:
        raise Refusal(f"the request asks for extension {extension.oid.dotted_string}, which isn't given", _NEXT)


NAMES = {
    NameOID.COMMON_NAME: "CN",
    NameOID.ORGANIZATION_NAME: "O",
    NameOID.COUNTRY_NAME: "C",
    NameOID.SERIAL_NUMBER: "serialNumber",
    NameOID.BUSINESS_CATEGORY: "businessCategory",
}


def subject_values(order: Order, site: Site) -> dict[ObjectIdentifier, str]:
    """What the subject says: a service's name, or X-Road's Basic profile of a member.

    The latter is that of X-Road's BasicCertificateProfileInfoProvider.java.
    """
    member = order.member
    if member is None:
        return {
            NameOID.COUNTRY_NAME: site.country,
            NameOID.ORGANIZATION_NAME: site.organization,
            NameOID.COMMON_NAME: str(order.service),
        }
    values = {
        NameOID.COUNTRY_NAME: site.country,
        NameOID.ORGANIZATION_NAME: member.name,
        NameOID.SERIAL_NUMBER: member.code,
    }
    if order.server is not None:
        return {**values, NameOID.COMMON_NAME: order.server}
    return {**values, NameOID.BUSINESS_CATEGORY: member.member_class, NameOID.COMMON_NAME: member.name}


def _subject(request: x509.CertificateSigningRequest, order: Order, site: Site) -> x509.Name:
    """The order's subject, its attributes in the request's order.

    X-Road finds a member by looking for the attributes' types, in whatever order they stand. Keeping the
    request's order leaves its distinguished name as the server made it, so that text made of it compares equal
    as well. Values are the order's own and encoded here: nothing but the order of attributes is taken over.
    """
    wanted = subject_values(order, site)
    found: list[ObjectIdentifier] = []
    for part in request.subject.rdns:
        if len(part) != 1:
            raise Refusal("the request's subject has attributes joined with '+'", _NEXT)
        attribute = next(iter(part))
        name = NAMES.get(attribute.oid, attribute.oid.dotted_string)
        if attribute.oid not in wanted:
            raise Refusal(
                f"the request's subject has {name}, which {order.profile} certificates don't have", _NEXT
            )
        if attribute.oid in found:
            raise Refusal(f"the request's subject has {name} twice", _NEXT)
        if attribute.value != wanted[attribute.oid]:
            raise Refusal(
                f"the request's subject says {name}={attribute.value!r}, "
                f"the order says {wanted[attribute.oid]!r}",
                _NEXT,
            )
        found.append(attribute.oid)
    if missing := [NAMES[kind] for kind in wanted if kind not in found]:
        raise Refusal(f"the request's subject lacks {', '.join(missing)}", _NEXT)
    return x509.Name([x509.NameAttribute(kind, wanted[kind]) for kind in found])
