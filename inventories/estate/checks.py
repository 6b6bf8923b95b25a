"""Rules that reach across an estate. Each yields findings; an estate with any is refused."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator
from ipaddress import IPv4Address, IPv4Network
from itertools import combinations

from estate import exchange_checks
from estate.failure_domains import failure_domains_are_survived
from estate.federation_rules import FEDERATION_RULES, known
from estate.hardware import Server, Switch, SwitchTier
from estate.host import KUBERNETES_ROLES, Role
from estate.model import Estate
from estate.network import LISTENERS, SHARED, Endpoint, Flow
from estate.problems import Finding, Location, repeated
from estate.site import Environment
from estate.trust import IssuingAuthority, RootAuthority

Rule = Callable[[Estate], Iterator[Finding]]

DOCUMENTATION_NETWORKS = tuple(
    IPv4Network(text) for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")
)
"""Addresses that stand for others in documents (RFC 5737)."""


def check(estate: Estate) -> list[Finding]:
    """Everything that is wrong with `estate`; empty when it may be used."""
    return [finding for rule in RULES for finding in rule(estate)]


def names_are_unique(estate: Estate) -> Iterator[Finding]:
    """Nothing of one kind shares a name; racks, feeds, servers and switches share one name space."""
    for kind in ("zones", "flows", "hosts", "sectors", "protections"):
        items = getattr(estate, kind)
        yield from repeated(
            ((item.name, (kind, index, "name")) for index, item in enumerate(items)),
            lambda name, kind=kind: f"two {kind} are called '{name}'",  # type: ignore[misc]
        )
    yield from repeated(
        (
            (item.name, (kind, index, "name"))
            for kind in ("data_centres", "servers", "switches")
            for index, item in enumerate(getattr(estate, kind))
        ),
        lambda name: f"two pieces of hardware are called '{name}'",
    )
    yield from repeated(
        (
            (rack.name, ("data_centres", d, "racks", r, "name"))
            for d, centre in enumerate(estate.data_centres)
            for r, rack in enumerate(centre.racks)
        ),
        lambda name: f"two racks are called '{name}'",
    )
    yield from repeated(
        (
            (database.name, ("postgresql", "databases", index, "name"))
            for index, database in enumerate(estate.postgresql.databases)
        ),
        lambda name: f"two databases are called '{name}'",
    )
    yield from repeated(
        ((waiver.check, ("waivers", index, "check")) for index, waiver in enumerate(estate.waivers)),
        lambda name: f"check {name} is waived twice",
    )


def addresses_are_unique(estate: Estate) -> Iterator[Finding]:
    """No two hosts, BMCs or switches share an address, nor a host a gateway's unless it is a router."""
    used: list[tuple[IPv4Address, Location]] = []
    for index, host in enumerate(estate.hosts):
        used.append((host.address, ("hosts", index, "address")))
        used.extend((address, ("hosts", index, "legs", zone)) for zone, address in host.legs.items())
    used.extend((s.bmc.address, ("servers", i, "bmc", "address")) for i, s in enumerate(estate.servers))
    used.extend(
        (s.management_address, ("switches", i, "management_address")) for i, s in enumerate(estate.switches)
    )
    yield from repeated(used, lambda address: f"address {address} is used twice")
    gateways = {zone.gateway: zone.name for zone in estate.zones}
    for index, host in enumerate(estate.hosts):
        if not host.has(Role.ROUTER) and host.address in gateways:
            yield Finding(
                ("hosts", index, "address"),
                f"address {host.address} is the gateway of zone '{gateways[host.address]}'",
            )


