"""Variables of role postgresql."""

from __future__ import annotations

from typing import Any

from estate.host import Host
from estate.model import Estate
from estate.project.ansible.secret import secret
from estate.secrets import database_password

CONNECTIONS_OF_AN_ACCOUNT = 20
"""What one account may hold at one time; the sum of all leaves as many again for administration."""


def variables(estate: Estate, host: Host) -> dict[str, Any]:
    """Databases with their accounts and the networks that may use them, and the memory of the service."""
    databases = estate.postgresql.databases
    accounts = [account for database in databases for account in database.accounts]
    mebibytes = estate.postgresql.memory * 1024
    return {
        "postgresql_max_connections": CONNECTIONS_OF_AN_ACCOUNT * (len(accounts) + 1),
        # PostgreSQL's advice for a host of its own: a quarter for its cache, the rest for the system's.
        "postgresql_memory": {
            "shared_buffers_mib": mebibytes // 4,
            "effective_cache_mib": mebibytes * 3 // 4,
            "work_mib": max(4, mebibytes // 256),
            "maintenance_work_mib": max(64, mebibytes // 16),
        },
        "postgresql_roles": [
            {
                "name": account,
                "password": secret(database_password(account)),
                "connection_limit": CONNECTIONS_OF_AN_ACCOUNT,
            }
            for account in accounts
        ],
        "postgresql_databases": [{"name": database.name, "owner": database.owner} for database in databases],
        "postgresql_access": [
            {
                "database": database.name,
                "role": account,
                "sources": [str(estate.zone(zone).network) for zone in database.from_zones],
            }
            for database in databases
            for account in database.accounts
        ],
    }
