"""Ansible module: makes a node the control plane of a new cluster, or a worker of one, however it was left."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import json
import os
import re
import signal
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
  - A cluster takes over the next certificate of an authority's same key. Another key is refused.
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
    description: Certificate of the cluster's CA, PEM. A worker with another one's belongs to another cluster.
    type: str
    default: ""
  authorities:
    description: Keys and certificates of a control plane's CAs, by the file's path in kubeadm's folder.
    type: dict
    default: {}
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

PKI = FOLDER / "pki"
ACCESSES = ("admin", "super-admin", "controller-manager", "scheduler", "kubelet")
"""Files with an access to the cluster, each with the CA's certificate in it."""
STATIC_PODS = ("kube-apiserver", "etcd", "kube-controller-manager", "kube-scheduler")
"""Programs that read certificates when they start. The API comes first: without etcd it takes long to end."""
_GRACE_SECONDS = 30
"""How long such a program may take to end; as long as the kubelet gives it."""
PROCESSES = Path("/proc")

API_SERVER = FOLDER / "manifests/kube-apiserver.yaml"
_RESTART_SECONDS = 30

LAST_STEP = ("daemonset/kube-proxy", "deployment/coredns")
"""What `kubeadm init` makes last: with these in place nothing of it is missing."""

ARGUMENTS: dict[str, Any] = {
    "state": {"type": "str", "required": True, "choices": ["examined", "initialised", "joined"]},
    "configuration": {"type": "path"},
    "authority": {"type": "str", "default": ""},
    "authorities": {"type": "dict", "default": {}},
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

    def _answer(self, *command: str, said: str | None = None) -> str:
        _, output, _ = self._module.run_command(list(command), check_rc=True, data=said)
        return str(output)

    def is_worker_of(self, authority: str) -> bool:
        """Whether the kubelet has an access of its own to the cluster with this CA's key."""
        if not (KUBELET_ACCESS.exists() and AUTHORITY.exists()):
            return False
        present = AUTHORITY.read_text()
        if present.strip() == authority.strip():
            return True
        # The next certificate of the same key is the same authority.
        key = self._key_of(present)
        return bool(key) and key == self._key_of(authority)

    def _key_of(self, certificate: str) -> str:
        if not certificate.strip():
            return ""
        return self._answer("openssl", "x509", "-noout", "-pubkey", said=certificate)

    def follow(self, authority: str) -> None:
        """Have a worker use the CA's present certificate."""
        replace(KUBELET_ACCESS, with_authority(KUBELET_ACCESS.read_text(), authority))
        self._run("systemctl", "restart", "kubelet")
        # Last: until then the worker counts as not having followed. The kubelet reads this one again by itself.
        replace(AUTHORITY, authority.strip() + "\n")

    def install(self, files: dict[Path, Path]) -> None:
        """Put keys and certificates where kubeadm expects them."""
        for target, source in files.items():
            content = source.read_text()
            if not target.exists() or target.read_text() != content:
                replace(target, content, mode=0o600 if target.suffix == ".key" else 0o644)

    def renew(self, files: dict[Path, Path]) -> bool:
        """Have the control plane use the CAs' present certificates; whether any of its programs ended for it.

        Continues what an interrupted run began.
        """
        if (present := files.get(AUTHORITY)) is not None:
            for path in (FOLDER / f"{name}.conf" for name in ACCESSES):
                access = path.read_text() if path.exists() else ""
                if (wanted := with_authority(access, present.read_text())) != access:
                    replace(path, wanted)
        self.install(files)
        written = max((target.stat().st_mtime for target in files if target.suffix == ".crt"), default=0.0)
        old = [process for program in STATIC_PODS for process in started_before(written, program)]
        for process in old:
            # The kubelet starts another in its place.
            end(process)
        return bool(old)

    def renew_kubelet(self) -> None:
        """Have the kubelet use its present access. When the API answers: it waits for it otherwise."""
        if KUBELET_ACCESS.exists() and started_before(KUBELET_ACCESS.stat().st_mtime, "kubelet"):
            self._run("systemctl", "restart", "kubelet")

    def announce(self, authority: str) -> None:
        """Show the CA's present certificate to those who join."""
        kubectl = ("kubectl", "--kubeconfig", str(ADMIN), "--namespace", "kube-public", "--request-timeout=30s")
        found = json.loads(self._answer(*kubectl, "get", "configmap", "cluster-info", "--output", "json"))
        shown = found["data"]["kubeconfig"]
        if (wanted := with_authority(shown, authority)) != shown:
            found["data"]["kubeconfig"] = wanted
            self._answer(*kubectl, "replace", "--filename", "-", said=json.dumps(found))

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
        if API_SERVER.read_text() != before:
            self.wait_for_return(deadline_seconds)

    def wait_for_return(self, deadline_seconds: int) -> None:
        """Wait until the API has gone and is ready again."""
        # The kubelet replaces the pod in its own time: first it goes, then it comes.
        gone = time.monotonic() + _RESTART_SECONDS
        while is_ready() and time.monotonic() < gone:
            time.sleep(0.2)
        self.wait(deadline_seconds)

    def wait(self, deadline_seconds: int) -> None:
        """Wait until the API is ready."""
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


def with_authority(access: str, certificate: str) -> str:
    """An access to a cluster, as kubeadm writes it, with this certificate of the CA."""
    encoded = base64.b64encode(certificate.strip().encode() + b"\n").decode()
    return re.sub(r"(?m)^(\s*certificate-authority-data:).*$", rf"\1 {encoded}", access)


def replace(path: Path, content: str, mode: int | None = None) -> None:
    """Replace a file in one step; with the mode of the present one unless it is given."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    wanted = path.stat().st_mode & 0o777 if mode is None else mode
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        os.fchmod(file.fileno(), wanted)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def started_before(moment: float, name: str) -> list[int]:
    """Processes of a program that started before a moment, in seconds since 1970."""
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    found = []
    for folder in PROCESSES.glob("[0-9]*"):
        try:
            program = (folder / "cmdline").read_bytes().partition(b"\0")[0].decode(errors="replace")
            ticks = int((folder / "stat").read_text().rpartition(")")[2].split()[19])
        except (OSError, ValueError, IndexError):
            # It has ended meanwhile.
            continue
        if Path(program).name == name and booted + ticks / os.sysconf("SC_CLK_TCK") < moment:
            found.append(int(folder.name))
    return found


def end(process: int) -> None:
    """End a process and wait for that."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGTERM)
        deadline = time.monotonic() + _GRACE_SECONDS
        while time.monotonic() < deadline:
            os.kill(process, 0)
            time.sleep(0.1)
        os.kill(process, signal.SIGKILL)


def digest_of(*paths: Path) -> str:
    """A digest of files; of nothing for those that aren't there while a prediction runs."""
    digests = [hashlib.sha256(path.read_bytes() if path.exists() else b"").digest() for path in paths]
    return hashlib.sha256(b"".join(digests)).hexdigest()


def other_keys(files: dict[Path, Path]) -> list[str]:
    """Keys of the cluster's CAs that aren't those that the site's root certified."""
    return [
        str(target)
        for target, source in files.items()
        if target.suffix == ".key" and not (target.exists() and target.read_bytes() == source.read_bytes())
    ]


def initialise(module: AnsibleModule, node: Node) -> None:
    """Ends the module: the node is the control plane."""
    configuration, deadline = module.params["configuration"], module.params["deadline_seconds"]
    files = {PKI / target: Path(source) for target, source in module.params["authorities"].items()}
    finished = FINISHED.exists() and ADMIN.exists()
    digest = digest_of(Path(configuration), *files.values())
    if finished and FINISHED.read_text() == digest:
        module.exit_json(changed=False, member=True)
    if module.check_mode:
        module.exit_json(changed=True, member=finished)
    if finished or node.finished_initialisation(deadline):
        if others := other_keys(files):
            module.fail_json(
                msg=f"the cluster has authorities of its own, which the site's root hasn't certified: "
                f"{', '.join(others)}. A cluster can't exchange their keys: make it anew "
                "(scripts/lab down and scripts/lab up; elsewhere kubeadm reset on every node)"
            )
        if node.renew(files):
            node.wait_for_return(deadline)
        node.reconfigure(configuration, deadline)
        node.wait(deadline)
        node.renew_kubelet()
        node.announce(AUTHORITY.read_text())
        FINISHED.write_text(digest)
        module.exit_json(changed=True, member=True)
    node.clean()
    node.install(files)
    seconds = node.initialise(configuration, deadline)
    note(seconds)
    FINISHED.write_text(digest)
    module.exit_json(changed=True, member=True, ready_seconds=seconds)


def is_current(authority: str) -> bool:
    """Whether a worker uses this certificate of its cluster's CA."""
    return AUTHORITY.read_text().strip() == authority.strip()


def join(module: AnsibleModule, node: Node) -> None:
    """Ends the module: the node is a worker."""
    member = node.is_worker_of(module.params["authority"])
    if member and is_current(module.params["authority"]):
        module.exit_json(changed=False, member=True)
    if module.check_mode:
        module.exit_json(changed=True, member=member)
    if member:
        node.follow(module.params["authority"])
        module.exit_json(changed=True, member=True)
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
        member = node.is_worker_of(module.params["authority"])
        module.exit_json(
            changed=False, member=member, current=member and is_current(module.params["authority"])
        )
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (initialise if module.params["state"] == "initialised" else join)(module, node)


if __name__ == "__main__":
    main()
