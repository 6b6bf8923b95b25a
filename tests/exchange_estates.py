"""The production template, varied by what its federation may have beside what it has."""

from __future__ import annotations

from typing import Any

from estate import Estate, load
from estate.checks import check

KEY = {
    "fingerprint": "0123456789ABCDEF0123456789ABCDEF01234567",
    "armoured": "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDMEZ\n-----END PGP PUBLIC KEY BLOCK-----\n",
}
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGhvc3Q="


def varied(site: str = "production", **federation: Any) -> Estate:
    """A site with another federation; ValueError with what is wrong with it."""
    data = load(site).model_dump()
    servers = federation.pop("servers", {})
    data["hosts"] = (*data["hosts"], *federation.pop("hosts", ()))
    for host in data["hosts"]:
        host["roles"] = (*host["roles"], *federation.get("roles", {}).get(host["name"], ()))
    federation.pop("roles", None)
    for zone in data["zones"]:
        zone["reaches"] = (*zone["reaches"], *federation.get("reaches", {}).get(zone["name"], ()))
    federation.pop("reaches", None)
    data["flows"] = (*data["flows"], *federation.pop("flows", ()))
    data["federation"] |= federation
    for server in data["federation"]["security_servers"]:
        server.update(servers.get(server["host"], {}))
    estate = Estate.model_validate(data)
    if findings := check(estate):
        raise ValueError("\n".join(finding.message for finding in findings))
    return estate


def on(system: str) -> Estate:
    """All Ubuntu servers in this version."""
    return varied(operating_system=system)


def with_rhel() -> Estate:
    """A security server on RHEL, from packages of the same mirror."""
    data = load("production").federation.repository
    if data is None:
        raise LookupError("production names no repository")
    repository = {**data.model_dump(), "rpm_url": "https://packages.smartgouv.example/xroad-rpm"}
    return varied(
        repository=repository, servers={"ss-health": {"operating_system": "rhel-9", "memory": "512m 4g"}}
    )


def with_everything_elsewhere() -> Estate:
    """Databases elsewhere, backups and archives brought away, parameters of the site's own."""
    return varied(
        central_server_database={"host": "db1.smartgouv.example", "version": 16},
        settings={"security_server": {"proxy": {"client-timeout": "45 s"}}},
        backups={"keys": (KEY,), "destination": {"url": "https://keep.smartgouv.example/backups"}},
        archives={
            "keys": (KEY,),
            "destination": {
                "url": "sftp://archive.smartgouv.example:2222/xroad",
                "account": "xroad",
                "host_key": HOST_KEY,
            },
        },
        servers={
            "ss-health": {
                "database": {"host": "db2.smartgouv.example", "port": 5433, "version": 17},
                "memory": "r",
                "settings": {"message-log": {"keep-records-for": "60 d", "archive-max-filesize": "64 MiB"}},
            }
        },
    )


def with_a_cluster() -> Estate:
    """The health system's security server on two hosts behind a load balancer."""
    return varied(
        hosts=(
            {
                "name": "ss-health-2",
                "zone": "exchange",
                "address": "10.16.50.48",
                "roles": ("security_server", "security_server_cluster"),
                "server": "srv-ss-payroll",
            },
        ),
        roles={"ss-health": ("security_server_cluster",)},
        reaches={"edge": ("exchange",)},
        flows=(
            {
                "name": "cluster-of-health",
                "source": {"hosts": ("ss-health-2",)},
                "to": ("ssh", "server_configuration"),
                "hosts": ("ss-health",),
                "reason": "A secondary follows its primary",
            },
            {
                "name": "balanced-health",
                "source": {"hosts": ("balancer1",)},
                "to": ("message_transport", "ocsp_responses", "information_systems", "health"),
                "hosts": ("ss-health", "ss-health-2"),
                "reason": "The load balancer spreads messages over the nodes",
            },
            {
                "name": "messages-to-health",
                "source": {"roles": ("security_server",)},
                "to": ("clustered_servers",),
                "hosts": ("balancer1",),
                "reason": "Security servers reach the cluster",
            },
        ),
        servers={
            "ss-health": {
                "cluster": {
                    "secondaries": ("ss-health-2",),
                    "balancer": "balancer1",
                    "address": "ss-health.exchange.smartgouv.example",
                }
            }
        },
    )


def with_a_configuration_proxy() -> Estate:
    """A host that distributes the global configuration."""
    return varied(
        hosts=(
            {
                "name": "confproxy1",
                "zone": "exchange",
                "address": "10.16.50.15",
                "roles": ("configuration_proxy",),
                "server": "srv-central1",
            },
        ),
        configuration_proxies=(
            {
                "host": "confproxy1",
                "address": "conf.smartgouv.example",
                "instances": ({"name": "BJ"}, {"name": "BJ-PARTNERS", "source": "EXTERNAL", "validity": 900}),
            },
        ),
    )
