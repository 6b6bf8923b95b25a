"""Orders X-Road certificates from a certification authority, and refuses to order the wrong ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from cryptography import x509
from cryptography.x509.oid import NameOID, ObjectIdentifier

from stacks.providers.serving import ProviderError
from stacks.providers.xroad.identifiers import MemberId
from stacks.providers.xroad.security import KeyUsage

SUBJECT_FIELDS: Mapping[str, ObjectIdentifier] = {
    "CN": NameOID.COMMON_NAME,
    "C": NameOID.COUNTRY_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "serialNumber": NameOID.SERIAL_NUMBER,
    "businessCategory": NameOID.BUSINESS_CATEGORY,
}
"""Parts of a subject by the names that certificate profiles give them."""


@dataclass(frozen=True)
class CertificateOrder:
    """A wish for one certificate."""

    usage: KeyUsage
    member: MemberId
    member_name: str
    request: bytes
    """The certificate signing request (PEM)."""
    server: str | None = None
    """DNS name of the security server; authentication certificates only."""


class CertificateAuthority(Protocol):
    """Issues authentication and signing certificates."""

    async def certificates(self) -> list[bytes]:
        """Certificates of the authority, the issuing one first (PEM each)."""

    async def sign(self, order: CertificateOrder) -> bytes:
        """The certificate (PEM), the same one for the same order. ProviderError if it is refused."""


@dataclass(frozen=True)
class Subject:
    """The subject that a certificate must have, by field names of the profile."""

    fields: Mapping[str, str]

    def require(self, request: bytes, whose: str) -> None:
        """ProviderError unless a request (PEM) asks for exactly this subject and is signed by its key.

        A server could ask for any name: only what the estate declares is passed on to the authority.
        """
        csr = x509.load_pem_x509_csr(request)
        if not csr.is_signature_valid:
            raise ProviderError(f"{whose}: the signature of its certificate request is wrong")
        wanted = {SUBJECT_FIELDS[name]: value for name, value in self.fields.items() if value}
        found = {attribute.oid: str(attribute.value) for attribute in csr.subject}
        if wanted != found:
            raise ProviderError(
                f"{whose}: its certificate request names {csr.subject.rfc4514_string()}, "
                f"expected {', '.join(f'{name}={value}' for name, value in self.fields.items() if value)}"
            )
