"""Which address range a lab gets, so that it meets no other network of this machine."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from ipaddress import IPv4Network, ip_network

from operate.failure import Failure
from operate.lab.blueprint import LABEL
from operate.lab.podman import listing

_CANDIDATES = 16


def choose(preferred: IPv4Network, taken: Iterable[IPv4Network]) -> IPv4Network:
    """The first range from `preferred` upward, of the same size, that overlaps nothing in `taken`."""
    taken = list(taken)
    size = preferred.num_addresses
    for step in range(_CANDIDATES):
        candidate = IPv4Network((int(preferred.network_address) + step * size, preferred.prefixlen))
        if candidate.is_private and not any(candidate.overlaps(other) for other in taken):
            return candidate
    raise Failure(
        f"no free address range for the lab: {preferred} and the {_CANDIDATES - 1} ranges after it are in use",
        details="in use: " + ", ".join(sorted(str(network) for network in taken)),
        next_step="podman network ls ; ip route   # remove a network that nobody needs",
    )


def taken_by_others(lab: str) -> list[IPv4Network]:
    """Networks in use on this machine, except those of the lab called `lab`."""
    networks = listing("network", "ls", "--format", "json")
    own = {
        network.get("network_interface")
        for network in networks
        if (network.get("labels") or {}).get(LABEL) == lab
    }
    subnets = [
        ip_network(subnet["subnet"])
        for network in networks
        if (network.get("labels") or {}).get(LABEL) != lab
        for subnet in network.get("subnets") or ()
    ]
    return [network for network in subnets if isinstance(network, IPv4Network)] + _routes(own)


def _routes(own_interfaces: set[str | None]) -> list[IPv4Network]:
    """Destinations of this machine's IPv4 routes; the default route isn't one."""
    result = subprocess.run(["ip", "-4", "-json", "route", "show"], capture_output=True, text=True, check=False)
    routes = json.loads(result.stdout or "[]") if result.returncode == 0 else []
    return [
        IPv4Network(route["dst"])
        for route in routes
        if route["dst"] != "default" and route.get("dev") not in own_interfaces
    ]
