"""Variables of role certificate_authority."""

from __future__ import annotations

from typing import Any

from estate.host import Host
from estate.model import Estate
from estate.network import LISTENERS, Endpoint
from estate.project.ansible.secret import secret
from estate.trust import IssuingAuthority


def variables(estate: Estate, host: Host) -> dict[str, Any]:
    """The root and its two issuing authorities."""
    trust = estate.trust
    names = [estate.fqdn(host), host.name, str(host.address)]
    return {
        "certificate_authority_organization": trust.organization,
        "certificate_authority_country": trust.country,
        "certificate_authority_root_common_name": trust.root.common_name,
        "certificate_authority_root_key": trust.root.key.value,
        "certificate_authority_root_lifetime_days": trust.root.lifetime,
        "certificate_authority_root_passphrase": secret("root-key"),
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
    """What one issuing authority has in itself; its passphrase is the secret of its name."""
    return {
        "name": name,
        "common_name": authority.name,
        "key": authority.key.value,
        "lifetime_days": authority.lifetime,
        "leaf_lifetime_hours": authority.leaf_lifetime,
        "port": LISTENERS[endpoint].port,
        "passphrase": secret(f"{name}-key"),
    }
