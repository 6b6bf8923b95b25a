"""Which secrets a site needs. Values live in the secret store of a deployment, never in the estate."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from estate.platform import Database
from estate.types import Model, Name


class Secret(Model):
    """A secret by name, with what it opens."""

    name: Name
    description: str = Field(min_length=1)
    length: int = Field(default=32, ge=12, le=128)
    """Characters to generate: letters of both cases and digits (X-Road's PIN policy wants three classes)."""
    generated: bool = True
    """False where a person must bring it, such as the credentials of existing hardware."""


def database_password(account: str) -> str:
    """The secret that holds the password of an account of a database; owners are named like their database."""
    return f"database-{account.replace('_', '-')}"


def time_stamping_order(host: str) -> str:
    """The secret with which a time-stamping host orders its certificate."""
    return f"time-stamping-order-{host}"


def time_stamping_key(host: str) -> str:
    """The secret that opens a time-stamping host's key."""
    return f"time-stamping-key-{host}"


def pin(host: str) -> str:
    """The secret that holds the software token PIN of a server; the nodes of a cluster have their primary's."""
    return f"xroad-pin-{host}"


def admin_password(host: str) -> str:
    """The secret that holds the password of a central or security server's admin account."""
    return f"xroad-admin-{host}"


def server_configuration(host: str) -> str:
    """The secret that opens the configuration database on every node of the cluster whose primary is `host`."""
    return f"xroad-serverconf-{host}"


def database_administrator(host: str) -> str:
    """The secret of the administrator of the database service elsewhere that a host's server uses."""
    return f"xroad-database-{host}"


def api_key(host: str) -> str:
    """The secret in which an admin API key, made on the host, is kept for the federation program."""
    return f"xroad-api-key-{host}"


def encryption_key(number: int) -> str:
    """The secret that opens the cluster's secrets in etcd."""
    return f"kubernetes-encryption-{number}"


def backup_key(host: str) -> str:
    """The secret that opens a server's backups: the OpenPGP key that it made, for when the host is lost."""
    return f"xroad-backup-key-{host}"


STANDING = (
    Secret(name="trust-services-pin", description="Opens the trust services CA's token"),
    Secret(name="trust-services-officer-pin", description="Initializes the trust services CA's token"),
    Secret(name="trust-services-federation", description="Orders X-Road certificates for the federation"),
    Secret(name="trust-services-status", description="Orders the certificate of the OCSP answers' signer"),
    Secret(name="trust-services-officer", description="Decides about orders and revokes certificates"),
    Secret(name="infrastructure-tls-pin", description="Opens the infrastructure TLS CA's token"),
    Secret(name="infrastructure-tls-officer-pin", description="Initializes the infrastructure TLS CA's token"),
    Secret(name="infrastructure-tls-hosts", description="Enrols hosts at the infrastructure TLS CA"),
    Secret(name="registry-push", description="Password of the registry account that publishes images"),
    Secret(name="registry-pull", description="Password of the registry account that nodes pull with"),
    Secret(name="pulumi-passphrase", description="Encrypts secrets in the state of the programs"),
    Secret(name="portal-django-key", description="Signs the portal's sessions", length=64),
)
"""Secrets of every site."""


def secrets_of(
    databases: Iterable[Database],
    time_stamping_hosts: Iterable[str],
    token_hosts: Iterable[str],
    administered_hosts: Iterable[str],
    clustered_hosts: Iterable[str],
    remote_database_hosts: Iterable[str],
    encryption_keys: Iterable[int],
    bmc_credentials: Iterable[str],
) -> tuple[Secret, ...]:
    """The standing secrets and those that the named objects bring."""
    found = list(STANDING)
    for database in databases:
        for account in database.accounts:
            told = f"Account '{account}' of database '{database.name}'"
            found.append(Secret(name=database_password(account), description=told))
    for host in time_stamping_hosts:
        found.append(Secret(name=time_stamping_order(host), description=f"Orders the certificate of '{host}'"))
        found.append(
            Secret(name=time_stamping_key(host), description=f"Opens the time-stamping key of '{host}'")
        )
    for host in token_hosts:
        found.append(Secret(name=pin(host), description=f"Software token PIN of '{host}'"))
    for host in administered_hosts:
        found.append(Secret(name=admin_password(host), description=f"Admin account of '{host}'"))
    for host in clustered_hosts:
        told = f"Configuration database of the nodes of '{host}'"
        found.append(Secret(name=server_configuration(host), description=told))
    for host in remote_database_hosts:
        told = f"Administrator of the database service of '{host}'"
        found.append(Secret(name=database_administrator(host), description=told, generated=False))
    for number in encryption_keys:
        told = f"Encrypts the cluster's secrets in etcd (key {number})"
        found.append(Secret(name=encryption_key(number), description=told))
    for name in bmc_credentials:
        found.append(Secret(name=name, description="Account of baseboard controllers", generated=False))
    return tuple(found)
