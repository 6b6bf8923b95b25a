"""The signature over a message: XAdES as X-Road makes it, in the form of its ASiC containers.

A message without a body is signed as `/message.xml`; with a body, the result of a hash chain over
`/message.xml` and `/attachment1` is. The document is written so that its parts are canonical already
(Canonical XML 1.0): what is digested and signed is the text itself under the namespaces of the root.
Elements, identifiers and algorithms are those of X-Road's `SignatureXmlBuilder`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from xml.sax.saxutils import escape

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from lxml import etree

from xroad_simulator import software_token
from xroad_simulator.certificates import decode, der, encode
from xroad_simulator.clock import now, timestamp
from xroad_simulator.security import hash_chain
from xroad_simulator.security.hash_chain import DSIG, SHA512, HashChainError, Proof
from xroad_simulator.software_token import PrivateKey

MESSAGE, BODY = "/message.xml", "/attachment1"
CHAIN_RESULT, CHAIN = "/sig-hashchainresult.xml", "/sig-hashchain.xml"
XADES = "http://uri.etsi.org/01903/v1.3.2#"
_ASIC = "http://uri.etsi.org/02918/v1.2.1#"
_CANONICAL = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
_RSA, _ECDSA = (f"http://www.w3.org/2001/04/xmldsig-more#{name}-sha512" for name in ("rsa", "ecdsa"))
_PROPERTIES = "http://uri.etsi.org/01903#SignedProperties"
_SCOPE = (
    f'xmlns:asic="{_ASIC}" xmlns:ds="{DSIG}" xmlns:xades="{XADES}" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
)
_METHOD = f'<ds:DigestMethod Algorithm="{SHA512}"></ds:DigestMethod>'
_POLICY = (
    "<xades:SignaturePolicyIdentifier><xades:SignaturePolicyId><xades:SigPolicyId>"
    '<xades:Identifier Qualifier="OIDAsURN">urn:oid:1.3.6.1.4.1.3516.16.2</xades:Identifier>'
    "<xades:Description>Profile for High Performance Digital Signatures (version 1.2)</xades:Description>"
    f"</xades:SigPolicyId><xades:SigPolicyHash>{_METHOD}<ds:DigestValue>"
    "BuO0EDNfkxSVlUbxCzmQPzX1AUF1/xx9ytWHk3/6SAOePxQiniEfDYk+90QeYb3lWpV3Izhuz9fKaYyE+lTcXw=="
    "</ds:DigestValue></xades:SigPolicyHash><xades:SigPolicyQualifiers><xades:SigPolicyQualifier>"
    "<xades:SPURI>https://repo.cyber.ee/dsig-profile-1.2.pdf</xades:SPURI></xades:SigPolicyQualifier>"
    "</xades:SigPolicyQualifiers></xades:SignaturePolicyId></xades:SignaturePolicyIdentifier>"
)
"""The policy that X-Road names; nothing here depends on it."""

_UNSIGNED = "<xades:UnsignedSignatureProperties>"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _digest(data: bytes) -> str:
    return f"{_METHOD}<ds:DigestValue>{_base64(hashlib.sha512(data).digest())}</ds:DigestValue>"


@dataclass(frozen=True, slots=True)
class Signature:
    """A member's signature over the parts of a message, as it travels, is logged and is given out."""

    xml: str
    proof: Proof | None = None
    """The hash chain over the parts, where a message has several."""

    @classmethod
    def make(
        cls,
        certificate: x509.Certificate,
        key: PrivateKey,
        parts: Sequence[bytes],
        statuses: Sequence[bytes] = (),
        authorities: Sequence[x509.Certificate] = (),
    ) -> Signature:
        """Sign the parts: the head, and the body if there is one.

        `statuses` are the OCSP responses about the certificate and the authorities above it;
        `authorities` are those between it and its root.
        """
        if len(parts) == 1:
            proof, uri, kind, signed = None, MESSAGE, "text/xml", parts[0]
        else:
            digests = [hashlib.sha512(part).digest() for part in parts]
            proof = hash_chain.over_parts(list(zip((MESSAGE, BODY), digests, strict=True)), CHAIN)
            uri, kind, signed = CHAIN_RESULT, "application/hash-chain-result", proof.result.encode()
        return cls(_document(certificate, key, (uri, kind, signed), statuses, authorities), proof)

    def verify(self, parts: Sequence[bytes]) -> x509.Certificate:
        """The certificate that signed; InvalidSignature if these aren't the parts that were signed."""
        opened = Opened.read(self.xml)
        digests = {
            name: hashlib.sha512(part).digest() for name, part in zip((MESSAGE, BODY), parts, strict=False)
        }
        try:
            if self.proof is None:
                if list(digests) != [MESSAGE]:
                    raise InvalidSignature("the body isn't signed")
                opened.verify(MESSAGE, parts[0])
            else:
                hash_chain.verify(self.proof, digests)
                opened.verify(CHAIN_RESULT, self.proof.result.encode())
        except HashChainError as error:
            raise InvalidSignature(str(error)) from error
        return opened.certificate

    def stamped(self, token: bytes) -> Signature:
        """The same signature with a time stamp of its own inside it."""
        stamp = (
            "<xades:SignatureTimeStamp><xades:EncapsulatedTimeStamp>"
            f"{_base64(token)}</xades:EncapsulatedTimeStamp></xades:SignatureTimeStamp>"
        )
        return replace(self, xml=self.xml.replace(_UNSIGNED, _UNSIGNED + stamp, 1))


