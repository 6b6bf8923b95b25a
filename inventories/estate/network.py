"""Zones, and the flows that may cross between them."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from estate.host import Role
from estate.types import IPv4Address, IPv4Network, Model, Name, Port, Protocol


class Zone(Model):
    """A network whose hosts share one level of trust; traffic between zones is filtered."""

    name: Name
    network: IPv4Network
    gateway: IPv4Address
    purpose: str = Field(min_length=1)
    reaches: tuple[Name, ...] = ()
    """Zones that flows from here may enter. A flow elsewhere is refused."""


class Endpoint(StrEnum):
    """A service that a host offers on the network because of its role."""

    SSH = "ssh"
    TIME = "time"
    NODE_METRICS = "node_metrics"
    INFRASTRUCTURE_TLS = "infrastructure_tls"
    TRUST_SERVICES = "trust_services"
    CERTIFICATE_STATUS = "certificate_status"
    TIME_STAMPS = "time_stamps"
    POSTGRESQL = "postgresql"
    REGISTRY = "registry"
    KUBERNETES_API = "kubernetes_api"
    CLUSTER_STORE_CLIENTS = "cluster_store_clients"
    """etcd, asked by those who keep the cluster. The API server beside it asks on the loopback interface."""
    CLUSTER_STORE_PEERS = "cluster_store_peers"
    """etcd, where its members agree with one another."""
    KUBELET = "kubelet"
    POD_TUNNEL = "pod_tunnel"
    """Where nodes exchange the packets of their pods."""
    NODE_HEALTH = "node_health"
    """Where the nodes' network agents ask one another whether they are there."""
    PORTAL_NODE_PORT = "portal_node_port"
    SECTOR_NODE_PORTS = "sector_node_ports"
    HTTP = "http"
    HTTPS = "https"
    LOAD_BALANCER_METRICS = "load_balancer_metrics"
    PROMETHEUS = "prometheus"
    ALERTMANAGER = "alertmanager"
    ADMIN_API = "admin_api"
    GLOBAL_CONFIGURATION = "global_configuration"
    REGISTRATION = "registration"
    MANAGEMENT_SERVICES = "management_services"
    MESSAGE_TRANSPORT = "message_transport"
    OCSP_RESPONSES = "ocsp_responses"
    INFORMATION_SYSTEMS = "information_systems"
    HEALTH = "health"
    SERVER_CONFIGURATION = "server_configuration"
    """The database that a clustered security server's secondaries replicate."""
    CLUSTERED_SERVERS = "clustered_servers"
    """What a load balancer offers for a clustered security server behind it."""


class Shown(StrEnum):
    """Whose certificate a TLS endpoint shows."""

    HOST = "host"
    """Its host's, to everybody."""
    HOST_BY_NAME = "host_by_name"
    """Its host's to whoever asks for the host by name, another of a CA of its own to others."""
    AUTHORITY = "authority"
    """One that the infrastructure TLS CA makes for itself."""
    MEMBER = "member"
    """An X-Road authentication certificate. It names the server, not the host (Basic profile)."""


class Tls(Model):
    """How an endpoint speaks TLS. All certificates chain to the site's root."""

    port: Port
    shows: Shown = Shown.HOST
    starttls: Literal["postgres"] | None = None
    """The protocol in which TLS is asked for. None if a connection begins with it."""


class Listener(Model):
    """Where an endpoint listens. `roles` is empty when every host offers it."""

    ports: tuple[Port, ...]
    roles: frozenset[Role] = frozenset()
    protocol: Protocol = Protocol.TCP
    tls: Tls | None = None
    """None for endpoints without TLS, and for those whose certificate isn't of the site's root."""

    @property
    def port(self) -> int:
        """The first port, for endpoints that have one."""
        return self.ports[0]


_KUBERNETES = frozenset({Role.KUBERNETES_CONTROL_PLANE, Role.KUBERNETES_WORKER})
_XROAD = frozenset({Role.CENTRAL_SERVER, Role.SECURITY_SERVER})

_AUTHORITY = frozenset({Role.CERTIFICATE_AUTHORITY})
_CONTROL_PLANE = frozenset({Role.KUBERNETES_CONTROL_PLANE})
_BALANCER = frozenset({Role.LOAD_BALANCER})
_MONITORING = frozenset({Role.MONITORING})
_SERVER = frozenset({Role.SECURITY_SERVER})

