"""Hosts and the roles that they carry."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from estate.types import IPv4Address, IPv4Network, Model, Name


class Role(StrEnum):
    """What a host does for the site. Every host also carries the base roles; they aren't listed."""

    ROUTER = "router"
    """Forwards between zones and filters there. Not a switch of the fabric."""
    TIME_SERVER = "time_server"
    """Gives the site its time. The other hosts ask it, since most zones reach no source outside."""
    CERTIFICATE_AUTHORITY = "certificate_authority"
    """Holds the issuing CAs. Not the root: that is used only in a ceremony."""
    STATUS_RESPONDER = "status_responder"
    """Answers what a certificate's status is, from answers signed elsewhere. Holds no key of an authority."""
    TIME_STAMPING = "time_stamping"
    """Stamps what it is shown with the time (RFC 3161). Not a time server."""
    POSTGRESQL = "postgresql"
    REGISTRY = "registry"
    """Serves container images to the cluster. Not the package mirror."""
    MONITORING = "monitoring"
    KUBERNETES_CONTROL_PLANE = "kubernetes_control_plane"
    KUBERNETES_WORKER = "kubernetes_worker"
    LOAD_BALANCER = "load_balancer"
    CENTRAL_SERVER = "central_server"
    SECURITY_SERVER = "security_server"
    SECURITY_SERVER_CLUSTER = "security_server_cluster"
    """A node of a security server that has several; it also carries `security_server`."""
    CONFIGURATION_PROXY = "configuration_proxy"
    """Distributes the global configuration in the central server's place."""


KUBERNETES_ROLES = frozenset({Role.KUBERNETES_CONTROL_PLANE, Role.KUBERNETES_WORKER})


class Host(Model):
    """An operating system with an address in one zone: a machine, or in the lab a container."""

    name: Name
    zone: Name
    address: IPv4Address
    roles: tuple[Role, ...] = ()
    legs: dict[Name, IPv4Address] = Field(default_factory=dict)
    """Addresses in further zones, by zone; only routers have any."""
    server: Name | None = None
    """The hardware under it. None in a lab, where the machine is the lab's own."""
    pod_network: IPv4Network | None = None
    """Addresses of this node's pods. Only on hosts with a Kubernetes role."""

    def has(self, role: Role) -> bool:
        """Whether the host carries `role`."""
        return role in self.roles

    @property
    def addresses(self) -> dict[str, IPv4Address]:
        """Every address of the host, by zone."""
        return {self.zone: self.address, **self.legs}
