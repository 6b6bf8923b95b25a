"""The Ansible inventory of an estate: groups from roles and zones, variables from each role's module."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from estate.host import KUBERNETES_ROLES, Host, Role
from estate.model import Estate

EVERYWHERE = ("base", "firewall", "host_certificate", "node_exporter")
"""Ansible roles of every host."""

BY_ROLE: dict[Role, tuple[str, ...]] = {
    Role.ROUTER: (),
    Role.TIME_SERVER: (),
    Role.CERTIFICATE_AUTHORITY: ("certificate_authority", "trust_services"),
    Role.STATUS_RESPONDER: ("status_responder",),
    Role.TIME_STAMPING: ("time_stamping",),
    Role.POSTGRESQL: ("postgresql",),
    Role.REGISTRY: ("registry",),
    Role.MONITORING: ("monitoring",),
    Role.KUBERNETES_CONTROL_PLANE: ("container_runtime", "kubernetes"),
    Role.KUBERNETES_WORKER: ("container_runtime", "kubernetes"),
    Role.LOAD_BALANCER: ("load_balancer",),
    Role.CENTRAL_SERVER: ("xroad_server", "central_server"),
    Role.SECURITY_SERVER: ("xroad_server", "security_server"),
    Role.SECURITY_SERVER_CLUSTER: ("security_server_cluster",),
    Role.CONFIGURATION_PROXY: ("xroad_server", "configuration_proxy"),
}
"""Ansible roles that a role of the estate brings."""


SHARING = "virtual_address"
"""The Ansible role, and the group, of hosts that share an address."""


def roles_of(estate: Estate, host: Host) -> tuple[str, ...]:
    """The Ansible roles that configure a host, in no particular order."""
    own = (name for role in host.roles for name in BY_ROLE[role])
    sharing = (SHARING,) if estate.shared_by(host) else ()
    return tuple(dict.fromkeys((*EVERYWHERE, *own, *sharing)))


def inventory(estate: Estate) -> dict[str, Any]:
    """The inventory in the shape of `ansible-inventory --list`.

    Groups: one for each role (`role_<name>`, and `kubernetes` for all nodes), one for each zone
    (`zone_<name>`), and `virtual_address` for hosts that share one. Host variables: how to connect, and
    what each role's module projects.
    """
    groups: dict[str, list[str]] = {"kubernetes": [], SHARING: []}
    for role in Role:
        groups[f"role_{role}"] = []
    for zone in estate.zones:
        groups[f"zone_{zone.name.replace('-', '_')}"] = []
    variables: dict[str, dict[str, Any]] = {}
    for host in estate.hosts:
        groups[f"zone_{host.zone.replace('-', '_')}"].append(host.name)
        for role in host.roles:
            groups[f"role_{role}"].append(host.name)
        if not KUBERNETES_ROLES.isdisjoint(host.roles):
            groups["kubernetes"].append(host.name)
        if estate.shared_by(host):
            groups[SHARING].append(host.name)
        variables[host.name] = {**_connection(estate, host), **role_variables(estate, host)}
    return {
        **{name: {"hosts": hosts} for name, hosts in groups.items()},
        "_meta": {"hostvars": variables},
    }


def role_variables(estate: Estate, host: Host) -> dict[str, Any]:
    """Variables of every role of a host."""
    found: dict[str, Any] = {}
    for role in roles_of(estate, host):
        module = import_module(f"estate.project.ansible.{role}")
        found.update(module.variables(estate, host))
    return found


def _connection(estate: Estate, host: Host) -> dict[str, Any]:
    deployment = estate.deployment
    found: dict[str, Any] = {
        "ansible_host": str(host.address),
        "ansible_user": deployment.account,
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    options = ["-o StrictHostKeyChecking=yes"]
    if deployment.known_hosts_file is not None:
        options.append(f"-o UserKnownHostsFile={deployment.known_hosts_file}")
    if deployment.private_key_file is not None:
        found["ansible_ssh_private_key_file"] = str(deployment.private_key_file)
        options.append("-o IdentitiesOnly=yes")
    found["ansible_ssh_common_args"] = " ".join(options)
    return found
