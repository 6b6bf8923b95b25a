"""What goes down together, and what a site can lose without losing a service.

A failure domain is a piece of the hardware that fails as a whole. With it go the hosts whose servers stand in
it, have no other power, or lose their last way into the network.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from estate.hardware import Server, Switch, SwitchTier
from estate.host import Host, Role
from estate.model import Estate
from estate.problems import Finding
from estate.site import Environment


class Kind(StrEnum):
    """What fails as a whole, the largest first."""

    DATA_CENTRE = "data centre"
    RACK = "rack"
    POWER_FEED = "power feed"
    SWITCH = "switch"


@dataclass(frozen=True)
class FailureDomain:
    """A piece of the hardware, and the hosts that go down with it."""

    kind: Kind
    name: str
    hosts: tuple[Host, ...]

    def __str__(self) -> str:
        return f"{self.kind} '{self.name}'"


@dataclass(frozen=True)
class Service:
    """What several hosts offer together, and how many of them must stay up for it."""

    name: str
    hosts: tuple[Host, ...]
    needed: int

    def survives(self, domain: FailureDomain) -> bool:
        """Whether it goes on without the hosts of `domain`."""
        return len(self.without(domain)) >= self.needed

    def without(self, domain: FailureDomain) -> tuple[Host, ...]:
        """Its hosts that stay up."""
        lost = {host.name for host in domain.hosts}
        return tuple(host for host in self.hosts if host.name not in lost)


_QUORUMS = {Role.KUBERNETES_CONTROL_PLANE: "etcd", Role.POSTGRESQL: "databases"}
"""A majority of these must stay up: fewer can't tell whether others went on without them."""

_COPIES = {
    Role.ROUTER: "routing between zones",
    Role.TIME_SERVER: "time",
    Role.STATUS_RESPONDER: "status of certificates",
    Role.TIME_STAMPING: "time stamps",
    Role.CERTIFICATE_AUTHORITY: "issuing of certificates",
    Role.REGISTRY: "images",
    Role.MONITORING: "monitoring",
    Role.KUBERNETES_WORKER: "portal and sector systems",
    Role.LOAD_BALANCER: "load balancing",
    Role.CENTRAL_SERVER: "central server",
    Role.CONFIGURATION_PROXY: "configuration proxies",
}
"""Of these, one is enough."""


def services(estate: Estate) -> tuple[Service, ...]:
    """All services of a site, also those of one host."""
    found = [
        Service(name, hosts, len(hosts) // 2 + 1)
        for role, name in _QUORUMS.items()
        if (hosts := estate.hosts_with(role))
    ]
    found += [Service(name, hosts, 1) for role, name in _COPIES.items() if (hosts := estate.hosts_with(role))]
    nodes = {server.host: server.nodes for server in estate.federation.security_servers}
    by_name = {host.name: host for host in estate.hosts}
    for identifier, subsystem in estate.federation.subsystems().items():
        names = [node for server in subsystem.security_servers for node in nodes.get(server, ())]
        hosts = tuple(by_name[name] for name in names if name in by_name)
        if hosts:
            found.append(Service(f"messages of {identifier}", hosts, 1))
    return tuple(found)


def failure_domains(estate: Estate) -> tuple[FailureDomain, ...]:
    """Every data centre, rack, power feed and switch of a site. None without hardware, as in a lab."""
    devices: tuple[Server | Switch, ...] = (*estate.servers, *estate.switches)
    failing: list[tuple[Kind, str, set[str]]] = []
    for centre in estate.data_centres:
        racks = {rack.name for rack in centre.racks}
        failing.append((Kind.DATA_CENTRE, centre.name, {item.name for item in devices if item.rack in racks}))
        for rack in centre.racks:
            failing.append((Kind.RACK, rack.name, {item.name for item in devices if item.rack == rack.name}))
        for feed in centre.power_feeds:
            without = {item.name for item in devices if set(item.power_feeds) == {feed.name}}
            failing.append((Kind.POWER_FEED, feed.name, without))
    for switch in estate.switches:
        if switch.tier is not SwitchTier.MANAGEMENT:
            failing.append((Kind.SWITCH, switch.name, {switch.name}))
    uplinks = _uplinks(estate)
    return tuple(
        FailureDomain(kind, name, tuple(host for host in estate.hosts if host.server in down))
        for kind, name, failed in failing
        for down in [_down(estate, failed, uplinks)]
    )


def _uplinks(estate: Estate) -> Mapping[str, set[str]]:
    """Of each leaf its spines, and of each server its leaves."""
    tiers = {switch.name: switch.tier for switch in estate.switches}
    height = {SwitchTier.LEAF: 1, SwitchTier.SPINE: 2}
    found: dict[str, set[str]] = defaultdict(set)
    for link in estate.links:
        if SwitchTier.MANAGEMENT in (tiers.get(link.a.device), tiers.get(link.b.device)):
            continue
        low, high = sorted(
            (link.a.device, link.b.device), key=lambda name: height[tiers[name]] if name in tiers else 0
        )
        found[low].add(high)
    return found


def _down(estate: Estate, failed: set[str], uplinks: Mapping[str, set[str]]) -> set[str]:
    """What is down when `failed` is: that, and what loses its last way up by it. Without any, none is lost."""
    down = set(failed)
    leaves = [switch.name for switch in estate.switches if switch.tier is SwitchTier.LEAF]
    for name in (*leaves, *(server.name for server in estate.servers)):
        above = uplinks.get(name)
        if above and above <= down:
            down.add(name)
    return down


@dataclass(frozen=True)
class Loss:
    """What the failure of a domain means."""

    domain: FailureDomain
    reduced: tuple[Service, ...]
    """These lose a host, and go on."""
    stopped: tuple[Service, ...]


def losses(estate: Estate) -> tuple[Loss, ...]:
    """Of each failure domain."""
    offered = services(estate)
    found = []
    for domain in failure_domains(estate):
        hit = [service for service in offered if len(service.without(domain)) < len(service.hosts)]
        found.append(
            Loss(
                domain,
                tuple(service for service in hit if service.survives(domain)),
                tuple(service for service in hit if not service.survives(domain)),
            )
        )
    return tuple(found)


def failure_domains_are_survived(estate: Estate) -> Iterator[Finding]:
    """No rack, power feed or switch takes a service down that has several hosts; in production, no data centre.

    What has one host has no second copy to lose: the site's page names it with what it stops.
    """
    production = estate.site.environment is Environment.PRODUCTION
    for loss in losses(estate):
        if loss.domain.kind is Kind.DATA_CENTRE and not production:
            continue
        for service in loss.stopped:
            if len(service.hosts) == 1:
                continue
            left = service.without(loss.domain)
            lost = [host for host in service.hosts if host not in left]
            names = ", ".join(f"'{host.name}'" for host in lost)
            yield Finding(
                ("hosts", estate.hosts.index(lost[-1]), "server"),
                f"{loss.domain} takes {len(lost)} of {len(service.hosts)} hosts of service '{service.name}'"
                f" with it ({names}); {service.needed} must stay up",
            )