def addresses_lie_in_their_networks(estate: Estate) -> Iterator[Finding]:
    """A host's address lies in its zone, a gateway in its zone, a zone in the site."""
    zones = {zone.name: zone for zone in estate.zones}
    for index, zone in enumerate(estate.zones):
        networks = [net for net in (estate.site.network, estate.site.public_network) if net is not None]
        if not any(zone.network.subnet_of(network) for network in networks):
            yield Finding(
                ("zones", index, "network"),
                f"zone '{zone.name}' ({zone.network}) isn't inside {' or '.join(map(str, networks))}",
            )
        if zone.gateway not in zone.network:
            yield Finding(
                ("zones", index, "gateway"),
                f"gateway {zone.gateway} isn't inside zone '{zone.name}' ({zone.network})",
            )
    for index, host in enumerate(estate.hosts):
        places: list[tuple[str, IPv4Address, Location, Location]] = [
            (host.zone, host.address, ("hosts", index, "address"), ("hosts", index, "zone"))
        ]
        places += [
            (name, address, ("hosts", index, "legs", name), ("hosts", index, "legs", name))
            for name, address in host.legs.items()
        ]
        for name, address, at_address, at_zone in places:
            if (found := zones.get(name)) is None:
                yield Finding(at_zone, f"host '{host.name}' is in zone '{name}', which doesn't exist")
            elif address not in found.network:
                yield Finding(
                    at_address,
                    f"address {address} of '{host.name}' is outside zone '{name}' ({found.network})",
                )
            elif address in (found.network.network_address, found.network.broadcast_address):
                yield Finding(at_address, f"address {address} of '{host.name}' can't be a host's")


def networks_do_not_overlap(estate: Estate) -> Iterator[Finding]:
    """Zones, pods and services have addresses of their own."""
    networks: list[tuple[str, IPv4Network, Location]] = [
        (f"zone '{zone.name}'", zone.network, ("zones", index, "network"))
        for index, zone in enumerate(estate.zones)
    ]
    cluster = estate.kubernetes
    networks.append(("the pod network", cluster.pod_network, ("kubernetes", "pod_network")))
    networks.append(("the service network", cluster.service_network, ("kubernetes", "service_network")))
    for (name, network, _), (other, second, location) in combinations(networks, 2):
        if network.overlaps(second):
            yield Finding(location, f"{other} ({second}) overlaps {name} ({network})")
    nodes = [
        (host, index) for index, host in enumerate(estate.hosts) if not KUBERNETES_ROLES.isdisjoint(host.roles)
    ]
    for host, index in nodes:
        if host.pod_network is None:
            yield Finding(("hosts", index), f"node '{host.name}' has no pod_network")
        elif not host.pod_network.subnet_of(cluster.pod_network):
            yield Finding(
                ("hosts", index, "pod_network"),
                f"pods of '{host.name}' ({host.pod_network}) lie outside {cluster.pod_network}",
            )
    for (host, _), (second_host, index) in combinations(nodes, 2):
        first, second_network = host.pod_network, second_host.pod_network
        if first is not None and second_network is not None and first.overlaps(second_network):
            yield Finding(
                ("hosts", index, "pod_network"),
                f"pods of '{second_host.name}' ({second_network}) overlap those of '{host.name}'",
            )
    for index, host in enumerate(estate.hosts):
        if host.pod_network is not None and KUBERNETES_ROLES.isdisjoint(host.roles):
            yield Finding(("hosts", index, "pod_network"), f"'{host.name}' isn't a node and can't have pods")


def only_routers_have_legs(estate: Estate) -> Iterator[Finding]:
    """A host in two zones would join them past the filter."""
    for index, host in enumerate(estate.hosts):
        if host.legs and not host.has(Role.ROUTER):
            yield Finding(
                ("hosts", index, "legs"), f"'{host.name}' isn't a router and can't stand in several zones"
            )


def roles_are_filled(estate: Estate) -> Iterator[Finding]:
    """Every role that the platform needs has a host."""
    needed = (
        Role.TIME_SERVER,
        Role.CERTIFICATE_AUTHORITY,
        Role.STATUS_RESPONDER,
        Role.TIME_STAMPING,
        Role.POSTGRESQL,
        Role.REGISTRY,
        Role.MONITORING,
        Role.KUBERNETES_CONTROL_PLANE,
        Role.KUBERNETES_WORKER,
        Role.LOAD_BALANCER,
        Role.CENTRAL_SERVER,
        Role.SECURITY_SERVER,
    )
    for role in needed:
        if not estate.hosts_with(role):
            yield Finding(("hosts",), f"no host has the role '{role}'")
    for role in (Role.STATUS_RESPONDER, Role.TIME_STAMPING):
        if len(estate.hosts_with(role)) == 1:
            yield Finding(("hosts",), f"one host alone has the role '{role}': messages stop when it does")
    exchange = {Role.CENTRAL_SERVER, Role.SECURITY_SERVER}
    keys = {Role.CERTIFICATE_AUTHORITY, Role.TIME_STAMPING}
    for index, host in enumerate(estate.hosts):
        if host.has(Role.STATUS_RESPONDER) and not keys.isdisjoint(host.roles):
            yield Finding(
                ("hosts", index, "roles"),
                f"'{host.name}' holds keys and can't be a status responder, which strangers reach",
            )
        if exchange <= set(host.roles):
            yield Finding(
                ("hosts", index, "roles"),
                f"'{host.name}' can't be central and security server: their packages conflict",
            )