LISTENERS: dict[Endpoint, Listener] = {
    Endpoint.SSH: Listener(ports=(22,)),
    Endpoint.TIME: Listener(ports=(123,), roles=frozenset({Role.TIME_SERVER}), protocol=Protocol.UDP),
    Endpoint.NODE_METRICS: Listener(ports=(9100,), tls=Tls(port=9100)),
    Endpoint.INFRASTRUCTURE_TLS: Listener(
        ports=(9443,), roles=_AUTHORITY, tls=Tls(port=9443, shows=Shown.AUTHORITY)
    ),
    Endpoint.TRUST_SERVICES: Listener(ports=(9444,), roles=_AUTHORITY, tls=Tls(port=9444)),
    # The ports on which X-Road's own test CA offers both.
    Endpoint.CERTIFICATE_STATUS: Listener(ports=(8888,), roles=frozenset({Role.STATUS_RESPONDER})),
    Endpoint.TIME_STAMPS: Listener(ports=(8899,), roles=frozenset({Role.TIME_STAMPING})),
    Endpoint.POSTGRESQL: Listener(
        ports=(5432,), roles=frozenset({Role.POSTGRESQL}), tls=Tls(port=5432, starttls="postgres")
    ),
    Endpoint.REGISTRY: Listener(ports=(5000,), roles=frozenset({Role.REGISTRY}), tls=Tls(port=5000)),
    Endpoint.KUBERNETES_API: Listener(
        ports=(6443,),
        roles=_CONTROL_PLANE,
        tls=Tls(port=6443, shows=Shown.HOST_BY_NAME),
    ),
    # These two show certificates of the cluster's own CA, and let in nobody who has none of it.
    Endpoint.CLUSTER_STORE_CLIENTS: Listener(ports=(2379,), roles=_CONTROL_PLANE),
    Endpoint.CLUSTER_STORE_PEERS: Listener(ports=(2380,), roles=_CONTROL_PLANE),
    # Shows a certificate that the kubelet made for itself.
    Endpoint.KUBELET: Listener(ports=(10250,), roles=_KUBERNETES),
    # VXLAN and health checks of Cilium (its system requirements).
    Endpoint.POD_TUNNEL: Listener(ports=(8472,), roles=_KUBERNETES, protocol=Protocol.UDP),
    Endpoint.NODE_HEALTH: Listener(ports=(4240,), roles=_KUBERNETES),
    Endpoint.PORTAL_NODE_PORT: Listener(ports=(30080,), roles=frozenset({Role.KUBERNETES_WORKER})),
    Endpoint.SECTOR_NODE_PORTS: Listener(
        ports=tuple(range(30081, 30101)), roles=frozenset({Role.KUBERNETES_WORKER})
    ),
    # For certificate status alone: whoever checks a certificate would have to check another first
    # (RFC 5280, section 8).
    Endpoint.HTTP: Listener(ports=(80,), roles=_BALANCER),
    Endpoint.HTTPS: Listener(ports=(443,), roles=_BALANCER, tls=Tls(port=443)),
    Endpoint.LOAD_BALANCER_METRICS: Listener(ports=(8404,), roles=_BALANCER, tls=Tls(port=8404)),
    Endpoint.PROMETHEUS: Listener(ports=(9090,), roles=_MONITORING, tls=Tls(port=9090)),
    Endpoint.ALERTMANAGER: Listener(ports=(9093,), roles=_MONITORING, tls=Tls(port=9093)),
    # X-Road's ports: ig-cs and ig-ss, "Network ports" (information systems on 8080/8443 since 7.4).
    Endpoint.ADMIN_API: Listener(ports=(4000,), roles=_XROAD, tls=Tls(port=4000)),
    Endpoint.GLOBAL_CONFIGURATION: Listener(
        ports=(80, 443),
        roles=frozenset({Role.CENTRAL_SERVER, Role.CONFIGURATION_PROXY}),
        tls=Tls(port=443),
    ),
    # These two show a certificate that the central server made for itself.
    Endpoint.REGISTRATION: Listener(ports=(4001,), roles=frozenset({Role.CENTRAL_SERVER})),
    Endpoint.MANAGEMENT_SERVICES: Listener(ports=(4002,), roles=frozenset({Role.CENTRAL_SERVER})),
    Endpoint.MESSAGE_TRANSPORT: Listener(ports=(5500,), roles=_SERVER, tls=Tls(port=5500, shows=Shown.MEMBER)),
    Endpoint.OCSP_RESPONSES: Listener(ports=(5577,), roles=_SERVER),
    Endpoint.INFORMATION_SYSTEMS: Listener(ports=(8080, 8443), roles=_SERVER, tls=Tls(port=8443)),
    Endpoint.HEALTH: Listener(ports=(5588,), roles=_SERVER),
    # ig-xlb 4.2: beside the database of messages, which isn't replicated.
    Endpoint.SERVER_CONFIGURATION: Listener(ports=(5433,), roles=frozenset({Role.SECURITY_SERVER_CLUSTER})),
    Endpoint.CLUSTERED_SERVERS: Listener(ports=(5500, 5577, 8080, 8443), roles=_BALANCER),
}
"""The one home of every well-known port."""


SHARED: dict[Role, tuple[Endpoint, ...]] = {
    Role.KUBERNETES_CONTROL_PLANE: (Endpoint.KUBERNETES_API,),
    Role.LOAD_BALANCER: (Endpoint.HTTP, Endpoint.HTTPS),
}
"""What clients reach at an address that the hosts of a role share, whichever of them holds it."""


class SharedAddress(Model):
    """An address that several hosts have, one at a time: VRRP moves it when its holder fails (RFC 9568)."""

    name: Name
    """Its own name in the site's domain. Not a host's."""
    zone: Name
    address: IPv4Address
    role: Role
    """Every host with this role may hold it."""
    router_id: int = Field(ge=1, le=255)
    """VRRP's virtual router identifier, of no other shared address in the zone."""


class Source(Model):
    """Who may open a flow: any of the zones, roles or hosts named, and the operators if they are."""

    zones: tuple[Name, ...] = ()
    roles: tuple[Role, ...] = ()
    hosts: tuple[Name, ...] = ()
    administration: bool = False
    """The addresses from which operators and the programs that they start reach the site."""


class Flow(Model):
    """Traffic that the site allows; all other traffic is dropped."""

    name: Name
    source: Source
    to: tuple[Endpoint, ...] = Field(min_length=1)
    hosts: tuple[Name, ...] = ()
    """Narrows the destination to these hosts; empty: every host that offers the endpoint."""
    reason: str = Field(min_length=1)
