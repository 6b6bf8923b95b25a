"""The certificate hierarchy: an offline root and the issuing CAs below it."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, NamedTuple

from pydantic import Field

from estate.types import CountryCode, Days, Hours, Minutes, Model, ObjectIdentifier

IssuingName = Literal["trust-services", "infrastructure-tls"]
TRUST_SERVICES: IssuingName = "trust-services"
INFRASTRUCTURE_TLS: IssuingName = "infrastructure-tls"
"""Short names of the issuing authorities."""


class KeyAlgorithm(StrEnum):
    """Keys that a CA may have."""

    RSA_3072 = "rsa-3072"
    RSA_4096 = "rsa-4096"
    EC_P256 = "ec-p256"
    EC_P384 = "ec-p384"


class Token(Model):
    """Where a PKCS#11 token is, and what drives it."""

    library: str = Field(default="/usr/lib/softhsm/libsofthsm2.so", pattern="^/")
    slot: int | None = Field(default=None, ge=0)
    """None for the token's label to decide."""
    devices: tuple[str, ...] = ()
    """Device files of the hardware. None for a token in software."""

    @property
    def in_software(self) -> bool:
        """Whether the keys lie on a disk after all."""
        return self.library.endswith("/libsofthsm2.so")


class Ceremony(Model):
    """Who is present where the root's key is used. Functions rather than names: people change."""

    custodians: tuple[str, ...] = Field(min_length=2, max_length=16)
    """Each keeps one share of what opens the root's token."""
    threshold: int = Field(ge=2)
    """How many shares open it."""
    witnesses: tuple[str, ...] = Field(min_length=1)


class RootAuthority(Model):
    """The site's root. Its key is used only in ceremonies, to sign issuing CAs and revocation lists."""

    common_name: str = Field(min_length=1, max_length=64)
    key: Literal[KeyAlgorithm.RSA_4096, KeyAlgorithm.EC_P384] = KeyAlgorithm.EC_P384
    lifetime: Days = 7300
    revocation_list_lifetime: Days = 180
    """A ceremony at least this often, even if only for the list."""
    token: Token = Token()
    ceremony: Ceremony


class IssuingAuthority(Model):
    """A CA below the root, with the longest life of a certificate that it issues."""

    common_name: str = Field(min_length=1, max_length=60)
    generation: int = Field(default=1, ge=1, le=99)
    """Raised when the CA gets a new key and name after a compromise."""
    key: KeyAlgorithm
    lifetime: Days = 3650
    leaf_lifetime: Hours
    token: Token = Token()

    @property
    def name(self) -> str:
        """Its name in certificates. Two CAs of one name would be mistaken for each other."""
        return self.name_of(self.generation)

    def name_of(self, generation: int) -> str:
        """The name of one of its generations."""
        return _name(self.common_name, generation)


class KubernetesAuthorities(Model):
    """The three CAs of the cluster. Kubernetes signs with keys in files, so they have no token.

    kubeadm's certificates below them live a year. A CA's next certificate is asked for when a quarter of its
    life is left: with four years or more, no certificate outlives its CA.
    """

    common_name: str = Field(default="Kubernetes", min_length=1, max_length=40)
    """How the names of the three begin."""
    generation: int = Field(default=1, ge=1, le=99)
    """Raised when the cluster is made anew after one of the keys was compromised or lost."""
    key: KeyAlgorithm = KeyAlgorithm.EC_P256
    lifetime: Days = Field(default=3650, ge=1460)

    @property
    def names(self) -> dict[str, str]:
        """The name in certificates of each, by its short name."""
        purposes = {
            "kubernetes": "CA",
            "kubernetes-etcd": "etcd CA",
            "kubernetes-front-proxy": "front proxy CA",
        }
        return {
            short: _name(f"{self.common_name} {purpose}", self.generation)
            for short, purpose in purposes.items()
        }


class Certified(NamedTuple):
    """What the root's certificate says of an authority."""

    common_name: str
    key: KeyAlgorithm
    lifetime: int
    """In days."""


def label(authority: str, generation: int) -> str:
    """What the key of a generation of an issuing authority is called, and files about it."""
    return f"{authority}-{generation}"


def _name(common_name: str, generation: int) -> str:
    return common_name if generation == 1 else f"{common_name} G{generation}"


class CertificateStatus(Model):
    """What is told about certificates of the trust services CA, and how fresh it is."""

    freshness: Minutes = Field(default=60, ge=2)
    """No older than this may an OCSP answer be: X-Road's `ocspFreshnessSeconds`."""
    responder_key: Literal[KeyAlgorithm.RSA_3072, KeyAlgorithm.EC_P256] = KeyAlgorithm.RSA_3072
    responder_lifetime: Hours = 720
    """Life of the certificate that answers are signed with. Nobody can revoke it, so it is short."""
    revocation_list_lifetime: Hours = 48


class TimeStamping(Model):
    """Time stamps (RFC 3161)."""

    policy: ObjectIdentifier
    """Under which rules stamps are made: an identifier of the operator's own."""
    lifetime: Days = 1095
    """Life of a time-stamping authority's certificate. Its stamps are checked with it for years."""


class Trust(Model):
    """The PKI of the site."""

    organization: str
    country: CountryCode
    root: RootAuthority
    trust_services: IssuingAuthority
    """Issues X-Road authentication and signing certificates. Not TLS certificates of hosts."""
    infrastructure_tls: IssuingAuthority
    """Issues the TLS certificates of hosts. Not trusted for X-Road messages."""
    record: str = "certificates"
    """Database in which the trust services CA writes down what it issues."""
    status: CertificateStatus = CertificateStatus()
    time_stamping: TimeStamping

    kubernetes: KubernetesAuthorities = KubernetesAuthorities()
    """Issue the certificates by which the parts of the cluster know one another. Trusted nowhere else."""

    @property
    def issuing(self) -> dict[str, IssuingAuthority]:
        """CAs whose key is in a token, by their short names."""
        return {TRUST_SERVICES: self.trust_services, INFRASTRUCTURE_TLS: self.infrastructure_tls}

    @property
    def certified(self) -> dict[str, Certified]:
        """Every CA that the root certifies, by its short name."""
        return {
            **{
                short: Certified(authority.name, authority.key, authority.lifetime)
                for short, authority in self.issuing.items()
            },
            **{
                short: Certified(name, self.kubernetes.key, self.kubernetes.lifetime)
                for short, name in self.kubernetes.names.items()
            },
        }