def shared_addresses_can_move(estate: Estate) -> Iterator[Finding]:
    """A shared address has hosts of its network to move between, and is nobody's own."""
    zones = {zone.name: zone for zone in estate.zones}
    owned = {address: host.name for host in estate.hosts for address in host.addresses.values()}
    owned |= {zone.gateway: f"the gateway of zone '{zone.name}'" for zone in estate.zones}
    hosts = {host.name for host in estate.hosts}
    for index, shared in enumerate(estate.shared_addresses):
        at: Location = ("shared_addresses", index)
        if shared.role not in SHARED:
            yield Finding((*at, "role"), f"hosts with the role '{shared.role}' can't share an address")
        if shared.name in hosts:
            yield Finding((*at, "name"), f"'{shared.name}' is a host's name, not that of a shared address")
        if (zone := zones.get(shared.zone)) is None:
            yield Finding((*at, "zone"), f"'{shared.name}' is in zone '{shared.zone}', which doesn't exist")
        elif shared.address not in zone.network:
            yield Finding(
                (*at, "address"),
                f"shared address {shared.address} is outside zone '{zone.name}' ({zone.network})",
            )
        elif shared.address in (zone.network.network_address, zone.network.broadcast_address):
            yield Finding((*at, "address"), f"shared address {shared.address} can't be a host's")
        if shared.address in owned:
            yield Finding(
                (*at, "address"), f"shared address {shared.address} is {owned[shared.address]}'s own already"
            )
        holders = estate.hosts_with(shared.role)
        if len(holders) < 2:
            yield Finding(
                (*at, "role"),
                f"'{shared.name}' can't move: hosts with the role '{shared.role}': {len(holders)}",
            )
        for host in holders:
            if host.zone != shared.zone:
                yield Finding(
                    (*at, "role"),
                    f"'{host.name}' is in zone '{host.zone}' and can't hold an address of zone '{shared.zone}'",
                )
    for field, say in (
        ("name", "two shared addresses are called '{}'"),
        ("address", "shared address {} is used twice"),
        ("role", "hosts with the role '{}' share two addresses"),
    ):
        yield from repeated(
            (
                (getattr(shared, field), ("shared_addresses", index, field))
                for index, shared in enumerate(estate.shared_addresses)
            ),
            say.format,
        )
    yield from repeated(
        (
            ((shared.zone, shared.router_id), ("shared_addresses", index, "router_id"))
            for index, shared in enumerate(estate.shared_addresses)
        ),
        lambda key: "router id {1} is used twice in zone '{0}'".format(*key),  # type: ignore[misc]
    )
    control_planes = estate.hosts_with(Role.KUBERNETES_CONTROL_PLANE)
    sharing = {shared.role for shared in estate.shared_addresses}
    if len(control_planes) > 1 and Role.KUBERNETES_CONTROL_PLANE not in sharing:
        yield Finding(
            ("hosts", estate.hosts.index(control_planes[1]), "roles"),
            f"{len(control_planes)} control planes share no address at which clients reach the API",
        )


def quorums_are_odd(estate: Estate) -> Iterator[Finding]:
    """An even number of etcd members survives no more losses than one fewer, and can split in half."""
    members = estate.hosts_with(Role.KUBERNETES_CONTROL_PLANE)
    if len(members) % 2 == 0 and members:
        index = estate.hosts.index(members[-1])
        yield Finding(
            ("hosts", index, "roles"),
            f"{len(members)} control planes make an even etcd quorum; use an odd number",
        )


