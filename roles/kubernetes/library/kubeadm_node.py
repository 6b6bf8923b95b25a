"""Ansible module: makes a node the control plane of a new cluster, or a worker of one, however it was left."""

from __future__ import annotations

import fcntl
import hashlib
import json
import ssl
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: kubeadm_node
short_description: Membership of a node in a Kubernetes cluster
description:
  - Runs C(kubeadm init) or C(kubeadm join) on a node that isn't a member yet.
  - What an interrupted run left is removed first. If the node became a member, the run counts as finished.
  - A second caller waits for the first, also when the first one's controller is gone.
author: SMARTGOUV infrastructure
options:
  state:
    description: C(examined) only reports.
    type: str
    required: true
    choices: [examined, initialised, joined]
  configuration:
    description: File with the configuration of kubeadm.
    type: path
  authority:
    description: Certificate of the cluster's CA, PEM. A worker with another one belongs to another cluster.
    type: str
    default: ""
  deadline_seconds:
    description: How long the API may take to answer.
    type: int
    default: 180
"""

FOLDER = Path("/etc/kubernetes")
FINISHED = FOLDER / "initialised"
"""Says that `kubeadm init` came to its end and somebody saw it; holds the digest of its configuration."""
FACTS = Path("/etc/ansible/facts.d/kubernetes_bootstrap.fact")
LOCK = Path("/run/lock/kubeadm_node")
ADMIN = FOLDER / "admin.conf"
KUBELET_ACCESS = FOLDER / "kubelet.conf"
AUTHORITY = FOLDER / "pki/ca.crt"
READY_URL = "https://127.0.0.1:6443/readyz"

API_SERVER = FOLDER / "manifests/kube-apiserver.yaml"
_RESTART_SECONDS = 30

LAST_STEP = ("daemonset/kube-proxy", "deployment/coredns")
"""What `kubeadm init` makes last: with these in place nothing of it is missing."""

ARGUMENTS: dict[str, Any] = {
    "state": {"type": "str", "required": True, "choices": ["examined", "initialised", "joined"]},
    "configuration": {"type": "path"},
    "authority": {"type": "str", "default": ""},
    "deadline_seconds": {"type": "int", "default": 180},
}


class ReadyWatch(threading.Thread):
    """Measures how long the API of this node takes until it calls itself ready."""

    def __init__(self, deadline_seconds: float) -> None:
        super().__init__(daemon=True)
        self._start = time.monotonic()
        self._deadline = self._start + deadline_seconds
        self.seconds: float | None = None

    def run(self) -> None:
        """Ask until the API is ready or the deadline has passed."""
        while time.monotonic() < self._deadline:
            if is_ready():
                self.seconds = round(time.monotonic() - self._start, 2)
                return
            time.sleep(0.1)


def is_ready() -> bool:
    """Whether the API of this node calls itself ready."""
    # Only whether it answers matters here; its certificate may be made in this very moment.
    context = ssl._create_unverified_context()  # noqa: S323
    try:
        with urllib.request.urlopen(READY_URL, timeout=2, context=context):
            return True
    except (OSError, urllib.error.URLError):
        return False


class Node:
    """The node that the module runs on."""

    def __init__(self, module: AnsibleModule) -> None:
        self._module = module

    def _run(self, *command: str, check: bool = True) -> bool:
        code, _, _ = self._module.run_command(list(command), check_rc=check)
        return bool(code == 0)

    def is_worker_of(self, authority: str) -> bool:
        """Whether the kubelet has an access of its own to the cluster with this CA."""
        if not (KUBELET_ACCESS.exists() and AUTHORITY.exists()):
            return False
        return AUTHORITY.read_text().strip() == authority.strip()

    def finished_initialisation(self, deadline_seconds: int) -> bool:
        """Whether an earlier `kubeadm init` came to its end though nobody noted it."""
        if not (ADMIN.exists() and Path("/var/lib/etcd/member").exists() and KUBELET_ACCESS.exists()):
            return False
        self._run("systemctl", "start", "kubelet", check=False)
        watch = ReadyWatch(min(deadline_seconds, 60))
        watch.run()
        kubectl = ("kubectl", "--kubeconfig", str(ADMIN), "--namespace", "kube-system", "--request-timeout=10s")
        return watch.seconds is not None and self._run(*kubectl, "get", *LAST_STEP, check=False)

    def clean(self) -> None:
        """Remove what an interrupted run left, if there is anything."""
        if any(FOLDER.glob("*.conf")) or AUTHORITY.exists() or any(FOLDER.glob("manifests/*.yaml")):
            self._run("kubeadm", "reset", "--force")

    def initialise(self, configuration: str, deadline_seconds: int) -> float:
        """Make the cluster. Seconds from the start of `kubeadm init` until the API was ready."""
        watch = ReadyWatch(deadline_seconds)
        watch.start()
        self._run("kubeadm", "init", "--config", configuration, "--skip-token-print")
        watch.join()
        if watch.seconds is None:
            self._module.fail_json(msg=f"the API did not become ready within {deadline_seconds} s")
        return float(watch.seconds or 0)

    def reconfigure(self, configuration: str, deadline_seconds: int) -> None:
        """Bring a changed configuration to the API server, and wait until it is back."""
        before = API_SERVER.read_text()
        self._run("kubeadm", "init", "phase", "control-plane", "apiserver", "--config", configuration)
        if API_SERVER.read_text() == before:
            return
        # The kubelet replaces the pod in its own time: first it goes, then it comes.
        gone = time.monotonic() + _RESTART_SECONDS
        while is_ready() and time.monotonic() < gone:
            time.sleep(0.2)
        watch = ReadyWatch(deadline_seconds)
        watch.run()
        if watch.seconds is None:
            self._module.fail_json(
                msg=f"the API is not back within {deadline_seconds} s of its new configuration"
            )

    def join(self, configuration: str) -> None:
        """Become a worker."""
        self._run("kubeadm", "join", "--config", configuration)


def note(seconds: float) -> None:
    """Keep the time that the API took as a local fact of the host."""
    FACTS.parent.mkdir(parents=True, exist_ok=True)
    temporary = FACTS.with_suffix(".new")
    temporary.write_text(json.dumps({"ready_seconds": seconds}) + "\n")
    temporary.replace(FACTS)


def digest_of(configuration: Path) -> str:
    """A digest of the configuration; of nothing while a prediction runs before it was ever written."""
    return hashlib.sha256(configuration.read_bytes() if configuration.exists() else b"").hexdigest()


def initialise(module: AnsibleModule, node: Node) -> None:
    """Ends the module: the node is the control plane."""
    configuration, deadline = module.params["configuration"], module.params["deadline_seconds"]
    finished = FINISHED.exists() and ADMIN.exists()
    digest = digest_of(Path(configuration))
    if finished and FINISHED.read_text() == digest:
        module.exit_json(changed=False, member=True)
    if module.check_mode:
        module.exit_json(changed=True, member=finished)
    if finished or node.finished_initialisation(deadline):
        node.reconfigure(configuration, deadline)
        FINISHED.write_text(digest)
        module.exit_json(changed=True, member=True)
    node.clean()
    seconds = node.initialise(configuration, deadline)
    note(seconds)
    FINISHED.write_text(digest)
    module.exit_json(changed=True, member=True, ready_seconds=seconds)


def join(module: AnsibleModule, node: Node) -> None:
    """Ends the module: the node is a worker."""
    if node.is_worker_of(module.params["authority"]):
        module.exit_json(changed=False, member=True)
    if module.check_mode:
        module.exit_json(changed=True, member=False)
    node.clean()
    node.join(module.params["configuration"])
    module.exit_json(changed=True, member=True)


def main() -> None:
    """Entry point of Ansible."""
    module = AnsibleModule(
        ARGUMENTS,
        supports_check_mode=True,
        required_if=[("state", "initialised", ["configuration"]), ("state", "joined", ["configuration"])],
    )
    node = Node(module)
    if module.params["state"] == "examined":
        module.exit_json(changed=False, member=node.is_worker_of(module.params["authority"]))
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (initialise if module.params["state"] == "initialised" else join)(module, node)


if __name__ == "__main__":
    main()
