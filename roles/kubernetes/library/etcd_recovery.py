"""Ansible module: etcd made anew from a snapshot, on one control plane of a cluster without a majority."""

from __future__ import annotations

import fcntl
import json
import math
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.cluster_store import ERRORS, Store
from ansible.module_utils.control_plane_programs import API_PROGRAM, OTHER_PROGRAMS, end, started_before
from ansible.module_utils.patience import waited

DOCUMENTATION = """
module: etcd_recovery
short_description: A cluster whose etcd lost its majority goes on with one member
description:
  - C(examined) refuses where etcd has its majority, and says what the cluster can be made anew from.
  - C(retired) takes a control plane out of the former cluster. Its data is kept beside the snapshots.
  - C(recovered) makes etcd anew on this control plane, as the only member, with what the snapshot holds. Others
    join it afterwards, as new ones do. Its former data is kept beside the snapshots.
  - The snapshot is taken of what this member has now, if it runs; else it is the last one that was kept.
  - An interrupted recovery goes on with the same snapshot.
  - Revisions go on above those of the former cluster, so that nobody who watches it takes old news for new.
author: SMARTGOUV infrastructure
options:
  state:
    description: What is wanted.
    type: str
    required: true
    choices: [examined, retired, recovered]
  name:
    description: Name of this member. Needed but for C(retired).
    type: str
    default: ""
  address:
    description: Address at which other members will reach it. Needed but for C(retired).
    type: str
    default: ""
  snapshots:
    description: Folder of the snapshots that are kept.
    type: path
    required: true
  snapshot:
    description: File to use, whatever etcd has now.
    type: path
    default: ""
  deadline_seconds:
    description: How long etcd may take to serve.
    type: int
    default: 180
"""

ARGUMENTS: dict[str, Any] = {
    "state": {"type": "str", "required": True, "choices": ["examined", "retired", "recovered"]},
    "name": {"type": "str", "default": ""},
    "address": {"type": "str", "default": ""},
    "snapshots": {"type": "path", "required": True},
    "snapshot": {"type": "path", "default": ""},
    "deadline_seconds": {"type": "int", "default": 180},
}

FOLDER = Path("/etc/kubernetes")
PKI = FOLDER / "pki"
FINISHED = FOLDER / "initialised"
"""Says that the node is a control plane (module kubeadm_node)."""
BEGUN = FOLDER / "recovery.json"
"""There from the choice of the snapshot until etcd serves."""
DATA = Path("/var/lib/etcd")
MEMBER = DATA / "member"
FORMER = DATA / "former"
"""Data of the former cluster, until it is out of etcd's folder: kubeadm joins with an empty one only."""
LOCK = Path("/run/lock/kubeadm_node")
TOOL = "/usr/local/sbin/etcd-snapshot"
REVISIONS = 1_000_000_000
"""How far revisions are raised: more than are made between two snapshots (etcd, disaster recovery)."""