def racks_have_their_feeds(estate: Estate) -> Iterator[Finding]:
    """A rack's power feeds belong to its data centre."""
    for d, centre in enumerate(estate.data_centres):
        feeds = {feed.name for feed in centre.power_feeds}
        for r, rack in enumerate(centre.racks):
            for feed in rack.power_feeds:
                if feed not in feeds:
                    yield Finding(
                        ("data_centres", d, "racks", r, "power_feeds"),
                        f"rack '{rack.name}' names power feed '{feed}', which '{centre.name}' lacks",
                    )


def _devices(estate: Estate) -> Iterator[tuple[Server | Switch, Location]]:
    for index, server in enumerate(estate.servers):
        yield server, ("servers", index)
    for index, switch in enumerate(estate.switches):
        yield switch, ("switches", index)


def devices_stand_in_racks(estate: Estate) -> Iterator[Finding]:
    """A device's rack exists, has room for it and the feeds that it takes."""
    racks = {rack.name: rack for centre in estate.data_centres for rack in centre.racks}
    taken: dict[tuple[str, int], str] = {}
    for device, location in _devices(estate):
        rack = racks.get(device.rack)
        if rack is None:
            yield Finding((*location, "rack"), f"rack '{device.rack}' of '{device.name}' doesn't exist")
            continue
        for feed in device.power_feeds:
            if feed not in rack.power_feeds:
                yield Finding(
                    (*location, "power_feeds"),
                    f"'{device.name}' takes power feed '{feed}', which rack '{rack.name}' lacks",
                )
        units = range(device.unit, device.unit + device.height_units)
        if units[-1] > rack.height_units:
            yield Finding((*location, "unit"), f"'{device.name}' stands above the top of rack '{rack.name}'")
        for unit in units:
            other = taken.setdefault((rack.name, unit), device.name)
            if other != device.name:
                yield Finding(
                    (*location, "unit"),
                    f"'{device.name}' and '{other}' both take unit {unit} of rack '{rack.name}'",
                )
                break


def feeds_carry_their_load(estate: Estate) -> Iterator[Finding]:
    """Each feed can carry everything on it alone, as it must when the other one fails."""
    draws: dict[str, int] = defaultdict(int)
    for device, _ in _devices(estate):
        for feed in device.power_feeds:
            draws[feed] += device.draw_watts
    for d, centre in enumerate(estate.data_centres):
        for f, power in enumerate(centre.power_feeds):
            if draws[power.name] > power.capacity_watts:
                yield Finding(
                    ("data_centres", d, "power_feeds", f, "capacity_watts"),
                    f"feed '{power.name}' carries {draws[power.name]} W of {power.capacity_watts} W",
                )


def hosts_run_on_servers_that_exist(estate: Estate) -> Iterator[Finding]:
    """A host's server exists."""
    servers = {server.name for server in estate.servers}
    for index, host in enumerate(estate.hosts):
        if host.server is not None and host.server not in servers:
            yield Finding(("hosts", index, "server"), f"server '{host.server}' of '{host.name}' doesn't exist")


def links_join_ports_once(estate: Estate) -> Iterator[Finding]:
    """A cable joins two things that exist, and a port takes one cable."""
    nics = {(server.name, nic.name) for server in estate.servers for nic in server.nics}
    switches = {switch.name: switch for switch in estate.switches}
    ends: list[tuple[Hashable, Location]] = []
    for index, link in enumerate(estate.links):
        for side, end in (("a", link.a), ("b", link.b)):
            location: Location = ("links", index, side)
            ends.append(((end.device, end.port), location))
            if end.device not in switches and (end.device, end.port) not in nics:
                yield Finding(location, f"there is no port '{end.port}' on '{end.device}'")
        tiers = {switches[end.device].tier for end in (link.a, link.b) if end.device in switches}
        if tiers == {SwitchTier.SPINE} or (SwitchTier.SPINE in tiers and len(tiers) == 1):
            yield Finding(("links", index), "a spine is joined to leaves only (RFC 7938 section 3.2)")
    yield from repeated(ends, lambda key: f"port {key} has two cables")


