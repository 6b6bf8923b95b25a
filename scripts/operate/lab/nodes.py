"""Making, starting and removing the networks and nodes of a lab."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TypeVar

from operate.failure import Failure
from operate.lab.blueprint import LABEL, Blueprint, Network, Node
from operate.lab.podman import PodmanError, listing, out_of_space, podman, refused
from operate.lab.reconcile import Observed, Work, observe
from operate.reporting import Report

_AT_ONCE = 4
_BOOT_SECONDS = 180

_READY = """
systemctl is-system-running --wait
/usr/local/lib/smartgouv/node-setup >&2 || exit 1
cat /etc/ssh/ssh_host_*_key.pub
"""
"""Waits until a node has booted and prints its state; puts the SSH key of podman's environment on it, by the
node image's own program; prints its SSH host keys."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def carry_out(work: Work, lab: str, ssh_key: str, report: Report) -> None:
    """Do the work. Interrupted anywhere, a new comparison finds the rest."""
    variables = {"SMARTGOUV_SSH_KEY": ssh_key}
    together("removing", work.remove_nodes, _remove_node, report)
    for name in work.remove_networks:
        _do(f"removing network {name}", "network", "rm", name)
    for name in work.remove_volumes:
        _do(f"removing volume {name}", "volume", "rm", "--force", name)
    for network in work.create_networks:
        _do(f"creating network {network.name}", *network.create_arguments(lab))
    together("creating", work.create_nodes, lambda node: _create(node, lab, variables), report)
    together("starting", work.start_nodes, lambda node: _start(node, lab, variables), report)


def wait_until_ready(blueprint: Blueprint, ssh_key: str, report: Report) -> Mapping[str, tuple[str, ...]]:
    """Wait until every node has booted and knows the lab's SSH key; return the hosts' public keys."""

    def ready(node: Node) -> tuple[str, tuple[str, ...]]:
        return node.host, _host_keys(node, ssh_key, report)

    return dict(together("waiting for", blueprint.nodes, ready, report))


def forbid_forwarding(networks: Iterable[Network]) -> None:
    """Have this machine forward nothing that arrives from the lab's zones, whatever else it forwards.

    Only the lab's own bridges are touched: traffic between zones must cross the lab's router.
    """
    for network in networks:
        facts = listing("network", "inspect", network.name)
        setting = Path("/proc/sys/net/ipv4/conf", facts[0]["network_interface"], "forwarding")
        if setting.exists() and setting.read_text().strip() != "0":
            setting.write_text("0\n")


def remove_all(lab: str, report: Report) -> Observed:
    """Remove whatever carries the label of `lab`; return what there was."""
    found = observe(lab)
    together("removing", tuple(found.nodes), _remove_node, report)
    # Anonymous volumes went with their nodes: look again rather than trust the first list.
    for volume in sorted(observe(lab).volumes):
        _do(f"removing volume {volume}", "volume", "rm", "--force", volume)
    for network in found.networks:
        _do(f"removing network {network}", "network", "rm", "--force", network)
    return found


def memory(lab: str) -> dict[str, int]:
    """Bytes of memory that each running node's processes use, by container name.

    Caches of files aren't counted: the kernel takes them back when memory is short.
    """
    used = {}
    for node in listing("ps", "--filter", f"label={LABEL}={lab}", "--format", "json"):
        used[node["Names"][0]] = _resident(int(node["Pid"]))
    return used


def together(
    doing: str,
    items: Iterable[Item],
    action: Callable[[Item], Result],
    report: Report,
) -> list[Result]:
    """Results of `action` on each item, a few at a time. The first failure stops the rest."""
    items = tuple(items)
    results: list[Result] = []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        pending = {pool.submit(action, item) for item in items}
        try:
            while pending:
                done, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
                results.extend(future.result() for future in done)
                report.progress(f"{doing} nodes: {len(items) - len(pending)} of {len(items)}")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return results


def _create(node: Node, lab: str, variables: Mapping[str, str]) -> None:
    for volume in node.volumes:
        _do(
            f"creating volume {volume.name}",
            "volume", "create", "--label", f"{LABEL}={lab}", volume.name,
        )  # fmt: skip
    doing = f"creating node {node.host}"
    try:
        podman(*node.create_arguments(lab), variables=variables)
    except PodmanError as error:
        if "already in use" not in error.explanation:
            raise refused(error, doing) from error
        _remove_left_over(node, lab)
        _do(doing, *node.create_arguments(lab), variables=variables)
    _do(f"starting node {node.host}", "start", node.name)


