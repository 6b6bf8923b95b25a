"""The XAdES signature of a container, as X-Road writes it: read strictly, so that nothing else can be meant.

One signature with two references: to the message (or the hash chain result over it and its body), and to
the signed properties, which name the certificate. Everything is looked for in its one place, never by
its identifier alone.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree

from operate.messages import documents, trust
from operate.messages.documents import CANONICAL, DSIG, XADES, Mismatch, only

_ROOTS = {f"{{http://uri.etsi.org/02918/v1.{minor}.1#}}XAdESSignatures" for minor in (1, 2)}
_PROPERTIES_TYPE = "http://uri.etsi.org/01903#SignedProperties"
_HASHES = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}
_METHODS = {
    f"http://www.w3.org/2001/04/xmldsig-more#{key}-{name}": (key, name)
    for key in ("rsa", "ecdsa")
    for name in _HASHES
}
_PSS = {f"http://www.w3.org/2007/05/xmldsig-more#{name}-rsa-MGF1": ("pss", name) for name in _HASHES}
_UNSIGNED = f"{{{XADES}}}UnsignedProperties/{{{XADES}}}UnsignedSignatureProperties"


@dataclass(frozen=True, slots=True)
class Signature:
    """What a signature document says. Nothing of it is checked yet."""

    certificate: x509.Certificate
    value: bytes
    carried: tuple[x509.Certificate, ...]
    """Certificates of CAs."""
    statuses: tuple[bytes, ...]
    """OCSP responses."""
    token: bytes | None
    """A time stamp of this signature alone."""
    claimed_time: str
    """When the signer says that it signed: nothing proves it."""
    info: etree._Element
    properties: etree._Element

    @classmethod
    def read(cls, content: bytes) -> Signature:
        """Read a document; Mismatch if it isn't one signature of X-Road's form."""
        root = documents.parse(content, "signatures.xml")
        if root.tag not in _ROOTS or len(root) != 1:
            raise Mismatch("signatures.xml doesn't hold one signature")
        identifiers = [value for item in root.iter() for name, value in item.items() if name.lower() == "id"]
        if len(identifiers) != len(set(identifiers)):
            raise Mismatch("signatures.xml uses an identifier twice")
        signature = only(root, f"{{{DSIG}}}Signature")
        qualifying = only(signature, f"{{{DSIG}}}Object/{{{XADES}}}QualifyingProperties")
        properties = only(qualifying, f"{{{XADES}}}SignedProperties")
        unsigned = only(qualifying, _UNSIGNED)
        key_info = f"{{{DSIG}}}KeyInfo/{{{DSIG}}}X509Data/{{{DSIG}}}X509Certificate"
        carried = f"{{{XADES}}}CertificateValues/{{{XADES}}}EncapsulatedX509Certificate"
        statuses = f"{{{XADES}}}RevocationValues/{{{XADES}}}OCSPValues/{{{XADES}}}EncapsulatedOCSPValue"
        stamps = unsigned.findall(f"{{{XADES}}}SignatureTimeStamp/{{{XADES}}}EncapsulatedTimeStamp")
        if len(stamps) > 1:
            raise Mismatch("signatures.xml holds several time stamps")
        claimed = f"{{{XADES}}}SignedSignatureProperties/{{{XADES}}}SigningTime"
        return cls(
            _certificate(only(signature, key_info)),
            documents.binary(only(signature, f"{{{DSIG}}}SignatureValue").text, "the signature's value"),
            tuple(_certificate(item) for item in unsigned.findall(carried)),
            tuple(documents.binary(item.text, "an OCSP response") for item in unsigned.findall(statuses)),
            documents.binary(stamps[0].text, "the time stamp") if stamps else None,
            properties.findtext(claimed) or "",
            only(signature, f"{{{DSIG}}}SignedInfo"),
            properties,
        )

    @property
    def subject(self) -> str:
        """The name of what the first reference is to: a file of the container."""
        return str(self._references()[0].get("URI"))

    def _references(self) -> tuple[etree._Element, etree._Element]:
        found = self.info.findall(f"{{{DSIG}}}Reference")
        if len(found) != 2 or any(item.find(f"{{{DSIG}}}Transforms") is not None for item in found):
            raise Mismatch("the signature isn't of two things as they are")
        return found[0], found[1]

    def require_content(self, content: bytes, name: str) -> None:
        """Mismatch unless this content is what the signature refers to."""
        documents.require_digest(self._references()[0], content, name)

    def require_properties(self) -> None:
        """Mismatch unless the signed properties are what was signed, and name the certificate."""
        reference = self._references()[1]
        if reference.get("URI") != f"#{self.properties.get('Id')}" or reference.get("Type") != _PROPERTIES_TYPE:
            raise Mismatch("the signature isn't of its properties")
        documents.require_digest(reference, documents.canonical(self.properties), "the signed properties")
        named = only(
            self.properties,
            f"{{{XADES}}}SignedSignatureProperties/{{{XADES}}}SigningCertificate/{{{XADES}}}Cert"
            f"/{{{XADES}}}CertDigest",
        )
        algorithm = documents.digest_method(named.find(f"{{{DSIG}}}DigestMethod"), "the certificate")
        digest = documents.binary(only(named, f"{{{DSIG}}}DigestValue").text, "the certificate's digest")
        encoded = self.certificate.public_bytes(Encoding.DER)
        if hashlib.new(documents.DIGESTS[algorithm], encoded).digest() != digest:
            raise Mismatch("the signed properties name another certificate than the one that is there")

    def require_value(self) -> None:
        """Mismatch unless the certificate's key signed."""
        if only(self.info, f"{{{DSIG}}}CanonicalizationMethod").get("Algorithm") != CANONICAL:
            raise Mismatch("the signature has another canonical form than X-Road's")
        named = str(only(self.info, f"{{{DSIG}}}SignatureMethod").get("Algorithm"))
        kind, name = {**_METHODS, **_PSS}.get(named, ("", ""))
        key, signed = self.certificate.public_key(), documents.canonical(self.info)
        try:
            if isinstance(key, rsa.RSAPublicKey) and kind == "rsa":
                key.verify(self.value, signed, padding.PKCS1v15(), _HASHES[name])
            elif isinstance(key, rsa.RSAPublicKey) and kind == "pss":
                filling = padding.PSS(padding.MGF1(_HASHES[name]), _HASHES[name].digest_size)
                key.verify(self.value, signed, filling, _HASHES[name])
            elif isinstance(key, ec.EllipticCurvePublicKey) and kind == "ecdsa":
                key.verify(_two_numbers(self.value, key), signed, ec.ECDSA(_HASHES[name]))
            else:
                raise Mismatch(f"the signature's method {named!r} isn't one for its key")
        except InvalidSignature as error:
            raise Mismatch("the signature isn't one of the certificate's key over this content") from error


def _certificate(element: etree._Element) -> x509.Certificate:
    return trust.certificate(documents.binary(element.text, "a certificate"))


def _two_numbers(value: bytes, key: ec.EllipticCurvePublicKey) -> bytes:
    """ECDSA's numbers side by side (RFC 4051, section 2.3.6), as DER."""
    half = (key.curve.key_size + 7) // 8
    if len(value) != 2 * half:
        raise Mismatch("the signature's value has the wrong length")
    return encode_dss_signature(int.from_bytes(value[:half], "big"), int.from_bytes(value[half:], "big"))
