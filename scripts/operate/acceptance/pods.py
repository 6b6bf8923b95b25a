"""Paths of pods: what their system needs is open, everything else is dropped, seen from inside of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from estate import Estate
from estate.host import Role
from estate.network import LISTENERS, Endpoint
from estate.project.pod_flows import reachable
from estate.types import Protocol
from operate.acceptance import remote
from operate.acceptance.result import Check
from operate.remote import output
from operate.workspace import Workspace

PORTAL = "portal"
_DNS_PORT = 53


class Target(NamedTuple):
    """Where a pod might open a TCP connection to."""

    name: str
    address: str
    port: int


def allowed(estate: Estate, system: str) -> list[Target]:
    """What a system can't do without: its database, the cluster's names, and for the portal the exchange."""
    found = [Target("names", str(estate.kubernetes.service_network[10]), _DNS_PORT)]
    hosts = [(estate.hosts_with(Role.POSTGRESQL)[0], Endpoint.POSTGRESQL)]
    if system == PORTAL:
        hosts.append((estate.host(estate.portal.security_server), Endpoint.INFORMATION_SYSTEMS))
    for host, endpoint in hosts:
        port = LISTENERS[endpoint].ports[-1]
        if address := reachable(estate, host.address, port):
            found.append(Target(host.name, address, port))
    return found


def forbidden(
    estate: Estate, system: str, others: Mapping[str, Sequence[Target]], needed: Sequence[Target]
) -> Iterator[Target]:
    """Pods of other systems, and each endpoint at the first host that offers it, but for what is needed."""
    for name, pods in others.items():
        if name != system:
            yield from pods
    open_to_it = {(target.address, target.port) for target in needed}
    for listener in LISTENERS.values():
        offering = [host for host in estate.hosts if not listener.roles.isdisjoint(host.roles)]
        for host in offering[:1] if listener.protocol is Protocol.TCP else ():
            if (str(host.address), listener.port) not in open_to_it:
                yield Target(host.name, str(host.address), listener.port)


def running(estate: Estate, listed: str) -> dict[str, list[Target]]:
    """Where the pods of each system answer, from what the cluster lists."""
    systems = (PORTAL, *(sector.name for sector in estate.sectors))
    found: dict[str, list[Target]] = {name: [] for name in systems}
    for pod in json.loads(listed)["items"]:
        namespace = pod["metadata"]["namespace"]
        if namespace in found and "podIP" in pod["status"]:
            found[namespace] += [
                Target(pod["metadata"]["name"], pod["status"]["podIP"], port["containerPort"])
                for container in pod["spec"]["containers"]
                for port in container.get("ports", [])
            ]
    return found


def check(workspace: Workspace, estate: Estate) -> list[Check]:
    """Two checks for each system: its own paths, and all others."""
    control_plane = estate.hosts_with(Role.KUBERNETES_CONTROL_PLANE)[0].name
    listed = output(
        workspace,
        control_plane,
        *(*remote.KUBECTL, "get", "pods", "--all-namespaces", "--output", "json"),
        purpose="listing the pods",
    )
    pods = running(estate, listed)
    needed = {system: allowed(estate, system) for system in pods}
    refused = {system: list(forbidden(estate, system, pods, needed[system])) for system in pods}
    answers = remote.ask_pods(
        workspace,
        control_plane,
        {
            system: {"connect": [[target.address, target.port] for target in needed[system] + refused[system]]}
            for system in pods
        },
    )
    return [
        judged
        for system in pods
        for judged in _judged(system, needed[system], refused[system], answers[system]["connect"])
    ]


def _judged(
    system: str, needed: Sequence[Target], refused: Sequence[Target], answers: Sequence[Any]
) -> Iterator[Check]:
    own, others = answers[: len(needed)], answers[len(needed) :]
    closed = [target for target, answer in zip(needed, own, strict=True) if answer != "open"]
    yield Check("pods' paths", f"{system} → what it needs", not closed, _told(needed, closed, "open", "closed"))
    # A refusal fails too: the packet arrived.
    passed = [target for target, answer in zip(refused, others, strict=True) if answer != "dropped"]
    yield Check("pods' paths", f"{system} → all else", not passed, _told(refused, passed, "dropped", "open"))


def _told(targets: Sequence[Target], wrong: Sequence[Target], right: str, otherwise: str) -> str:
    if not wrong:
        return f"{len(targets)} paths {right}"
    shown = ", ".join(f"{target.name}:{target.port}" for target in wrong[:5])
    return f"{len(wrong)} of {len(targets)} paths are {otherwise}: {shown}"
