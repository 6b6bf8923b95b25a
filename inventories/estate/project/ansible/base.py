"""Variables of role base."""

from __future__ import annotations

from typing import Any

from estate.host import KUBERNETES_ROLES, Host, Role
from estate.model import Estate
from estate.site import Environment

LOOSE, STRICT = 2, 1
"""Reverse-path filters of the kernel (ip-sysctl, rp_filter)."""


def variables(estate: Estate, host: Host) -> dict[str, Any]:
    """Accounts, names of all hosts, time and kernel settings."""
    in_container = estate.site.environment is Environment.LAB
    return {
        "base_operators": [
            {"account": operator.account, "ssh_keys": list(operator.ssh_keys)}
            for operator in estate.site.operators
        ],
        "base_automation_account": estate.deployment.account,
        "base_hosts": [
            {
                "address": str(named.address),
                "names": [estate.fqdn(named.name), named.name, *named.aliases],
            }
            for named in estate.names()
        ],
        "base_time_zone": estate.site.time_zone,
        "base_time_sources": _time_sources(estate, host),
        "base_time_adjusts_clock": not in_container,
        "base_time_serves": [str(estate.site.network)] if host.has(Role.TIME_SERVER) else [],
        "base_time_answers_programs": host.has(Role.TIME_STAMPING),
        "base_sysctl": _network_settings(host) | ({} if in_container else _KERNEL_SETTINGS),
        "base_updates": {
            "enabled": not in_container,
            "origins": ["origin=${distro_id},codename=${distro_codename}-security"],
            "excluded_packages": ["^kube", "^containerd", "^postgresql-[0-9]", "^xroad-"],
            "reboot": False,
            "reboot_time": "03:30",
        },
    }


def _time_sources(estate: Estate, host: Host) -> list[str]:
    """The site's time servers, each by its address in the host's own zone; they themselves ask outside."""
    if host.has(Role.TIME_SERVER):
        return list(estate.site.time_sources)
    return [
        str(server.addresses.get(host.zone, server.address)) for server in estate.hosts_with(Role.TIME_SERVER)
    ]


_KERNEL_SETTINGS: dict[str, int] = {
    "fs.protected_fifos": 2,
    "fs.protected_regular": 2,
    "fs.suid_dumpable": 0,
    "kernel.dmesg_restrict": 1,
    "kernel.kptr_restrict": 2,
    "kernel.unprivileged_bpf_disabled": 1,
    "kernel.yama.ptrace_scope": 1,
}
"""Settings of the whole machine: never set from a container, which would change the machine below it."""


def _network_settings(host: Host) -> dict[str, int]:
    """Settings of the host's own network namespace."""
    # On a node, packets of other nodes' pods arrive where the route back doesn't lead.
    reverse_path = STRICT if KUBERNETES_ROLES.isdisjoint(host.roles) else LOOSE
    settings = {
        "net.ipv4.conf.all.rp_filter": reverse_path,
        "net.ipv4.conf.default.rp_filter": reverse_path,
        "net.ipv4.conf.all.log_martians": 1,
        "net.ipv4.tcp_syncookies": 1,
    }
    for family, names in (("ipv4", ("all", "default")), ("ipv6", ("all", "default"))):
        for name in names:
            settings[f"net.{family}.conf.{name}.accept_redirects"] = 0
            settings[f"net.{family}.conf.{name}.accept_source_route"] = 0
    for name in ("all", "default"):
        settings[f"net.ipv4.conf.{name}.send_redirects"] = 0
    if host.has(Role.CERTIFICATE_AUTHORITY):
        # Connections that wait for a worker which ends go to its successor (ip-sysctl, tcp_migrate_req).
        settings["net.ipv4.tcp_migrate_req"] = 1
    if host.has(Role.ROUTER):
        settings["net.ipv4.ip_forward"] = 1
    return settings