def _document(
    certificate: x509.Certificate,
    key: PrivateKey,
    data: tuple[str, str, bytes],
    statuses: Sequence[bytes],
    authorities: Sequence[x509.Certificate],
) -> str:
    uri, kind, content = data
    properties = _signed_properties(certificate, kind, now())
    is_ec = isinstance(key, ec.EllipticCurvePrivateKey)
    info = (
        f'<ds:CanonicalizationMethod Algorithm="{_CANONICAL}"></ds:CanonicalizationMethod>'
        f'<ds:SignatureMethod Algorithm="{_ECDSA if is_ec else _RSA}"></ds:SignatureMethod>'
        f'<ds:Reference Id="signature-reference-0" URI="{uri}">{_digest(content)}</ds:Reference>'
        f'<ds:Reference Id="signature-reference-1" Type="{_PROPERTIES}" URI="#signed-properties">'
        + _digest(f'<xades:SignedProperties {_SCOPE} Id="signed-properties">{properties}'.encode())
        + "</ds:Reference></ds:SignedInfo>"
    )
    value = software_token.sign(key, f"<ds:SignedInfo {_SCOPE}>{info}".encode())
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><asic:XAdESSignatures {_SCOPE}><ds:Signature Id="signature">'
        f'<ds:SignedInfo>{info}<ds:SignatureValue Id="signature-value">{_base64(_raw(key, value))}'
        f"</ds:SignatureValue><ds:KeyInfo><ds:X509Data><ds:X509Certificate>{encode(certificate)}"
        "</ds:X509Certificate></ds:X509Data></ds:KeyInfo><ds:Object>"
        '<xades:QualifyingProperties Target="#signature"><xades:SignedProperties Id="signed-properties">'
        f"{properties}<xades:UnsignedProperties>{_UNSIGNED}{_authorities(authorities)}"
        f"<xades:RevocationValues><xades:OCSPValues>{_statuses(statuses)}</xades:OCSPValues>"
        "</xades:RevocationValues></xades:UnsignedSignatureProperties></xades:UnsignedProperties>"
        "</xades:QualifyingProperties></ds:Object></ds:Signature></asic:XAdESSignatures>"
    )


def _signed_properties(certificate: x509.Certificate, kind: str, moment: datetime) -> str:
    return (
        "<xades:SignedSignatureProperties>"
        f"<xades:SigningTime>{timestamp(moment)}</xades:SigningTime>"
        f"<xades:SigningCertificate><xades:Cert>{_reference(certificate)}</xades:Cert>"
        f"</xades:SigningCertificate>{_POLICY}</xades:SignedSignatureProperties>"
        "<xades:SignedDataObjectProperties>"
        f'<xades:DataObjectFormat ObjectReference="#signature-reference-0"><xades:MimeType>{kind}'
        "</xades:MimeType></xades:DataObjectFormat></xades:SignedDataObjectProperties>"
        "</xades:SignedProperties>"
    )


def _reference(certificate: x509.Certificate) -> str:
    # Canonical XML writes no other character of a text as a reference than these three.
    issuer = escape(certificate.issuer.rfc4514_string()).replace("\r", "&#xD;")
    return (
        f"<xades:CertDigest>{_digest(der(certificate))}</xades:CertDigest><xades:IssuerSerial>"
        f"<ds:X509IssuerName>{issuer}</ds:X509IssuerName>"
        f"<ds:X509SerialNumber>{certificate.serial_number}</ds:X509SerialNumber></xades:IssuerSerial>"
    )


def _authorities(certificates: Sequence[x509.Certificate]) -> str:
    if not certificates:
        return ""
    numbered = list(enumerate(certificates, 1))
    references = "".join(
        f'<xades:Cert URI="#encapsulated-cert-{number}">{_reference(item)}</xades:Cert>'
        for number, item in numbered
    )
    values = "".join(
        f'<xades:EncapsulatedX509Certificate Id="encapsulated-cert-{number}">{encode(item)}'
        "</xades:EncapsulatedX509Certificate>"
        for number, item in numbered
    )
    return (
        f'<xades:CompleteCertificateRefs Id="complete-certificate-refs"><xades:CertRefs>{references}'
        "</xades:CertRefs></xades:CompleteCertificateRefs>"
        f"<xades:CertificateValues>{values}</xades:CertificateValues>"
    )