def flows_are_allowed(estate: Estate) -> Iterator[Finding]:
    """A flow names things that exist and enters only zones that its source zones reach."""
    zones = {zone.name: zone for zone in estate.zones}
    hosts = {host.name for host in estate.hosts}
    for index, flow in enumerate(estate.flows):
        location: Location = ("flows", index)
        source = flow.source
        unknown = [name for name in source.zones if name not in zones]
        for name in unknown:
            yield Finding(
                (*location, "source"), f"flow '{flow.name}' starts in zone '{name}', which doesn't exist"
            )
        for name in (*source.hosts, *flow.hosts):
            if name not in hosts:
                unknown.append(name)
                yield Finding(location, f"flow '{flow.name}' names host '{name}', which doesn't exist")
        if not (source.zones or source.roles or source.hosts or source.administration):
            yield Finding((*location, "source"), f"flow '{flow.name}' has no source")
        if unknown:
            continue
        starts = source_zones(estate, flow) & zones.keys()
        reported: set[tuple[str, str]] = set()
        found = False
        for host, endpoint, _ in estate.destinations(flow):
            found = True
            for start in starts:
                pair = (start, host.zone)
                # A router stands in all of its zones.
                within = start in host.addresses
                if not within and host.zone not in zones[start].reaches and pair not in reported:
                    reported.add(pair)
                    yield Finding(
                        location,
                        f"flow '{flow.name}' leads to {endpoint} from zone '{start}' into '{host.zone}', "
                        f"but '{start}' doesn't reach '{host.zone}'",
                    )
        if not found:
            yield Finding((*location, "to"), f"flow '{flow.name}' leads to no host")
    for index, zone in enumerate(estate.zones):
        for name in zone.reaches:
            if name not in zones:
                yield Finding(
                    ("zones", index, "reaches"), f"zone '{zone.name}' reaches '{name}', which doesn't exist"
                )


def hosts_reach_what_all_need(estate: Estate) -> Iterator[Finding]:
    """Every host may renew its TLS certificate and ask for the time."""
    opened: dict[Endpoint, set[IPv4Network]] = defaultdict(set)
    for flow in estate.flows:
        for endpoint in set(flow.to) & NEEDED_BY_ALL.keys():
            opened[endpoint].update(estate.sources(flow))
    for index, host in enumerate(estate.hosts):
        for endpoint, need in NEEDED_BY_ALL.items():
            itself = host in estate.offering(endpoint)
            if not itself and not any(host.address in network for network in opened[endpoint]):
                yield Finding(("hosts", index, "address"), f"no flow lets '{host.name}' {need}")


NEEDED_BY_ALL = {
    Endpoint.INFRASTRUCTURE_TLS: "renew its TLS certificate",
    Endpoint.TIME: "ask for the time",
}
"""Endpoints that every host must reach, with what for."""


def source_zones(estate: Estate, flow: Flow) -> set[str]:
    """Zones in which a flow's senders stand. Operators are trusted by address, not by zone."""
    zones = set(flow.source.zones)
    for host in estate.hosts:
        if host.has(Role.ROUTER):
            continue
        if host.name in flow.source.hosts or not set(flow.source.roles).isdisjoint(host.roles):
            zones.add(host.zone)
    return zones


