"""The certificate hierarchy: an offline root and the issuing CAs below it."""

from __future__ import annotations

from enum import StrEnum

from estate.types import CountryCode, Days, Hours, Model


class KeyAlgorithm(StrEnum):
    """Keys that a CA may have."""

    RSA_3072 = "rsa-3072"
    RSA_4096 = "rsa-4096"
    EC_P256 = "ec-p256"
    EC_P384 = "ec-p384"


class RootAuthority(Model):
    """The site's root. Its key is used only to sign issuing CAs and CRLs."""

    common_name: str
    key: KeyAlgorithm = KeyAlgorithm.EC_P384
    lifetime: Days = 7300


class IssuingAuthority(Model):
    """A CA below the root, with the longest life of a certificate that it issues."""

    common_name: str
    key: KeyAlgorithm
    lifetime: Days = 3650
    leaf_lifetime: Hours


class Trust(Model):
    """The PKI of the site."""

    organization: str
    country: CountryCode
    root: RootAuthority
    trust_services: IssuingAuthority
    """Issues X-Road authentication and signing certificates. Not TLS certificates of hosts."""
    infrastructure_tls: IssuingAuthority
    """Issues the TLS certificates of hosts. Not trusted for X-Road messages."""
