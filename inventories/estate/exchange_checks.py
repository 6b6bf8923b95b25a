"""Rules about the servers of the federation: their versions, settings, databases, clusters and proxies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from estate.exchange import LocalIni
from estate.federation import Distribution, Federation, OperatingSystem, SecurityServer
from estate.host import Role
from estate.model import Estate
from estate.network import Endpoint
from estate.problems import Finding, Location
from estate.site import Environment
from estate.types import IPv4Address
from estate.xroad_parameters import Server, problems
from estate.xroad_versions import PATH, is_known, numbers

_RHEL = frozenset({OperatingSystem.RHEL_8, OperatingSystem.RHEL_9})


def exchange_software_is_supported(estate: Estate) -> Iterator[Finding]:
    """X-Road in a known version, on systems that it has packages for; the simulator outside production only."""
    federation = estate.federation
    at: Location = ("federation",)
    simulated = federation.distribution is Distribution.SIMULATOR
    if simulated and estate.site.environment is Environment.PRODUCTION:
        yield Finding((*at, "distribution"), "the simulator is test equipment, not for production")
    try:
        known = is_known(federation.version)
    except ValueError as error:
        yield Finding((*at, "version"), str(error))
    else:
        if not known:
            yield Finding(
                (*at, "version"),
                f"X-Road {federation.version} isn't known here; servers go {' → '.join(PATH)}",
            )
    if simulated:
        return
    if federation.operating_system is OperatingSystem.DEBIAN_13:
        yield Finding((*at, "operating_system"), "X-Road has no packages for Debian: use Ubuntu or RHEL")
    if federation.operating_system in _RHEL:
        yield Finding(
            (*at, "operating_system"),
            "X-Road's central server runs on Ubuntu alone: name RHEL at the security servers that have it",
        )
    if federation.repository is None:
        yield Finding(at, "X-Road's packages need a 'repository'")
    for index, server in enumerate(federation.security_servers):
        where: Location = (*at, "security_servers", index)
        if server.operating_system is OperatingSystem.DEBIAN_13:
            yield Finding((*where, "operating_system"), "X-Road has no packages for Debian: use Ubuntu or RHEL")
        if server.operating_system in _RHEL:
            if federation.repository is not None and federation.repository.rpm_url is None:
                yield Finding(
                    (*where, "operating_system"),
                    f"'{server.host}' has RHEL, and the repository no 'rpm_url' for its packages",
                )
            if server.cluster is not None:
                yield Finding((*where, "cluster"), "a cluster's nodes run on Ubuntu: RHEL isn't supported here")


def settings_are_parameters(estate: Estate) -> Iterator[Finding]:
    """Each setting is a parameter of X-Road in that version, of the right type and unit."""
    try:
        numbers(estate.federation.version)
    except ValueError:
        return  # Said elsewhere.
    for server, location, settings in _settings(estate.federation):
        for found in problems(server, estate.federation.version, settings):
            place = (*location, found.section, found.name) if found.name else (*location, found.section)
            yield Finding(place, found.message)
        if estate.site.environment is Environment.PRODUCTION:
            yield from _unsafe(location, settings)


def _settings(federation: Federation) -> Iterator[tuple[Server, Location, LocalIni]]:
    for server in Server:
        yield server, ("federation", "settings", server.value), getattr(federation.settings, server.value)
    for index, item in enumerate(federation.security_servers):
        yield Server.SECURITY, ("federation", "security_servers", index, "settings"), item.settings
    for index, proxy in enumerate(federation.configuration_proxies):
        yield Server.PROXY, ("federation", "configuration_proxies", index, "settings"), proxy.settings


_UNSAFE = (
    ("configuration-client", "global-conf-tls-cert-verification", "ug-sec 5.3"),
    ("configuration-client", "global-conf-hostname-verification", "ug-sec 5.3"),
    ("proxy", "ssl-enabled", "ug-syspar 3.2"),
    ("proxy", "verify-client-cert", "ug-syspar 3.2"),
)
"""Checks that X-Road lets one turn off for tests, with where it says so."""


def _unsafe(location: Location, settings: LocalIni) -> Iterator[Finding]:
    for section, name, source in _UNSAFE:
        if settings.get(section, {}).get(name) is False:
            yield Finding((*location, section, name), f"'{name}' may be turned off in tests only ({source})")


def databases_are_apart(estate: Estate) -> Iterator[Finding]:
    """No two servers use one database service elsewhere: X-Road gives their databases the same names."""
    federation = estate.federation
    used = Counter(
        (database.host, database.port)
        for host in estate.hosts
        if (database := federation.database_of(host.name)) is not None
    )
    for index, server in enumerate(federation.security_servers):
        if server.database is None:
            continue
        where: Location = ("federation", "security_servers", index, "database")
        if used[server.database.host, server.database.port] > 1:
            yield Finding(
                (*where, "host"),
                f"'{server.host}' would share {server.database.host}:{server.database.port} with another "
                "server, whose databases have the same names",
            )
        if server.cluster is not None:
            yield Finding(where, "a cluster replicates a database of its own: leave 'database' out")


def clusters_hold_together(estate: Estate) -> Iterator[Finding]:
    """Nodes of a cluster are hosts with its roles, in no other server, and reach their primary."""
    federation = estate.federation
    seen: dict[str, str] = {}
    clustered: set[str] = set()
    balanced: dict[str, str] = {}
    for index, server in enumerate(federation.security_servers):
        at: Location = ("federation", "security_servers", index)
        for name in server.nodes:
            if name in seen:
                yield Finding(at, f"'{name}' is a node of '{seen[name]}' already")
            seen[name] = server.host
        if server.cluster is None:
            continue
        clustered.update(server.nodes)
        yield from _nodes(estate, server, at)
        other = balanced.setdefault(server.cluster.balancer, server.host)
        if other != server.host:
            yield Finding(
                (*at, "cluster", "balancer"),
                f"'{server.cluster.balancer}' balances '{other}' already, on the same ports",
            )
    for index, host in enumerate(estate.hosts):
        if host.has(Role.SECURITY_SERVER_CLUSTER) != (host.name in clustered):
            yield Finding(
                ("hosts", index, "roles"),
                f"role 'security_server_cluster' is for nodes of a cluster, which '{host.name}' "
                + ("isn't in the federation" if host.has(Role.SECURITY_SERVER_CLUSTER) else "is and lacks it"),
            )


def _nodes(estate: Estate, server: SecurityServer, at: Location) -> Iterator[Finding]:
    cluster = server.cluster
    if cluster is None:
        return
    known = {host.name: host for host in estate.hosts}
    balancer = known.get(cluster.balancer)
    if balancer is None or not balancer.has(Role.LOAD_BALANCER):
        yield Finding(
            (*at, "cluster", "balancer"), f"'{cluster.balancer}' isn't a host with role 'load_balancer'"
        )
    elif server.host in known:
        for name in server.nodes:
            if name in known and not _open(estate, balancer.address, known[name].address, Endpoint.HEALTH):
                yield Finding(
                    (*at, "cluster", "balancer"), f"no flow lets '{balancer.name}' ask '{name}' for its health"
                )
    for position, name in enumerate(cluster.secondaries):
        where: Location = (*at, "cluster", "secondaries", position)
        node = known.get(name)
        if node is None or not node.has(Role.SECURITY_SERVER):
            yield Finding(where, f"'{name}' isn't a host with role 'security_server'")
            continue
        primary = known.get(server.host)
        if primary is None:
            continue
        for endpoint, need in (
            (Endpoint.SERVER_CONFIGURATION, "replicate the configuration database"),
            (Endpoint.SSH, "fetch configuration files"),
        ):
            if not _open(estate, node.address, primary.address, endpoint):
                yield Finding(where, f"no flow lets '{name}' {need} of '{server.host}'")


def _open(estate: Estate, source: IPv4Address, destination: IPv4Address, endpoint: Endpoint) -> bool:
    return any(
        host.address == destination and any(source in network for network in estate.sources(flow))
        for flow in estate.flows
        if endpoint in flow.to
        for host, found, _ in estate.destinations(flow)
        if found is endpoint
    )


def configuration_proxies_have_hosts(estate: Estate) -> Iterator[Finding]:
    """Each configuration proxy is a host of its own, and names no instance twice."""
    hosts = {host.name: host for host in estate.hosts}
    named = {proxy.host for proxy in estate.federation.configuration_proxies}
    for index, proxy in enumerate(estate.federation.configuration_proxies):
        at: Location = ("federation", "configuration_proxies", index)
        host = hosts.get(proxy.host)
        if host is None or not host.has(Role.CONFIGURATION_PROXY):
            yield Finding((*at, "host"), f"'{proxy.host}' isn't a host with role 'configuration_proxy'")
        elif {Role.CENTRAL_SERVER, Role.SECURITY_SERVER} & set(host.roles):
            yield Finding((*at, "host"), f"'{proxy.host}' is another server of X-Road: their packages conflict")
        for name, times in Counter(instance.name for instance in proxy.instances).items():
            if times > 1:
                yield Finding((*at, "instances"), f"two instances of '{proxy.host}' are called '{name}'")
    for index, host in enumerate(estate.hosts):
        if host.has(Role.CONFIGURATION_PROXY):
            if host.name not in named:
                yield Finding(
                    ("hosts", index, "roles"), f"'{host.name}' proxies no configuration of the federation"
                )
            if estate.federation.distribution is Distribution.SIMULATOR:
                yield Finding(("hosts", index, "roles"), "the simulator has no configuration proxy")


def backups_can_be_read(estate: Estate) -> Iterator[Finding]:
    """In production somebody outside of the servers can read their backups, also when a server is lost."""
    production = estate.site.environment is Environment.PRODUCTION and not estate.site.template
    if production and estate.federation.backups is None:
        yield Finding(
            ("federation",),
            "'backups' is missing: only a server's own key would open that server's backups (ig-ss 3.5)",
        )


RULES = (
    exchange_software_is_supported,
    settings_are_parameters,
    databases_are_apart,
    clusters_hold_together,
    configuration_proxies_have_hosts,
    backups_can_be_read,
)