def federation_is_consistent(estate: Estate) -> Iterator[Finding]:
    """Members, subsystems, servers and services refer to one another correctly."""
    federation = estate.federation
    at: Location = ("federation",)
    classes = {item.code for item in federation.member_classes}
    codes = {member.code for member in federation.members}
    servers = {server.host for server in federation.security_servers}
    sectors = {sector.name for sector in estate.sectors}
    exchange = {host.name for host in estate.hosts_with(Role.SECURITY_SERVER)}
    yield from repeated(
        (((m.member_class, m.code), (*at, "members", i, "code")) for i, m in enumerate(federation.members)),
        lambda key: f"two members are {key}",
    )
    yield from repeated(
        (((s.owner, s.code), (*at, "security_servers", i)) for i, s in enumerate(federation.security_servers)),
        lambda key: f"two security servers are {key}",
    )
    for m, member in enumerate(federation.members):
        if member.member_class not in classes:
            yield Finding(
                (*at, "members", m, "member_class"), f"member class '{member.member_class}' doesn't exist"
            )
        yield from repeated(
            ((s.code, (*at, "members", m, "subsystems", i)) for i, s in enumerate(member.subsystems)),
            lambda code, m=member: f"member '{m.code}' has two subsystems '{code}'",  # type: ignore[misc]
        )
        for s, subsystem in enumerate(member.subsystems):
            where = (*at, "members", m, "subsystems", s)
            for host in subsystem.security_servers:
                if host not in servers:
                    yield Finding(
                        (*where, "security_server"),
                        f"subsystem '{subsystem.code}' is on '{host}', "
                        "which isn't a security server of the federation",
                    )
            for v, service in enumerate(subsystem.services):
                if service.sector not in sectors:
                    yield Finding(
                        (*where, "services", v, "sector"),
                        f"service '{service.code}' leads to sector '{service.sector}', which doesn't exist",
                    )
    for index, server in enumerate(federation.security_servers):
        if server.host not in exchange:
            yield Finding(
                (*at, "security_servers", index, "host"),
                f"'{server.host}' isn't a host with the role 'security_server'",
            )
        if server.owner not in codes:
            yield Finding((*at, "security_servers", index, "owner"), f"owner '{server.owner}' isn't a member")
    if federation.central_server not in {h.name for h in estate.hosts_with(Role.CENTRAL_SERVER)}:
        yield Finding((*at, "central_server"), f"'{federation.central_server}' isn't a central server")
    subsystems = federation.subsystems()
    yield from known(subsystems, federation.management.provider, (*at, "management", "provider"))
    if federation.management.security_server not in servers:
        yield Finding(
            (*at, "management", "security_server"),
            f"'{federation.management.security_server}' isn't a security server of the federation",
        )
    yield from known(subsystems, estate.portal.client, ("portal", "client"))
    if federation.configuration_lifetime < 2 * federation.configuration_interval:
        yield Finding(
            (*at, "configuration_lifetime"),
            "a configuration must outlive two intervals, or one missed generation stops the exchange",
        )


def platform_is_consistent(estate: Estate) -> Iterator[Finding]:
    """Databases, images and ports that are named exist and aren't shared."""
    databases = {database.name for database in estate.postgresql.databases}
    zones = {zone.name for zone in estate.zones}
    for index, database in enumerate(estate.postgresql.databases):
        location: Location = ("postgresql", "databases", index)
        for zone in database.from_zones:
            if zone not in zones:
                yield Finding((*location, "from_zones"), f"zone '{zone}' doesn't exist")
    ports: list[tuple[Hashable, Location]] = [(estate.portal.node_port, ("portal", "node_port"))]
    for index, sector in enumerate(estate.sectors):
        ports.append((sector.node_port, ("sectors", index, "node_port")))
        if sector.database not in databases:
            yield Finding(("sectors", index, "database"), f"database '{sector.database}' doesn't exist")
        if sector.node_port not in LISTENERS[Endpoint.SECTOR_NODE_PORTS].ports:
            yield Finding(
                ("sectors", index, "node_port"), f"port {sector.node_port} isn't among the sectors' ports"
            )
    yield from repeated(ports, lambda port: f"node port {port} is used twice")
    if estate.portal.database not in databases:
        yield Finding(("portal", "database"), f"database '{estate.portal.database}' doesn't exist")
    if estate.portal.node_port not in LISTENERS[Endpoint.PORTAL_NODE_PORT].ports:
        yield Finding(("portal", "node_port"), f"port {estate.portal.node_port} isn't the portal's")
    if estate.portal.security_server not in {s.host for s in estate.federation.security_servers}:
        yield Finding(
            ("portal", "security_server"),
            f"'{estate.portal.security_server}' isn't a security server of the federation",
        )
    for name in REQUIRED_IMAGES:
        if name not in estate.images:
            yield Finding(("images",), f"image '{name}' is missing")


REQUIRED_IMAGES = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "etcd",
    "coredns",
    "pause",
    "portal",
    "sector-system",
)
"""Images that the cluster and the platform run."""


def certificates_are_recorded(estate: Estate) -> Iterator[Finding]:
    """The trust services CA has a database for its record, with an account that can't change what it wrote."""
    name = estate.trust.record
    for index, database in enumerate(estate.postgresql.databases):
        if database.name != name:
            continue
        location: Location = ("postgresql", "databases", index)
        if not database.apart:
            yield Finding(
                (*location, "apart"), f"database '{name}' holds the record of certificates: set `apart: true`"
            )
        zones = {host.zone for host in estate.hosts_with(Role.CERTIFICATE_AUTHORITY)}
        for zone in sorted(zones - set(database.from_zones)):
            yield Finding(
                (*location, "from_zones"), f"the trust services CA can't use '{name}' from zone '{zone}'"
            )
        return
    yield Finding(("trust", "record"), f"database '{name}' doesn't exist")


