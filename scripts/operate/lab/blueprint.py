"""What a lab must consist of: networks, volumes and nodes, computed from the estate alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from estate import Estate
from estate.host import Host, Role
from estate.network import Zone

LABEL = "smartgouv.lab"
"""Carried by everything of a lab, with the lab's name as its value."""

BLUEPRINT_LABEL = "smartgouv.blueprint"
"""Carried by each node: the digest of what it was made from."""

_ZONE_LABEL = "smartgouv.zone"
_HOST_LABEL = "smartgouv.host"

_KUBERNETES_DIRECTORIES = ("/var/lib/containerd", "/var/lib/kubelet")
_CONTROL_PLANE_DIRECTORIES = ("/var/lib/etcd",)


@dataclass(frozen=True)
class Network:
    """A zone as a network of podman."""

    name: str
    zone: str
    subnet: IPv4Network
    machine: IPv4Address
    """The lab machine's own address in the zone. Not the zone's gateway: that is the router."""

    def create_arguments(self, lab: str) -> list[str]:
        """Arguments of `podman network create`.

        Internal, so that neither masquerading nor a default route leads out of the lab.
        """
        return [
            "network", "create", "--internal", "--disable-dns",
            "--subnet", str(self.subnet), "--gateway", str(self.machine),
            "--label", f"{LABEL}={lab}", "--label", f"{_ZONE_LABEL}={self.zone}",
            self.name,
        ]  # fmt: skip


@dataclass(frozen=True)
class Volume:
    """A directory of a node on the machine's own file system."""

    name: str
    path: str


_SYSTEMD = (
    "--systemd=false",
    "--env=container=podman",
    "--stop-signal=SIGRTMIN+3",
    "--tmpfs=/run:rw,nosuid,nodev,exec,mode=755",
    "--tmpfs=/run/lock:rw,nosuid,nodev,noexec,mode=1777",
    "--tmpfs=/tmp:rw,nosuid,nodev,exec,mode=1777",
)
"""What podman's own systemd mode would do, but for one thing: on control groups of version 1 it lays the
machine's whole systemd hierarchy over each container's, and nodes then remove one another's groups."""


def hardware_address(address: IPv4Address) -> str:
    """The one that goes with an address: locally administered, and the same for whatever node comes next.

    A node made anew under another one isn't found for the half minute in which its neighbours remember the
    former, since nothing in a container announces itself as a booting machine does.
    """
    return ":".join(f"{octet:02x}" for octet in (2, 0, *address.packed))


@dataclass(frozen=True)
class Node:
    """A host as a systemd container."""

    name: str
    host: str
    fqdn: str
    image: str
    """The image's identity, not a tag that can move."""
    addresses: tuple[tuple[str, IPv4Address], ...]
    """Network and address of each leg; the host's own zone first."""
    gateway: IPv4Address | None
    """The default route's next hop. None on the router."""
    volumes: tuple[Volume, ...]
    mirror: str
    """The directory of the package mirror, mounted read-only."""

    def create_arguments(self, lab: str) -> list[str]:
        """Arguments of `podman create`. The SSH key comes through podman's environment."""
        return [
            "create", "--name", self.name,
            *self._fixed_arguments,
            # The mirror's content may change under the same mount.
            f"--volume={self.mirror}:/srv/mirror:ro",
            "--label", f"{LABEL}={lab}",
            "--label", f"{_HOST_LABEL}={self.host}",
            "--label", f"{BLUEPRINT_LABEL}={self.digest}",
            self.image, "/sbin/init",
        ]  # fmt: skip

    @property
    def _fixed_arguments(self) -> list[str]:
        """All that can't be changed in a node that exists."""
        networks = [
            f"--network={network}:ip={address},mac={hardware_address(address)}"
            for network, address in self.addresses
        ]
        gateway = [f"--env=SMARTGOUV_GATEWAY={self.gateway}"] if self.gateway else []
        volumes = [f"--volume={volume.name}:{volume.path}" for volume in self.volumes]
        return [
            "--hostname", self.fqdn,
            # Nested container runtimes fail on the machine's own control groups without their own namespace.
            "--cgroupns=private", "--privileged", *_SYSTEMD,
            *networks, "--no-hosts", "--dns=none",
            "--env=SMARTGOUV_SSH_KEY", *gateway,
            *volumes,
        ]  # fmt: skip

    @property
    def digest(self) -> str:
        """A digest of what a node is made from: another one means a new node."""
        made_from = json.dumps([self.image, *self._fixed_arguments])
        return hashlib.sha256(made_from.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Blueprint:
    """A whole lab."""

    lab: str
    networks: tuple[Network, ...]
    nodes: tuple[Node, ...]

    @property
    def volumes(self) -> Iterator[Volume]:
        """Every volume of every node."""
        for node in self.nodes:
            yield from node.volumes


def draw(estate: Estate, lab: str, image: str, mirror: str) -> Blueprint:
    """The blueprint of `estate` as the lab called `lab`."""
    networks = tuple(
        Network(object_name(lab, zone.name), zone.name, zone.network, machine_address(zone))
        for zone in estate.zones
    )
    nodes = tuple(_node(estate, host, lab, image, mirror) for host in estate.hosts)
    return Blueprint(lab, networks, nodes)


def object_name(lab: str, name: str) -> str:
    """The name of a network, node or volume: unique on the machine, even beside other labs."""
    return f"smartgouv-{lab}-{name}"


def machine_address(zone: Zone) -> IPv4Address:
    """The lab machine's address in a zone: its first one."""
    return zone.network.network_address + 1


def _node(estate: Estate, host: Host, lab: str, image: str, mirror: str) -> Node:
    name = object_name(lab, host.name)
    directories: tuple[str, ...] = ()
    if host in estate.kubernetes_nodes:
        directories += _KUBERNETES_DIRECTORIES
    if host.has(Role.KUBERNETES_CONTROL_PLANE):
        directories += _CONTROL_PLANE_DIRECTORIES
    return Node(
        name=name,
        host=host.name,
        fqdn=estate.fqdn(host),
        image=image,
        addresses=tuple((object_name(lab, zone), address) for zone, address in host.addresses.items()),
        gateway=None if host.has(Role.ROUTER) else estate.zone(host.zone).gateway,
        # overlayfs can't lie on overlayfs: what containers and etcd write goes to volumes.
        volumes=tuple(Volume(f"{name}-{directory.rpartition('/')[2]}", directory) for directory in directories),
        mirror=mirror,
    )
