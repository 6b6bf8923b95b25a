"""Variables of role certificate_authority."""

from __future__ import annotations

from typing import Any

from estate.host import Host
from estate.model import Estate
from estate.network import LISTENERS, Endpoint
from estate.project.ansible.secret import secret
from estate.trust import IssuingAuthority


def variables(estate: Estate, host: Host) -> dict[str, Any]:
    """The two issuing authorities."""
    trust = estate.trust
    names = [estate.fqdn(host), host.name, str(host.address)]
    return {
        "certificate_authority_organization": trust.organization,
        "certificate_authority_country": trust.country,
        "certificate_authority_issuers": [
            {
                **_issuer("infrastructure-tls", trust.infrastructure_tls, Endpoint.INFRASTRUCTURE_TLS),
                "names": names,
                "acme": True,
                "provisioners": [{"name": "hosts", "profile": "tls"}],
            },
            {
                **_issuer("trust-services", trust.trust_services, Endpoint.TRUST_SERVICES),
                "names": names,
                "acme": False,
                "provisioners": [
                    {"name": "authentication", "profile": "xroad_authentication"},
                    {"name": "signing", "profile": "xroad_signing"},
                ],
            },
        ],
        "certificate_authority_provisioner_passwords": {
            "hosts": secret("infrastructure-tls-hosts"),
            "authentication": secret("trust-services-authentication"),
            "signing": secret("trust-services-signing"),
        },
    }


def _issuer(name: str, authority: IssuingAuthority, endpoint: Endpoint) -> dict[str, Any]:
    """What one issuing authority has in itself; its PINs are secrets of its name."""
    return {
        "name": name,
        "common_name": authority.name,
        "key": authority.key.value,
        "leaf_lifetime_hours": authority.leaf_lifetime,
        "port": LISTENERS[endpoint].port,
        "token": {
            "library": authority.token.library,
            "slot": authority.token.slot,
            "key": f"{name}-{authority.generation}",
        },
        "pin": secret(f"{name}-pin"),
        "officer_pin": secret(f"{name}-officer-pin"),
    }
