"""What the root's ceremony is told."""

from __future__ import annotations

from typing import Any

from estate.model import Estate


def agenda(estate: Estate) -> dict[str, Any]:
    """The agenda that `trust_services.ceremony` reads: names, kinds of keys, lives, and who is present."""
    trust = estate.trust
    root = trust.root
    return {
        "site": estate.site.name,
        "organization": trust.organization,
        "country": trust.country,
        "root": {
            "common_name": root.common_name,
            "key": root.key.value,
            "lifetime_days": root.lifetime,
        },
        "authorities": {
            name: {
                "common_name": authority.common_name,
                "key": authority.key.value,
                "lifetime_days": authority.lifetime,
            }
            for name, authority in trust.certified.items()
        },
        "revocation_list": {
            "url": f"http://{estate.status_name}/crl/root.crl",
            "lifetime_days": root.revocation_list_lifetime,
        },
        "token": {"library": root.token.library, "slot": root.token.slot},
        "custodians": list(root.ceremony.custodians),
        "threshold": root.ceremony.threshold,
        "witnesses": list(root.ceremony.witnesses),
    }
