"""Which certificates of a security server must be replaced, and why."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.x509.oid import NameOID

from stacks.providers.serving import ProviderError
from stacks.providers.xroad.security import Key, KeyUsage, Token, TokenCertificate

RENEW_VARIABLE = "SMARTGOUV_RENEW_BEFORE"
"""A time (ISO 8601 with its zone): certificates whose validity began before it are replaced."""

REGISTERED = frozenset({"REGISTERED", "REGISTRATION_IN_PROGRESS"})
DISCARDED = frozenset({"DELETION_IN_PROGRESS", "GLOBAL_ERROR"})
_REVOKED = "OCSP_RESPONSE_REVOKED"


def renew_before() -> datetime | None:
    """The time that the environment names; None without one. ProviderError if it isn't a time."""
    text = os.environ.get(RENEW_VARIABLE)
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ProviderError(f"{RENEW_VARIABLE} is '{text}', which isn't a time with its zone (ISO 8601)")
    return moment


def name_of(certificate: bytes) -> str:
    """The common name of an authority's certificate (PEM): what X-Road calls a certification service."""
    subject = x509.load_pem_x509_certificate(certificate).subject
    return str(subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def issuer_of(certificate: bytes) -> str:
    """The common name of the authority that issued a certificate (PEM)."""
    issuer = x509.load_pem_x509_certificate(certificate).issuer
    return str(issuer.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


@dataclass(frozen=True)
class Renewal:
    """When a certificate is due."""

    authority: str | None
    """The present authority's name. None if it couldn't be asked: then issuers aren't compared."""
    now: datetime
    before: datetime | None = None
    """Certificates that began earlier are due."""

    def reason(self, certificate: TokenCertificate) -> str | None:
        """Why a certificate must be replaced; None if it needn't be."""
        details = certificate.certificate_details
        begins, ends = _moment(details.not_before), _moment(details.not_after)
        if certificate.ocsp_status == _REVOKED:
            return "it is revoked"
        if self.authority is not None and details.issuer_common_name != self.authority:
            return f"the authority is '{self.authority}' now"
        if self.now > ends - (ends - begins) / 3:
            return "less than a third of its life is left"
        if self.before is not None and begins < self.before:
            return f"it began before {self.before:%Y-%m-%d %H:%M:%S %Z}"
        return None


@dataclass(frozen=True)
class Holding:
    """What a token has for one usage: all keys of one label, sorted into what is used and what isn't."""

    usage: KeyUsage
    chosen: TokenCertificate | None
    """The certificate to use; None if one must be ordered."""
    pending: Key | None
    """A key that waits for the certificate that is to be ordered."""
    replaced: tuple[TokenCertificate, ...]
    """Every other certificate: to be retired once the chosen one is in use."""
    unused: tuple[Key, ...]
    """Keys without the chosen certificate: to be removed with them."""
    reasons: tuple[str, ...]
    """What is to be done and why, one sentence each; none if nothing is."""

    @property
    def shown(self) -> TokenCertificate | None:
        """The certificate in use, due or not."""
        return self.chosen or max(self.replaced, key=_preference, default=None)


def holding(token: Token, label: str, usage: KeyUsage, renewal: Renewal) -> Holding:
    """Sort the keys of a label, which are all for one usage."""
    what = f"{usage.lower()} certificate"
    keys = [key for key in token.keys if key.label == label]
    present = [certificate for key in keys for certificate in key.certificates]
    usable = sorted((item for item in present if item.status not in DISCARDED), key=_preference, reverse=True)
    chosen = next((item for item in usable if renewal.reason(item) is None), None)
    replaced = tuple(item for item in present if item is not chosen)
    reasons: list[str] = []
    if chosen is None:
        for item in usable[:1]:
            reasons.append(f"{what} {_described(item)} is to be replaced: {renewal.reason(item)}")
        unused: tuple[Key, ...] = ()
    else:
        unused = tuple(key for key in keys if chosen not in key.certificates)
        reasons += [f"{what} {_described(item)} is to be removed: it has a successor" for item in replaced]
        reasons += [f"a key without its {what} is to be removed" for key in unused if not key.certificates]
    pending = next((key for key in keys if not key.certificates), None) if chosen is None else None
    return Holding(usage, chosen, pending, replaced, unused, tuple(reasons))


def _preference(certificate: TokenCertificate) -> tuple[bool, datetime, bool]:
    """What is in use before what isn't, later before earlier."""
    begins = _moment(certificate.certificate_details.not_before)
    return (certificate.active, begins, certificate.status == "REGISTERED")


def _described(certificate: TokenCertificate) -> str:
    details = certificate.certificate_details
    ocsp = certificate.ocsp_status.replace("_", " ").replace("OCSP RESPONSE", "OCSP").strip().lower()
    told = [f"of '{details.issuer_common_name}'", f"ends {_moment(details.not_after):%Y-%m-%d}"]
    told.append(ocsp.replace("ocsp", "OCSP") or "OCSP unknown")
    return f"({', '.join(told)})"


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