class Recovery:
    """What is done on the host that the module runs on."""

    def __init__(self, module: AnsibleModule) -> None:
        self._module = module
        self._given = module.params
        self.store = Store(PKI)

    def has_majority(self) -> bool:
        """Whether etcd knows its members for sure."""
        try:
            self.store.members()
        except ERRORS:
            return False
        return True

    def kept(self) -> Path | None:
        """The last snapshot that was kept. Their names are their times."""
        return max(Path(self._given["snapshots"]).glob("*.db"), default=None)

    def chosen(self) -> Path:
        """The snapshot to use, proved to be whole."""
        path = Path(self._given["snapshot"]) if self._given["snapshot"] else self._taken() or self.kept()
        if path is None:
            self._module.fail_json(
                msg=f"etcd doesn't run here, and {self._given['snapshots']} has no snapshot. "
                "Next: recover on another control plane, or copy a snapshot there"
            )
        code, _, problem = self._module.run_command(["etcdutl", "snapshot", "status", str(path)])
        if code != 0:
            self._module.fail_json(
                msg=f"the snapshot {path} can't be used: {last_line(problem)}. Next: choose another one"
            )
        return path

    def _taken(self) -> Path | None:
        """A snapshot of what this member has; it gives one without a majority, too. None if it doesn't run."""
        code, _, _ = self._module.run_command([TOOL, "take"])
        return self.kept() if code == 0 else None

    def stop(self) -> None:
        """End the control plane's programs, and have nobody start them again."""
        self._module.run_command(["systemctl", "stop", "kubelet"], check_rc=True)
        for program in (API_PROGRAM, *OTHER_PROGRAMS):
            for process in started_before(math.inf, program):
                end(process)

    def put_aside(self) -> None:
        """Take the member's data out of etcd's way."""
        if MEMBER.exists():
            self.keep()
            MEMBER.rename(FORMER)

    def keep(self) -> None:
        """Keep the former cluster's data beside the snapshots, which may be on another file system."""
        if not FORMER.exists():
            return
        place = Path(self._given["snapshots"])
        new = place / ".former"
        shutil.rmtree(new, ignore_errors=True)
        shutil.copytree(FORMER, new)
        new.rename(place / f"before-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
        shutil.rmtree(FORMER)

    def restore(self, snapshot: Path) -> None:
        """Have the snapshot's content as the data of a cluster with this member alone."""
        new = DATA / "new"
        shutil.rmtree(new, ignore_errors=True)
        peer = f"https://{self._given['address']}:2380"
        self._module.run_command(
            [
                *("etcdutl", "snapshot", "restore", str(snapshot), "--data-dir", str(new)),
                *("--name", self._given["name"], "--initial-cluster", f"{self._given['name']}={peer}"),
                *("--initial-advertise-peer-urls", peer),
                *("--bump-revision", str(REVISIONS), "--mark-compacted"),
            ],
            check_rc=True,
        )
        if FORMER.exists():
            # An interrupted run of this recovery made what lies there now, and nobody has used it.
            shutil.rmtree(MEMBER, ignore_errors=True)
        self.put_aside()
        (new / "member").rename(MEMBER)
        new.rmdir()

    def start(self) -> None:
        """Have the kubelet start the control plane, and wait until etcd serves as the only member."""
        self._module.run_command(["systemctl", "start", "kubelet"], check_rc=True)
        deadline = self._given["deadline_seconds"]
        trouble = waited(lambda: "" if self.is_alone() else f"etcd doesn't serve within {deadline} s", deadline)
        if trouble:
            self._module.fail_json(
                msg=f"{trouble}. Next: journalctl --unit kubelet on this host, then the same command again"
            )

    def is_alone(self) -> bool:
        """Whether etcd serves with this member and no other."""
        try:
            return [member.name for member in self.store.members()] == [self._given["name"]]
        except ERRORS:
            return False


def last_line(text: str) -> str:
    """The last line that says something."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "it says nothing")


def examine(module: AnsibleModule, recovery: Recovery) -> None:
    """Ends the module: there is something to recover, and something to do it from."""
    if not BEGUN.exists():
        if recovery.has_majority():
            module.fail_json(
                msg="etcd has its majority: there is nothing to recover. A control plane whose machine is gone "
                "is replaced by applying the stages base, trust and cluster (docs/control-planes.md)"
            )
        if not FINISHED.exists():
            module.fail_json(msg="this host is no control plane of the cluster. Next: recover on one that is")
    last = recovery.kept()
    module.exit_json(changed=False, begun=BEGUN.exists(), last=str(last) if last else "")


def retire(module: AnsibleModule, recovery: Recovery) -> None:
    """Ends the module: the host has no part of the cluster."""
    if not (MEMBER.exists() or FORMER.exists() or FINISHED.exists()):
        module.exit_json(changed=False)
    if not module.check_mode:
        recovery.stop()
        recovery.put_aside()
        # Its data is out of its way already: reset would ask a cluster that can't answer about the member.
        module.run_command(["kubeadm", "reset", "--force", "--skip-phases=remove-etcd-member"], check_rc=True)
        recovery.keep()
        FINISHED.unlink(missing_ok=True)
    module.exit_json(changed=True)


def recover(module: AnsibleModule, recovery: Recovery) -> None:
    """Ends the module: etcd serves from the snapshot."""
    if module.check_mode:
        module.exit_json(changed=True)
    if BEGUN.exists():
        begun = json.loads(BEGUN.read_text())
    else:
        recovery.keep()
        begun = {"snapshot": str(recovery.chosen()), "restored": False}
        note(begun)
    if not begun["restored"]:
        recovery.stop()
        recovery.restore(Path(begun["snapshot"]))
        # What etcd takes from now on mustn't be lost to another run.
        note({**begun, "restored": True})
    recovery.start()
    recovery.keep()
    BEGUN.unlink()
    module.exit_json(changed=True, snapshot=begun["snapshot"])


def note(begun: dict[str, Any]) -> None:
    """Say how far the recovery is."""
    new = BEGUN.with_suffix(".new")
    new.write_text(json.dumps(begun) + "\n")
    new.replace(BEGUN)


STATES: dict[str, Callable[[AnsibleModule, Recovery], None]] = {
    "examined": examine,
    "retired": retire,
    "recovered": recover,
}
"""What ends the module, by the state that is wanted."""


def main() -> None:
    """Entry point of Ansible."""
    module = AnsibleModule(
        ARGUMENTS,
        supports_check_mode=True,
        required_if=[
            ("state", "examined", ["name", "address"]),
            ("state", "recovered", ["name", "address"]),
        ],
    )
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        STATES[module.params["state"]](module, Recovery(module))


if __name__ == "__main__":
    main()
