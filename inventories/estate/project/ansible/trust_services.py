"""Variables of role trust_services."""

from __future__ import annotations

from typing import Any

from estate.federation import Member
from estate.host import Host, Role
from estate.model import Estate
from estate.network import LISTENERS, Endpoint
from estate.project.ansible.certificate_authority import token
from estate.project.ansible.secret import secret
from estate.secrets import database_password, time_stamping_order
from estate.trust import TRUST_SERVICES, label

STATUS_TOKEN = "trust-services-status"  # noqa: S105 - the secret's name


def variables(estate: Estate, host: Host) -> dict[str, Any]:
    """The issuer's token, its record, who may order what, and how fresh status is."""
    trust = estate.trust
    authority = trust.trust_services
    return {
        "trust_services_organization": trust.organization,
        "trust_services_country": trust.country,
        "trust_services_token": token(TRUST_SERVICES, authority),
        "trust_services_publication": label(TRUST_SERVICES, authority.generation),
        "trust_services_former": [
            {"name": former, "key": former}
            for former in (label(TRUST_SERVICES, one) for one in range(1, authority.generation))
        ],
        "trust_services_port": LISTENERS[Endpoint.TRUST_SERVICES].port,
        "trust_services_name": estate.fqdn(host),
        "trust_services_lifetime_hours": {
            "member": authority.leaf_lifetime,
            "status_responder": trust.status.responder_lifetime,
            "time_stamping": trust.time_stamping.lifetime * 24,
        },
        "trust_services_database": _database(estate),
        "trust_services_clients": _clients(estate),
        "trust_services_members": [_expected(estate, member) for member in estate.federation.members],
        "trust_services_status": {
            "name": estate.status_name,
            "key": trust.status.responder_key.value,
            "freshness_seconds": trust.status.freshness * 60,
            "revocation_list_hours": trust.status.revocation_list_lifetime,
            "token": secret(STATUS_TOKEN),
        },
    }


def _database(estate: Estate) -> dict[str, Any]:
    record = next(item for item in estate.postgresql.databases if item.name == estate.trust.record)
    owner, account = record.accounts
    return {
        "hosts": [estate.fqdn(host) for host in estate.hosts_with(Role.POSTGRESQL)],
        "port": LISTENERS[Endpoint.POSTGRESQL].port,
        "name": record.name,
        "owner": owner,
        "owner_password": secret(database_password(owner)),
        "account": account,
        "password": secret(database_password(account)),
    }


def _clients(estate: Estate) -> list[dict[str, Any]]:
    """Programs and people that the authority knows, by the secrets that they show."""
    return [
        {"name": "federation", "role": "orderer", "token": secret("trust-services-federation")},
        {"name": "officer", "role": "officer", "token": secret("trust-services-officer")},
        {
            "name": "publisher",
            "role": "service",
            "token": secret(STATUS_TOKEN),
            "services": [{"profile": "status-responder", "name": estate.status_name}],
        },
        *(
            {
                "name": host.name,
                "role": "service",
                "token": secret(time_stamping_order(host.name)),
                "services": [{"profile": "time-stamping", "name": estate.fqdn(host)}],
            }
            for host in estate.hosts_with(Role.TIME_STAMPING)
        ),
    ]


def _expected(estate: Estate, member: Member) -> dict[str, Any]:
    """What the estate says of a member: orders that say the same need no officer."""
    return {
        "class": member.member_class,
        "code": member.code,
        "name": member.name,
        "servers": [
            estate.fqdn(server.host)
            for server in estate.federation.security_servers
            if server.owner == member.code
        ],
    }
