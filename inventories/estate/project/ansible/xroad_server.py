"""Variables of role xroad_server: what servers of X-Road are told alike, and their `local.ini`."""

from __future__ import annotations

from typing import Any

from estate.exchange import Kept, LocalIni
from estate.federation import Distribution, OperatingSystem, PackageRepository
from estate.host import Host, Role
from estate.model import Estate
from estate.network import LISTENERS, Endpoint
from estate.project.ansible.secret import secret
from estate.secrets import admin_password, api_key, backup_key, database_administrator, pin
from estate.xroad_parameters import Server, Value, rendered
from estate.xroad_versions import oldest_beside

CODENAMES = {OperatingSystem.UBUNTU_22_04: "jammy", OperatingSystem.UBUNTU_24_04: "noble"}
"""What Ubuntu's suites are called."""

LOOPBACK = ("127.0.0.0/8", "::1")
TRANSFER_COMMAND = "/usr/local/libexec/xroad-transfer archives"
"""Brings archives of the message log away; role xroad_server writes the program."""


def variables(estate: Estate, host: Host) -> dict[str, Any]:
    """Packages, settings, accounts, names of secrets, what is kept and where."""
    federation = estate.federation
    server = federation.security_server_of(host.name)
    primary = server.host if server else host.name
    found: dict[str, Any] = {
        "xroad_server_distribution": federation.distribution.value,
        "xroad_server_version": federation.version,
        "xroad_server_settings": _local_ini(estate, host),
        # Keys are the primary's, and so is what opens them.
        "xroad_server_pin": secret(pin(primary)),
    }
    if not host.has(Role.CONFIGURATION_PROXY):
        found["xroad_server_admin"] = {"name": "exchange-admin", "password": secret(admin_password(host.name))}
        # API keys lie in the configuration that secondaries only read.
        found["xroad_server_api_key_name"] = api_key(host.name) if host.name == primary else ""
        found["xroad_server_identity"] = federation.identity(host.name)
        found["xroad_server_backup_key_name"] = backup_key(primary)
    if host.has(Role.SECURITY_SERVER):
        found["xroad_server_central_host"] = federation.central_server
    if host.name != primary:
        found["xroad_server_follows"] = primary
    if federation.repository is not None:
        found["xroad_server_repository"] = _repository(
            federation.repository, federation.system_of(host.name), federation.version
        )
    if (database := federation.database_of(host.name)) is not None:
        found["xroad_server_database"] = {
            **database.model_dump(),
            "password": secret(database_administrator(host.name)),
        }
    if federation.backups is not None:
        found["xroad_server_backups"] = _kept(federation.backups)
    if federation.archives is not None and host.has(Role.SECURITY_SERVER):
        found["xroad_server_archives"] = _kept(federation.archives)
    return found


def kind(host: Host) -> Server:
    """What kind of server a host carries."""
    if host.has(Role.CENTRAL_SERVER):
        return Server.CENTRAL
    return Server.PROXY if host.has(Role.CONFIGURATION_PROXY) else Server.SECURITY


def _repository(repository: PackageRepository, system: OperatingSystem, version: str) -> dict[str, str]:
    found = {"key_fingerprint": repository.key_fingerprint, "operating_system": system.value}
    if (codename := CODENAMES.get(system)) is not None:
        return {
            **found,
            "url": repository.url,
            "suite": f"{codename}-{version}",
            "component": repository.component,
        }
    return {**found, "url": f"{repository.rpm_url}/rhel/{system.value.partition('-')[2]}/current"}


def _kept(kept: Kept) -> dict[str, Any]:
    found: dict[str, Any] = {"keys": [key.model_dump() for key in kept.keys]}
    if kept.destination is not None:
        found["destination"] = kept.destination.model_dump(exclude_none=True)
    return found


def _local_ini(estate: Estate, host: Host) -> dict[str, dict[str, str]]:
    """`local.ini`: what safety asks for, over it the federation's settings, over them the server's own."""
    federation, server = estate.federation, kind(host)
    own: LocalIni = {}
    if (security_server := federation.security_server_of(host.name)) is not None:
        own = security_server.settings
    for proxy in federation.configuration_proxies:
        if proxy.host == host.name:
            own = proxy.settings
    layers = (_hardened(estate, host), getattr(federation.settings, server.value), own)
    found = rendered(server, federation.version, *layers)
    if federation.distribution is Distribution.SIMULATOR and server is Server.CENTRAL:
        # X-Road keeps this one in its database (confExpireIntervalSeconds).
        found["simulator"] = {"configuration-lifetime-in-seconds": str(federation.configuration_lifetime)}
    return found