def _remove_left_over(node: Node, lab: str) -> None:
    """Remove what a killed `podman create` left under the node's name; refuse to remove anything else."""
    try:
        labels = listing("container", "inspect", node.name)[0]["Config"]["Labels"] or {}
    except PodmanError:
        # Not a container, only its storage: it has no labels, and the name is the lab's own.
        _do(f"removing what was left of node {node.host}", "rm", "--force", node.name)
        return
    if labels.get(LABEL) != lab:
        raise Failure(
            f"a container called {node.name} exists and doesn't belong to lab '{lab}'",
            next_step=f"podman inspect {node.name}   # find out whose it is",
        )
    _remove_node(node.name)


def _start(node: Node, lab: str, variables: Mapping[str, str]) -> None:
    try:
        podman("start", node.name)
    except PodmanError as error:
        if out_of_space(error):
            raise refused(error, f"starting node {node.host}") from error
        # A run that was killed while podman started the node can leave it unusable; it is made anew.
        _remove_node(node.name)
        for volume in node.volumes:
            _do(f"removing volume {volume.name}", "volume", "rm", "--force", volume.name)
        _create(node, lab, variables)


def _remove_node(name: str) -> None:
    _do(f"removing node {name}", "rm", "--force", "--time", "0", "--volumes", name)


def _host_keys(node: Node, ssh_key: str, report: Report) -> tuple[str, ...]:
    """Wait for a node's boot, put the lab's key on it, and return its SSH host keys."""
    deadline = time.monotonic() + _BOOT_SECONDS
    variables = {"SMARTGOUV_SSH_KEY": ssh_key}
    question = ("exec", "--env", "SMARTGOUV_SSH_KEY", node.name, "sh", "-c", _READY)
    while True:
        try:
            state, *keys = podman(*question, timeout=_BOOT_SECONDS, variables=variables).splitlines()
        except (PodmanError, subprocess.TimeoutExpired) as error:
            # Right after its start a node has no system bus and no keys yet.
            cause = str(error)
        else:
            if state in ("running", "degraded"):
                break
            cause = f"systemd says '{state}'"
        if time.monotonic() > deadline:
            raise Failure(
                f"node {node.host} didn't boot within {_BOOT_SECONDS} s",
                details=cause,
                next_step=f"podman exec {node.name} journalctl --no-pager --lines=50   # what it waits for",
            )
        time.sleep(1)
    if state == "degraded":
        failed = podman("exec", node.name, "systemctl", "--failed", "--plain", "--no-legend", "list-units")
        units = ", ".join(line.split()[0] for line in failed.splitlines() if line.strip())
        report.warning(f"{node.host}: units that failed: {units or 'unknown'}")
    return tuple(" ".join(key.split()[:2]) for key in keys)


def _do(doing: str, *arguments: str, variables: Mapping[str, str] | None = None) -> str:
    try:
        return podman(*arguments, variables=variables)
    except PodmanError as error:
        raise refused(error, doing) from error


def _resident(process: int) -> int:
    """Anonymous memory and tmpfs of a container's control group, in bytes."""
    try:
        groups = Path(f"/proc/{process}/cgroup").read_text().splitlines()
    except FileNotFoundError:
        return 0
    by_controllers = {line.split(":", 2)[1]: line.split(":", 2)[2] for line in groups}
    if "memory" in by_controllers:
        # systemd puts itself into init.scope; the container's own group is the one above.
        group = _container_group(Path("/sys/fs/cgroup/memory"), by_controllers["memory"])
        wanted = ("total_rss", "total_shmem")
    else:
        group = _container_group(Path("/sys/fs/cgroup"), by_controllers.get("", "/"))
        wanted = ("anon", "shmem")
    try:
        lines = (group / "memory.stat").read_text().splitlines()
    except FileNotFoundError:
        return 0
    values = dict(line.split() for line in lines)
    return sum(int(values.get(name, 0)) for name in wanted)


def _container_group(base: Path, path: str) -> Path:
    parts = Path(path.lstrip("/")).parts
    for end in range(1, len(parts) + 1):
        if "libpod-" in parts[end - 1] and "conmon" not in parts[end - 1]:
            return base.joinpath(*parts[:end])
    return base.joinpath(*parts)