def _statuses(answers: Sequence[bytes]) -> str:
    return "".join(
        f'<xades:EncapsulatedOCSPValue Id="ocsp-response-{number}">{_base64(answer)}'
        "</xades:EncapsulatedOCSPValue>"
        for number, answer in enumerate(answers, 1)
    )


def _raw(key: PrivateKey, value: bytes) -> bytes:
    """XML signatures hold both numbers of ECDSA side by side, not as DER (RFC 4051, section 2.3.6)."""
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        return value
    size = (key.curve.key_size + 7) // 8
    return b"".join(number.to_bytes(size, "big") for number in decode_dss_signature(value))


def _encoded(value: bytes) -> bytes:
    half = len(value) // 2
    return encode_dss_signature(int.from_bytes(value[:half], "big"), int.from_bytes(value[half:], "big"))


@dataclass(frozen=True, slots=True)
class Opened:
    """A signature document that was read: what it claims, and what has to be checked."""

    certificate: x509.Certificate
    authorities: tuple[x509.Certificate, ...]
    statuses: tuple[bytes, ...]
    value: bytes
    """The signature itself; what a time stamp of a single message is about."""
    root: etree._Element

    @classmethod
    def read(cls, xml: str) -> Opened:
        """InvalidSignature if it isn't such a document."""
        try:
            root = hash_chain.parse(xml.encode())
            signature = _only(root, f"{{{DSIG}}}Signature")
            certificate = _only(signature, f"{{{DSIG}}}KeyInfo/{{{DSIG}}}X509Data/{{{DSIG}}}X509Certificate")
            unsigned = f".//{{{XADES}}}UnsignedSignatureProperties/"
            values = f"{unsigned}{{{XADES}}}RevocationValues/{{{XADES}}}OCSPValues/*"
            carried = f"{unsigned}{{{XADES}}}CertificateValues/{{{XADES}}}EncapsulatedX509Certificate"
            return cls(
                decode(certificate.text or ""),
                tuple(decode(item.text or "") for item in signature.findall(carried)),
                tuple(base64.b64decode(item.text or "") for item in signature.findall(values)),
                base64.b64decode(_only(signature, f"{{{DSIG}}}SignatureValue").text or ""),
                root,
            )
        except (ValueError, binascii.Error) as error:
            raise InvalidSignature(f"the signature can't be read: {error}") from error

    def verify(self, uri: str, content: bytes) -> None:
        """InvalidSignature unless the signature is of this content under this name."""
        signature = _only(self.root, f"{{{DSIG}}}Signature")
        info = _only(signature, f"{{{DSIG}}}SignedInfo")
        properties = _only(
            signature, f"{{{DSIG}}}Object/{{{XADES}}}QualifyingProperties/{{{XADES}}}SignedProperties"
        )
        references = info.findall(f"{{{DSIG}}}Reference")
        signed = [(item.get("URI"), item.findtext(f"{{{DSIG}}}DigestValue")) for item in references]
        wanted = [
            (uri, _base64(hashlib.sha512(content).digest())),
            ("#signed-properties", _base64(hashlib.sha512(_canonical(properties)).digest())),
        ]
        if signed != wanted or properties.get("Id") != "signed-properties":
            raise InvalidSignature(f"the signature is of other content than {uri}")
        self._require_named(properties)
        is_ec = isinstance(self.certificate.public_key(), ec.EllipticCurvePublicKey)
        value = _encoded(self.value) if is_ec else self.value
        software_token.verify(self.certificate.public_key(), value, _canonical(info))

    def _require_named(self, properties: etree._Element) -> None:
        named = f".//{{{XADES}}}SigningCertificate/{{{XADES}}}Cert/{{{XADES}}}CertDigest/{{{DSIG}}}DigestValue"
        if properties.findtext(named) != _base64(hashlib.sha512(der(self.certificate)).digest()):
            raise InvalidSignature("the signature doesn't name its certificate")


def _only(element: etree._Element, path: str) -> etree._Element:
    found: list[etree._Element] = element.findall(path)
    if len(found) != 1:
        raise InvalidSignature(f"{path.rpartition('}')[2]} isn't there once")
    return found[0]


def _canonical(element: etree._Element) -> bytes:
    canonical: bytes = etree.tostring(element, method="c14n", exclusive=False, with_comments=False)
    return canonical
