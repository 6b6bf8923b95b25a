"""The estate: everything that a site is, in one immutable value."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import Any, NamedTuple

from pydantic import Field

from estate.federation import Federation
from estate.hardware import DataCentre, Link, Server, Switch
from estate.host import KUBERNETES_ROLES, Host, Role
from estate.network import LISTENERS, SHARED, Endpoint, Flow, Listener, SharedAddress, Zone
from estate.platform import (
    Image,
    Kubernetes,
    Monitoring,
    Portal,
    Postgresql,
    Protection,
    Registry,
    Sector,
)
from estate.secrets import Secret, secrets_of
from estate.site import Deployment, Overlay, Site
from estate.trust import Trust
from estate.types import Model, Name, Protocol


class Rule(NamedTuple):
    """One firewall rule: these sources may open connections to these ports of one address."""

    flow: str
    sources: tuple[IPv4Network, ...]
    destination: IPv4Address
    protocol: str
    ports: tuple[int, ...]
    """Empty for VRRP, which has none."""


class Named(NamedTuple):
    """An address with its names."""

    address: IPv4Address
    name: Name
    """Its own name, without the domain."""
    aliases: tuple[str, ...]
    """Further names, fully qualified."""


class Estate(Model):
    """A site with everything in it. Desired state only: nothing discovered is written back."""

    site: Site
    deployment: Deployment = Deployment()
    data_centres: tuple[DataCentre, ...] = ()
    servers: tuple[Server, ...] = ()
    switches: tuple[Switch, ...] = ()
    links: tuple[Link, ...] = ()
    zones: tuple[Zone, ...] = Field(min_length=1)
    flows: tuple[Flow, ...] = Field(min_length=1)
    hosts: tuple[Host, ...] = Field(min_length=1)
    shared_addresses: tuple[SharedAddress, ...] = ()
    trust: Trust
    postgresql: Postgresql
    registry: Registry = Registry()
    kubernetes: Kubernetes
    images: dict[Name, Image]
    federation: Federation
    sectors: tuple[Sector, ...] = Field(min_length=1)
    portal: Portal
    monitoring: Monitoring = Monitoring()
    protections: tuple[Protection, ...] = ()

    def host(self, name: str) -> Host:
        """The host called `name`; KeyError if there is none."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise KeyError(name)

    def zone(self, name: str) -> Zone:
        """The zone called `name`; KeyError if there is none."""
        for zone in self.zones:
            if zone.name == name:
                return zone
        raise KeyError(name)

    def sector(self, name: str) -> Sector:
        """The sector system called `name`; KeyError if there is none."""
        for sector in self.sectors:
            if sector.name == name:
                return sector
        raise KeyError(name)

    def hosts_with(self, *roles: Role) -> tuple[Host, ...]:
        """Hosts that carry any of `roles`, in the order of the estate."""
        return tuple(host for host in self.hosts if not set(roles).isdisjoint(host.roles))

    @property
    def kubernetes_nodes(self) -> tuple[Host, ...]:
        """Hosts of the cluster."""
        return self.hosts_with(*KUBERNETES_ROLES)

    def shared_by(self, host: Host) -> tuple[SharedAddress, ...]:
        """Addresses that `host` may hold."""
        return tuple(shared for shared in self.shared_addresses if host.has(shared.role))

    @property
    def api_address(self) -> IPv4Address:
        """Where clients reach the cluster's API: what its control planes share, or the only one's own."""
        role = Role.KUBERNETES_CONTROL_PLANE
        shared = (item.address for item in self.shared_addresses if item.role is role)
        return next(shared, self.hosts_with(role)[0].address)

    @property
    def managed_servers(self) -> tuple[Host, ...]:
        """Hosts whose admin API changes the federation: not those that only follow a primary."""
        following = {
            name
            for server in self.federation.security_servers
            if server.cluster is not None
            for name in server.cluster.secondaries
        }
        servers = self.hosts_with(Role.CENTRAL_SERVER, Role.SECURITY_SERVER)
        return tuple(host for host in servers if host.name not in following)

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """Every secret that the site needs, derived from what it contains."""
        return secrets_of(
            databases=self.postgresql.databases,
            time_stamping_hosts=[host.name for host in self.hosts_with(Role.TIME_STAMPING)],
            token_hosts=[
                host.name for host in (*self.managed_servers, *self.hosts_with(Role.CONFIGURATION_PROXY))
            ],
            administered_hosts=[
                host.name for host in self.hosts_with(Role.CENTRAL_SERVER, Role.SECURITY_SERVER)
            ],
            clustered_hosts=[server.host for server in self.federation.security_servers if server.cluster],
            remote_database_hosts=[host.name for host in self.hosts if self.federation.database_of(host.name)],
            encryption_keys=self.kubernetes.encryption_keys,
            bmc_credentials=sorted({server.bmc.credentials for server in self.servers}),
        )

    def fqdn(self, host: Host | str) -> str:
        """The fully qualified name of a host."""
        return f"{host if isinstance(host, str) else host.name}.{self.site.domain}"

    @property
    def status_name(self) -> str:
        """The name under which everybody asks about certificates, over plain HTTP."""
        return f"status.{self.site.domain}"

    def service_name(self, sector: Sector) -> str:
        """The name under which security servers call a sector system."""
        return f"{sector.name}.services.{self.site.domain}"

    def service_url(self, sector: Sector) -> str:
        """The address of a sector system's records, as registered at its security server."""
        return f"https://{self.service_name(sector)}/{sector.collection}"

    def _services_of(self, role: Role) -> tuple[str, ...]:
        """Names of what is reached through the hosts of a role, whichever of them answers."""
        if role is not Role.LOAD_BALANCER:
            return ()
        return (self.portal.host_name, self.status_name, *map(self.service_name, self.sectors))

    def aliases(self, host: Host) -> tuple[str, ...]:
        """Further names under which a host answers: for its certificate."""
        names = [name for role in host.roles for name in self._services_of(role)]
        names.extend(self.fqdn(shared.name) for shared in self.shared_by(host))
        for server in self.federation.security_servers:
            # Information systems and operators know the nodes by the name of all of them.
            if server.cluster is not None and host.name in server.nodes:
                names.append(server.cluster.address)
        for proxy in self.federation.configuration_proxies:
            if proxy.host == host.name and proxy.address not in (None, self.fqdn(host)):
                names.append(str(proxy.address))
        if host.name == self.federation.central_server and self.federation.address != self.fqdn(host):
            names.append(self.federation.address)
        return tuple(names)

    def names(self) -> Iterator[Named]:
        """Every address that has names. A name that hosts share is that of the address which they share."""
        shared_names: set[str] = set()
        for shared in self.shared_addresses:
            services = self._services_of(shared.role)
            shared_names.update((self.fqdn(shared.name), *services))
            yield Named(shared.address, shared.name, services)
        for host in self.hosts:
            own = tuple(name for name in self.aliases(host) if name not in shared_names)
            yield Named(host.address, host.name, own)

    def image_reference(self, name: str) -> str:
        """`host:port/namespace/name@digest`. ValueError while the digest isn't known."""
        image = self.images[name]
        if image.digest is None:
            raise ValueError(f"image '{name}' has no digest yet: push the images first")
        return f"{self.image_repository(name)}@{image.digest}"

    def image_repository(self, name: str) -> str:
        """`host:port/namespace/name`, without tag or digest."""
        port = LISTENERS[Endpoint.REGISTRY].port
        host = self.hosts_with(Role.REGISTRY)[0]
        return f"{self.fqdn(host)}:{port}/{self.registry.namespace}/{name}"

    def offering(self, endpoint: Endpoint) -> tuple[Host, ...]:
        """Hosts that offer `endpoint`."""
        listener = LISTENERS[endpoint]
        return self.hosts_with(*listener.roles) if listener.roles else self.hosts

    def sources(self, flow: Flow) -> tuple[IPv4Network, ...]:
        """The networks that may open a flow, without duplicates, in a stable order."""
        networks = [self.zone(name).network for name in flow.source.zones]
        for host in self.hosts:
            if host.name in flow.source.hosts or not set(flow.source.roles).isdisjoint(host.roles):
                networks.extend(IPv4Network(address) for address in host.addresses.values())
        if flow.source.administration:
            networks.extend(self.site.administration)
        return tuple(sorted(set(networks)))

    def destinations(self, flow: Flow) -> Iterator[tuple[Host, Endpoint, Listener]]:
        """Each host and endpoint that a flow leads to."""
        for endpoint in flow.to:
            for host in self.offering(endpoint):
                if not flow.hosts or host.name in flow.hosts:
                    yield host, endpoint, LISTENERS[endpoint]

    def rules(self) -> Iterator[Rule]:
        """Every firewall rule: for each flow, address and endpoint, and among hosts that share an address."""
        for flow in self.flows:
            sources = self.sources(flow)
            for host, endpoint, listener in self.destinations(flow):
                shared = (item.address for item in self.shared_by(host) if endpoint in SHARED[item.role])
                for address in (*host.addresses.values(), *shared):
                    yield Rule(flow.name, sources, address, listener.protocol.value, listener.ports)
        for item in self.shared_addresses:
            hosts = self.hosts_with(item.role)
            for host in hosts:
                peers = tuple(sorted(IPv4Network(peer.address) for peer in hosts if peer is not host))
                if peers:
                    yield Rule(f"shared-{item.name}", peers, host.address, Protocol.VRRP.value, ())

    def with_overlay(self, overlay: Overlay) -> Estate:
        """The same site as deployed: in the overlay's network, with its images and replaced authorities."""
        data = self.model_dump()
        if overlay.network is not None:
            data = _moved(data, self.site.network, overlay.network)
        data["deployment"] = overlay.deployment.model_dump()
        for name, digest in overlay.images.items():
            if name in data["images"]:
                data["images"][name]["digest"] = digest
        for name, generation in overlay.generations.items():
            data["trust"][name.replace("-", "_")]["generation"] = generation
        return Estate.model_validate(data)


def _moved(value: Any, old: IPv4Network, new: IPv4Network) -> Any:
    """`value` with every address inside `old` at the same place inside `new`."""
    if isinstance(value, dict):
        return {key: _moved(item, old, new) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_moved(item, old, new) for item in value)
    if isinstance(value, IPv4Network) and value.subnet_of(old):
        offset = int(value.network_address) - int(old.network_address)
        return IPv4Network((int(new.network_address) + offset, value.prefixlen))
    if isinstance(value, IPv4Address) and value in old:
        return new.network_address + (int(value) - int(old.network_address))
    return value