def _hardened(estate: Estate, host: Host) -> LocalIni:
    """X-Road's security guide (ug-sec) and what else this site holds every server to, each with its source."""
    federation, server = estate.federation, kind(host)
    interval = f"{federation.configuration_interval} s"
    # ug-syspar 3.4: ten characters of three classes, which the generated PINs have.
    found: LocalIni = {"signer": {"enforce-token-pin-policy": True}}
    if server is Server.PROXY:
        (proxy,) = (item for item in federation.configuration_proxies if item.host == host.name)
        # ug-cp 3.2: it stands in the anchors.
        found["configuration-proxy"] = {"address": proxy.address or estate.fqdn(host)}
        return found
    admin = {
        # ug-sec 3.1. The host's own programs use its loopback names.
        "allowed-hostnames": _names(estate, host),
        # ug-syspar 3.9 and 4.1.3: whoever the firewall lets in, and no address more.
        "regular-api-whitelist": _callers(estate, host),
        "key-management-api-whitelist": LOOPBACK,
    }
    keys = tuple(key.fingerprint for key in federation.backups.keys) if federation.backups else ()
    # ig-ss 3.5: every server's own key is among the recipients without being named.
    backups: dict[str, Value] = {"backup-encryption-enabled": True}
    if keys:
        backups["backup-encryption-keyids"] = keys
    if server is Server.CENTRAL:
        found["admin-service"] = {**admin, "global-configuration-generation-rate-in-seconds": interval}
        found["center"] = {**backups}
        return found
    found["proxy-ui-api"] = {**admin, "server.ssl.enabled-protocols": ("TLSv1.2", "TLSv1.3")}
    found["proxy"] = {
        # ig-xlb 3.4: off by default, and what monitoring and load balancers ask.
        "health-check-port": LISTENERS[Endpoint.HEALTH].port,
        # ug-syspar 3.2: an information system with a certificate that has ended isn't known any more.
        "enforce-client-is-cert-validity-period-check": True,
        # ug-sec 4.1. The minor before takes part as long as a federation is upgraded.
        "server-min-supported-client-version": oldest_beside(federation.version),
        # ug-syspar 3.2: idle connections of other servers stay for ever otherwise. X-Road's value for FI.
        "server-connector-max-idle-time": "120 s",
        # ug-syspar 3.2: TLS 1.1 may be added there, and isn't.
        "client-tls-protocols": ("TLSv1.2",),
        **backups,
    }
    found["configuration-client"] = {
        "update-interval": interval,
        # ug-sec 5.3: never off in production.
        "global-conf-tls-cert-verification": True,
    }
    if federation.distribution is Distribution.SIMULATOR:
        # On a scaled clock a revoked right bites as soon as the rest of a change does.
        found["proxy"]["server-conf-cache-period"] = interval
    if (member := federation.security_server_of(host.name)) is not None and member.cluster is not None:
        # ig-xlb 3.2: connections that stay open would not be spread over the nodes.
        found["proxy"]["server-support-clients-pooled-connections"] = False
    if (archives := federation.archives) is not None:
        found["message-log"] = {
            "archive-encryption-enabled": True,
            "archive-default-encryption-key": archives.keys[0].fingerprint,
        }
        if archives.destination is not None:
            found["message-log"]["archive-transfer-command"] = TRANSFER_COMMAND
    return found


def _names(estate: Estate, host: Host) -> tuple[str, ...]:
    names = (estate.fqdn(host), *estate.aliases(host), str(host.address), "localhost", "127.0.0.1")
    return tuple(dict.fromkeys(names))


def _callers(estate: Estate, host: Host) -> tuple[str, ...]:
    """Networks from which the admin API may be called, loopback first."""
    networks = {
        network
        for flow in estate.flows
        if Endpoint.ADMIN_API in flow.to
        for destination, endpoint, _ in estate.destinations(flow)
        if destination.name == host.name and endpoint is Endpoint.ADMIN_API
        for network in estate.sources(flow)
    }
    return (*LOOPBACK, *(str(network) for network in sorted(networks)))
