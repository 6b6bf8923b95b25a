"""Key usage extensions for certificates that tests make."""

from __future__ import annotations

from cryptography import x509

BITS = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)
"""All bits by the library's names, in the order of RFC 5280 section 4.2.1.3."""


def key_usage(*wanted: str) -> x509.KeyUsage:
    """An extension with these bits and no others."""
    return x509.KeyUsage(**{bit: bit in wanted for bit in BITS})
