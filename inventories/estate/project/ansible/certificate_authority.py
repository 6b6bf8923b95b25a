"""Variables of role certificate_authority."""

from __future__ import annotations

from typing import Any

from estate.host import Host
from estate.model import Estate
from estate.network import LISTENERS, Endpoint
from estate.project.ansible.secret import secret
from estate.trust import INFRASTRUCTURE_TLS, TRUST_SERVICES, IssuingAuthority, label


def variables(estate: Estate, host: Host) -> dict[str, Any]:
    """The two issuing authorities: keys of both, and the service of the one for TLS."""
    trust = estate.trust
    return {
        "certificate_authority_organization": trust.organization,
        "certificate_authority_country": trust.country,
        "certificate_authority_issuers": [
            {
                **_issuer(INFRASTRUCTURE_TLS, trust.infrastructure_tls),
                "serves": {
                    "leaf_lifetime_hours": trust.infrastructure_tls.leaf_lifetime,
                    "names": [estate.fqdn(host), host.name, str(host.address)],
                    "port": LISTENERS[Endpoint.INFRASTRUCTURE_TLS].port,
                    "acme": True,
                    "provisioners": ["hosts"],
                },
            },
            _issuer(TRUST_SERVICES, trust.trust_services),
        ],
        "certificate_authority_provisioner_passwords": {"hosts": secret("infrastructure-tls-hosts")},
    }


def _issuer(name: str, authority: IssuingAuthority) -> dict[str, Any]:
    """What one issuing authority has in itself; its PINs are secrets of its name."""
    return {
        "name": name,
        "common_name": authority.name,
        "key": authority.key.value,
        "token": token(name, authority),
        "pin": secret(f"{name}-pin"),
        "officer_pin": secret(f"{name}-officer-pin"),
    }


def token(name: str, authority: IssuingAuthority) -> dict[str, Any]:
    """Where an issuing authority's key is, and what it is called there."""
    return {
        "library": authority.token.library,
        "slot": authority.token.slot,
        "devices": list(authority.token.devices),
        "key": label(name, authority.generation),
    }
