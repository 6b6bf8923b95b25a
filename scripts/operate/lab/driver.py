"""Raising a lab's nodes and taking everything of a lab away."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from estate import Estate
from estate.host import Role
from estate.site import Deployment
from operate import overlay
from operate.failure import Failure
from operate.lab import checks, nodes, packages, ranges, ssh
from operate.lab.blueprint import Blueprint, draw
from operate.lab.podman import PodmanError, podman, refused
from operate.lab.reconcile import Observed, compare, observe
from operate.reporting import Report
from operate.workspace import Workspace


@dataclass(frozen=True)
class Nodes:
    """What raising the nodes did."""

    total: int
    created: int
    started: int

    @property
    def text(self) -> str:
        """For people."""
        parts = [f"{self.total} nodes running"]
        if self.created:
            parts.append(f"{self.created} created")
        if self.started:
            parts.append(f"{self.started} started")
        return ", ".join(parts)


def prepare_machine(lab: str, report: Report) -> None:
    """Check this machine, install what it lacks, check what that can do, raise kernel limits."""
    again = "scripts/lab up"
    first = checks.machine(nodes_exist=shutil.which("podman") is not None and observe(lab).anything)
    checks.refuse(first, again)
    if names := packages.missing():
        packages.install(names, report)
    second = checks.software()
    checks.refuse(second, again)
    for change in checks.raise_limits():
        report.change(f"kernel limit raised on this machine: {change}")


def prepare_workspace(workspace: Workspace, estate: Estate, report: Report) -> Estate:
    """Give the lab its key, secrets and addresses; return its estate as deployed."""
    ssh.ensure_key(workspace)
    current = overlay.read(workspace)
    network = current.network or ranges.choose(estate.site.network, ranges.taken_by_others(_lab(workspace)))
    if current.network is None and network != estate.site.network:
        report.warning(f"{estate.site.network} is in use on this machine; this lab gets {network}")
    deployment = Deployment(
        name=_lab(workspace),
        account=ssh.ACCOUNT,
        private_key_file=ssh.key_file(workspace),
        known_hosts_file=ssh.known_hosts_file(workspace),
        state_directory=workspace.directory,
    )
    kept = current.model_copy(update={"network": network, "deployment": deployment})
    overlay.write(workspace, kept)
    deployed = workspace.load()
    if made := workspace.secrets.generate(deployed):
        report.change(f"{len(made)} secrets made in {workspace.secrets.directory}")
    return deployed


def blueprint(workspace: Workspace, estate: Estate, image: str, mirror: Path) -> Blueprint:
    """What the lab must consist of, for the node image called `image`."""
    try:
        identity = podman("image", "inspect", "--format", "{{.Id}}", image).strip()
    except PodmanError as error:
        raise refused(error, f"reading the node image {image}") from error
    return draw(estate, _lab(workspace), identity, str(mirror))


def raise_nodes(workspace: Workspace, estate: Estate, drawing: Blueprint, report: Report) -> Nodes:
    """Make the machine hold exactly the lab's nodes, running, and collect their SSH host keys."""
    lab = _lab(workspace)
    _refuse_foreign_ranges(workspace, estate)
    key = ssh.ensure_key(workspace)
    work = compare(drawing, observe(lab))
    made = {node.host for node in work.create_nodes}
    if made & {host.name for host in estate.hosts_with(Role.CERTIFICATE_AUTHORITY)}:
        # Its tokens go with the node: the root's records would speak of keys that nobody has any more.
        shutil.rmtree(workspace.ceremony_directory, ignore_errors=True)
    nodes.carry_out(work, lab, key, report)
    nodes.forbid_forwarding(drawing.networks)
    host_keys = nodes.wait_until_ready(drawing, key, report)
    ssh.write_configuration(workspace, estate, host_keys)
    return Nodes(len(drawing.nodes), len(work.create_nodes), len(work.start_nodes))


def take_down(workspace: Workspace, report: Report, *, keep_state: bool) -> Observed:
    """Remove the lab's nodes, networks and volumes, and its state unless that is to be kept.

    Caches stay: the next lab is raised from them.
    """
    removed = nodes.remove_all(_lab(workspace), report)
    if not keep_state:
        _empty(workspace.directory, keep={workspace.lock_file.name})
    return removed


def _empty(directory: Path, keep: set[str]) -> None:
    """Remove what is in a directory; the lock that this run holds stays."""
    for path in directory.iterdir() if directory.is_dir() else ():
        if path.name in keep:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _refuse_foreign_ranges(workspace: Workspace, estate: Estate) -> None:
    """Refuse to raise nodes where another network of this machine lies by now."""
    taken = ranges.taken_by_others(_lab(workspace))
    hits = [network for network in taken if network.overlaps(estate.site.network)]
    if hits:
        raise Failure(
            f"the lab's addresses {estate.site.network} are in use by another network of this machine",
            details="in use: " + ", ".join(map(str, hits)),
            next_step=f"{workspace.lab_command('down')}   # a new `up` then picks a free range",
        )


def _lab(workspace: Workspace) -> str:
    if workspace.lab is None:
        raise ValueError(f"site '{workspace.site}' isn't a lab")
    return workspace.lab