def shares_open_the_root(estate: Estate) -> Iterator[Finding]:
    """The root's token can be opened by those who hold its shares, and no share is anybody's twice."""
    ceremony = estate.trust.root.ceremony
    at: Location = ("trust", "root", "ceremony")
    if ceremony.threshold > len(ceremony.custodians):
        yield Finding(
            (*at, "threshold"), f"{ceremony.threshold} of {len(ceremony.custodians)} shares can't be brought"
        )
    yield from repeated(
        ((name.casefold(), (*at, "custodians", index)) for index, name in enumerate(ceremony.custodians)),
        lambda name: f"custodian '{name}' would keep two shares",
    )


def authorities_have_their_own_names(estate: Estate) -> Iterator[Finding]:
    """No two authorities have one name: who verifies finds an issuer by it (RFC 5280, 6.1.3)."""
    names = {"root": estate.trust.root.common_name}
    names |= {short: certified.common_name for short, certified in estate.trust.certified.items()}
    fields = dict.fromkeys(estate.trust.kubernetes.names, "kubernetes")
    yield from repeated(
        (
            (name, ("trust", fields.get(short, short.replace("-", "_")), "common_name"))
            for short, name in names.items()
        ),
        lambda name: f"two authorities would be called '{name}'",
    )


PROGRAMME = frozenset(
    {
        "civil-registry",
        "education",
        "health",
        "human-resources",
        "justice",
        "payroll",
        "procurement",
        "social-protection",
    }
)
"""Sectors that the programme began with, and that a production site can't lack. Others are data."""


def production_is_complete(estate: Estate) -> Iterator[Finding]:
    """In production: all eight sectors, no lab shortcuts, digests, real addresses unless a template."""
    if estate.site.environment is not Environment.PRODUCTION:
        return
    for sector in sorted(PROGRAMME - {sector.name for sector in estate.sectors}):
        yield Finding(("sectors",), f"sector '{sector}' is missing")
    if estate.kubernetes.nodes_are_containers:
        yield Finding(("kubernetes", "nodes_are_containers"), "only a lab's nodes are containers")
    for index, host in enumerate(estate.hosts):
        if host.server is None:
            yield Finding(("hosts", index), f"'{host.name}' names no server")
    for name, image in estate.images.items():
        if image.digest is None and not estate.site.template:
            yield Finding(("images", name), f"image '{name}' has no digest")
    authorities: dict[str, RootAuthority | IssuingAuthority] = {
        "root": estate.trust.root,
        **estate.trust.issuing,
    }
    for name, authority in authorities.items():
        if authority.token.in_software:
            yield Finding(
                ("trust", name.replace("-", "_"), "token"),
                f"the key of '{authority.common_name}' would lie in software: name the hardware's library",
            )
    for field in ("network", "public_network"):
        network = getattr(estate.site, field)
        documented = network is not None and any(network.overlaps(other) for other in DOCUMENTATION_NETWORKS)
        if documented and not estate.site.template:
            yield Finding(("site", field), f"{network} is for documentation (RFC 5737): set real addresses")


RULES: tuple[Rule, ...] = (
    names_are_unique,
    addresses_are_unique,
    addresses_lie_in_their_networks,
    networks_do_not_overlap,
    only_routers_have_legs,
    roles_are_filled,
    shared_addresses_can_move,
    quorums_are_odd,
    failure_domains_are_survived,
    racks_have_their_feeds,
    devices_stand_in_racks,
    feeds_carry_their_load,
    hosts_run_on_servers_that_exist,
    links_join_ports_once,
    flows_are_allowed,
    hosts_reach_what_all_need,
    federation_is_consistent,
    *FEDERATION_RULES,
    *exchange_checks.RULES,
    platform_is_consistent,
    certificates_are_recorded,
    shares_open_the_root,
    authorities_have_their_own_names,
    production_is_complete,
)
