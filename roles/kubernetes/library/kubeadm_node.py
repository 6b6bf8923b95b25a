"""Ansible module: makes a node a control plane or a worker of a cluster, however it was left."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import re
import shutil
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.cluster_store import ERRORS, Member, Store
from ansible.module_utils.control_plane_programs import API_PROGRAM, OTHER_PROGRAMS, end, started_before
from ansible.module_utils.patience import waited

DOCUMENTATION = """
module: kubeadm_node
short_description: Membership of a node in a Kubernetes cluster
description:
  - Runs C(kubeadm init) or C(kubeadm join) on a node that isn't a member yet.
  - What an interrupted run left is removed first. If the node became a member, the run counts as finished.
  - A second caller waits for the first, also when the first one's controller is gone.
  - A cluster takes over the next certificate of an authority's same key. Another key is refused.
  - Of several control planes one makes the cluster and the others join it, one at a time. Whatever stops one of
    them for a moment is done only while etcd has all of its members.
author: SMARTGOUV infrastructure
options:
  state:
    description:
      - C(examined) only reports. C(holds) says that the node may have a cluster's data, C(ready) that its API
        serves, C(keys) that it keeps keys of O(authorities), C(encryption_keys) the names of the keys in
        O(encryption), the one in use first.
      - C(initialised) is the control plane that makes the cluster, C(joined) a worker, or with O(authorities) a
        further control plane. Both take over what changed since.
      - C(settled) finishes a control plane's join that was interrupted, or undoes it.
      - C(forgotten) on a control plane that serves waits for the API and for etcd, and removes what they
        remember of a former machine called O(name). One that is still well is refused.
      - C(invited) on a control plane that serves makes what O(name) needs to join, as C(invitation), a secret.
    type: str
    required: true
    choices: [examined, initialised, joined, settled, forgotten, invited]
  configuration:
    description: >-
      File with the configuration of C(kubeadm init): that of the control plane itself; with C(invited), of the
      one that serves.
    type: path
  invitation:
    description: File with the configuration of C(kubeadm join). Not needed by a node that is a member.
    type: path
  authority:
    description: Certificate of the cluster's CA, PEM. A worker with another one's belongs to another cluster.
    type: str
    default: ""
  authorities:
    description: Keys and certificates of a control plane's CAs, by the file's path in kubeadm's folder.
    type: dict
    default: {}
  encryption:
    description: The API server's configuration of encryption, as this role writes it.
    type: path
  reads:
    description: >-
      Files that a control plane's API server reads when it starts, beside its certificates. One that changed is
      a reason to start another API server.
    type: list
    elements: path
    default: []
  name:
    description: Name in the cluster of the node that joins.
    type: str
    default: ""
  address:
    description: Address of the node that joins.
    type: str
    default: ""
  control_plane:
    description: Whether the invited node is to be a control plane.
    type: bool
    default: false
  lifetime_minutes:
    description: How long a token lives. The keys for a control plane are offered for kubeadm's two hours.
    type: int
    default: 15
  deadline_seconds:
    description: How long the API may take to answer.
    type: int
    default: 180
"""

FOLDER = Path("/etc/kubernetes")
FINISHED = FOLDER / "initialised"
"""Says that the node became a control plane and somebody saw it; holds the digest of its configuration."""
FACTS = Path("/etc/ansible/facts.d/kubernetes_bootstrap.fact")
LOCK = Path("/run/lock/kubeadm_node")
ADMIN = FOLDER / "admin.conf"
KUBELET_ACCESS = FOLDER / "kubelet.conf"
AUTHORITY = FOLDER / "pki/ca.crt"
READY_URL = "https://127.0.0.1:6443/readyz"
LOCAL_API = ("--server", "https://127.0.0.1:6443", "--tls-server-name", "kubernetes")
"""The API of this node, wherever an access leads to. By a name that is in every API server's certificate."""
ETCD_DATA = Path("/var/lib/etcd/member")
RUNBOOK = "docs/control-planes.md"

PKI = FOLDER / "pki"
ACCESSES = ("admin", "super-admin", "controller-manager", "scheduler", "kubelet")
"""Files with an access to the cluster, each with the CA's certificate in it."""

API_SERVER = FOLDER / "manifests/kube-apiserver.yaml"
_RESTART_SECONDS = 30

LAST_STEP = ("daemonset/kube-proxy", "deployment/coredns")
"""What `kubeadm init` makes last: with these in place nothing of it is missing."""

ARGUMENTS: dict[str, Any] = {
    "state": {
        "type": "str",
        "required": True,
        "choices": ["examined", "initialised", "joined", "settled", "forgotten", "invited"],
    },
    "configuration": {"type": "path"},
    "invitation": {"type": "path"},
    "authority": {"type": "str", "default": ""},
    "authorities": {"type": "dict", "default": {}},
    "encryption": {"type": "path"},
    "reads": {"type": "list", "elements": "path", "default": []},
    "name": {"type": "str", "default": ""},
    "address": {"type": "str", "default": ""},
    "control_plane": {"type": "bool", "default": False},
    "lifetime_minutes": {"type": "int", "default": 15},
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
        self.store = Store(PKI)

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

    def renew(self, files: dict[Path, Path], reads: list[Path]) -> bool:
        """Have the control plane use the CAs' present certificates, and its API server the files that it reads.

        Whether any of its programs ended for it. Continues what an interrupted run began.
        """
        if (present := files.get(AUTHORITY)) is not None:
            for path in (FOLDER / f"{name}.conf" for name in ACCESSES):
                access = path.read_text() if path.exists() else ""
                if (wanted := with_authority(access, present.read_text())) != access:
                    replace(path, wanted)
        self.install(files)
        written = max((target.stat().st_mtime for target in files if target.suffix == ".crt"), default=0.0)
        read = max((path.stat().st_mtime for path in reads), default=0.0)
        old = started_before(max(written, read), API_PROGRAM)
        old += [process for program in OTHER_PROGRAMS for process in started_before(written, program)]
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
        kubectl = (*self._kubectl("30s"), *LOCAL_API, "--namespace", "kube-public")
        found = json.loads(self._answer(*kubectl, "get", "configmap", "cluster-info", "--output", "json"))
        shown = found["data"]["kubeconfig"]
        if (wanted := with_authority(shown, authority)) != shown:
            found["data"]["kubeconfig"] = wanted
            self._answer(*kubectl, "replace", "--filename", "-", said=json.dumps(found))

    def finished_initialisation(self, deadline_seconds: int) -> bool:
        """Whether an earlier `kubeadm init` came to its end though nobody noted it."""
        if not (ADMIN.exists() and ETCD_DATA.exists() and KUBELET_ACCESS.exists()):
            return False
        self._run("systemctl", "start", "kubelet", check=False)
        watch = ReadyWatch(min(deadline_seconds, 60))
        watch.run()
        kubectl = (*self._kubectl("10s"), *LOCAL_API, "--namespace", "kube-system")
        return watch.seconds is not None and self._run(*kubectl, "get", *LAST_STEP, check=False)

    def clean(self) -> bool:
        """Remove what an interrupted run left; whether there was anything."""
        files = (*FOLDER.glob("*.conf"), *FOLDER.glob("manifests/*.yaml"))
        left = bool(files) or AUTHORITY.exists() or ETCD_DATA.exists()
        if left:
            self._run("kubeadm", "reset", "--force")
            # With some of it left, kubeadm would refuse to join.
            shutil.rmtree(ETCD_DATA, ignore_errors=True)
        return left

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
        """Bring a changed configuration to the control plane's programs, and wait until its API is back."""
        before = API_SERVER.read_text()
        self._run("kubeadm", "init", "phase", "control-plane", "all", "--config", configuration)
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
            self._module.fail_json(msg=f"the API of this node isn't ready within {deadline_seconds} s")

    def join(self, configuration: str) -> None:
        """Become what the configuration says: a worker or a control plane."""
        self._run("kubeadm", "join", "--config", configuration)

    def _kubectl(self, timeout: str) -> tuple[str, ...]:
        return ("kubectl", "--kubeconfig", str(ADMIN), f"--request-timeout={timeout}")

    def finished_join(self, name: str) -> bool:
        """Whether a control plane's `kubeadm join` came to its end though nobody noted it.

        Ends the module if the cluster can't be asked: what isn't known isn't undone.
        """
        if not (ADMIN.exists() and KUBELET_ACCESS.exists() and ETCD_DATA.exists()):
            return False
        self._run("systemctl", "start", "kubelet", check=False)
        asked = ("get", "nodes", "--selector", "node-role.kubernetes.io/control-plane", "--output", "name")
        code, output, _ = self._module.run_command([*self._kubectl("30s"), *asked], check_rc=False)
        if code != 0:
            self._module.fail_json(
                msg=f"{name} has a part of the cluster, which can't be asked whether the join was finished. "
                f"Next: start the control planes that are down, then repeat this stage ({RUNBOOK})"
            )
        # It is marked last.
        return f"node/{name}" in output.split()

    def wait_for_store(self, deadline_seconds: int) -> None:
        """Wait until every member of etcd serves."""
        trouble = waited(self.store.trouble, deadline_seconds)
        if trouble:
            self._module.fail_json(
                msg=f"{trouble}. It isn't gone on, since etcd could lose its majority. "
                f"Next: start what is down; for a machine that is gone, see {RUNBOOK}"
            )

    def may_stop(self, deadline_seconds: int) -> None:
        """Wait until every member of etcd serves, so that one may stop for a moment.

        Without an answer there is nothing to lose: this one is down, or there is no majority.
        """
        try:
            self.store.members()
        except ERRORS:
            return
        self.wait_for_store(deadline_seconds)

    def wait_for_endpoint(self, deadline_seconds: int) -> None:
        """Wait until the API is ready here and where clients reach it."""

        def trouble() -> str:
            if not is_ready():
                return "the API of this control plane isn't ready"
            if not self._run(*self._kubectl("5s"), "get", "--raw", "/readyz", check=False):
                return "the API is ready here, but not where clients reach it"
            return ""

        if found := waited(trouble, deadline_seconds):
            self._module.fail_json(
                msg=f"{found} after {deadline_seconds} s. "
                f"Next: journalctl --unit kubelet --unit keepalived on this host ({RUNBOOK})"
            )

    def forget(self, name: str, address: str) -> list[str]:
        """Remove etcd's member and the Node of a machine that is gone; what was removed."""
        forgotten = []
        for member in self._members_of(name, address):
            if self.store.is_well(member):
                self._module.fail_json(
                    msg=f"{name} has nothing of the cluster, but etcd's member {member} is well: another "
                    f"machine has its name or address. Next: stop that one, then repeat this stage ({RUNBOOK})"
                )
            self.store.remove(member)
            forgotten.append(f"member {member}")
        asked = ("get", "node", name, "--ignore-not-found", "--output", "name")
        if self._answer(*self._kubectl("30s"), *asked).strip():
            self._run(*self._kubectl("60s"), "delete", "node", name, "--ignore-not-found")
            forgotten.append(f"node {name}")
        return forgotten

    def _members_of(self, name: str, address: str) -> list[Member]:
        try:
            members = self.store.members()
        except ERRORS as error:
            self._module.fail_json(
                msg=f"etcd doesn't answer, or has no majority: {error}. "
                f"Next: start the control planes that are down; if their machines are gone, see {RUNBOOK}"
            )
        return [item for item in members if item.name == name or f"https://{address}:2380" in item.peers]

    def invitation(self, name: str, configuration: str, lifetime_minutes: int, keys: bool) -> dict[str, str]:
        """A token, the digest of the CA's key and, for a control plane, the key that opens the CAs' keys."""
        printed = self._answer(
            "kubeadm", "token", "create", "--kubeconfig", str(ADMIN), "--print-join-command",
            "--description", name, "--ttl", f"{lifetime_minutes}m",
        )  # fmt: skip
        found = {
            "token": found_in(r"--token (\S+)", printed),
            "authority_hash": found_in(r"--discovery-token-ca-cert-hash (\S+)", printed),
            "certificate_key": "",
        }
        if keys:
            uploaded = self._answer(
                "kubeadm", "init", "phase", "upload-certs", "--upload-certs", "--config", configuration
            )
            found["certificate_key"] = found_in(r"(?m)^([0-9a-f]{64})$", uploaded)
        return found

    def keep(self, files: dict[Path, Path]) -> None:
        """Keep the CAs' keys, which came with the join, where a reset leaves them alone."""
        for target, source in files.items():
            if target.suffix != ".key":
                continue
            own, certified = target.with_suffix(".crt").read_text(), source.with_suffix(".crt").read_text()
            if self._key_of(own) != self._key_of(certified):
                self._module.fail_json(
                    msg=f"{source.with_suffix('.crt')} isn't for the key of the cluster, {target}"
                )
            content = target.read_text()
            if not source.exists() or source.read_text() != content:
                replace(source, content, mode=0o600)

    def publish(self, configuration: str) -> None:
        """Show the cluster's configuration to control planes that join."""
        self._run("kubeadm", "init", "phase", "upload-config", "kubeadm", "--config", configuration)


def found_in(pattern: str, text: str) -> str:
    """What the pattern's group matches. ValueError, without the text, if it doesn't."""
    if (match := re.search(pattern, text)) is None:
        raise ValueError(f"kubeadm printed nothing like {pattern}")
    return match[1]


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


def authority_files(module: AnsibleModule) -> dict[Path, Path]:
    """Where kubeadm expects each file of the CAs, and where it is kept."""
    return {PKI / target: Path(source) for target, source in module.params["authorities"].items()}


def digest_of_wanted(module: AnsibleModule) -> str:
    """A digest of all that a control plane runs with."""
    given = module.params
    return digest_of(
        Path(given["configuration"]), *authority_files(module).values(), *map(Path, given["reads"])
    )


def encryption_keys(configuration: str | None) -> list[str]:
    """What an API server may read secrets with, the one in use first: names of keys, or `identity` for none."""
    if configuration is None or not Path(configuration).exists():
        return []
    found = re.findall(r"(?m)^\s+- (?:name: (\S+)$|(identity): )", Path(configuration).read_text())
    return [name or identity for name, identity in found]


def is_control_plane() -> bool:
    """Whether the node became a control plane, and somebody saw it."""
    return FINISHED.exists() and ADMIN.exists()


def endpoint_problem(configuration: str) -> str:
    """Why the cluster can't follow this configuration; empty if it can, and where nothing is known."""
    wanted = re.search(r"(?m)^controlPlaneEndpoint: (\S+)$", configuration)
    present = re.search(r"(?m)^\s+server: https://(\S+)$", ADMIN.read_text())
    if wanted is None or present is None or wanted[1] == present[1]:
        return ""
    return (
        f"the cluster's API is reached at {present[1]}, and the site's data say {wanted[1]}. The address "
        "stands in certificates and in every node's access, so the cluster must be made anew "
        "(scripts/lab down and scripts/lab up; elsewhere kubeadm reset on every node)"
    )


def initialise(module: AnsibleModule, node: Node) -> None:
    """Ends the module: the node is the control plane that made the cluster."""
    configuration, deadline = module.params["configuration"], module.params["deadline_seconds"]
    files = authority_files(module)
    digest = digest_of_wanted(module)
    if is_control_plane() and FINISHED.read_text() == digest:
        module.exit_json(changed=False, member=True)
    if module.check_mode:
        module.exit_json(changed=True, member=is_control_plane())
    if is_control_plane() or node.finished_initialisation(deadline):
        follow(module, node)
    node.clean()
    node.install(files)
    seconds = node.initialise(configuration, deadline)
    note(seconds)
    FINISHED.write_text(digest)
    module.exit_json(changed=True, member=True, ready_seconds=seconds)


def follow(module: AnsibleModule, node: Node) -> None:
    """Ends the module: the control plane has the present configuration and certificates."""
    configuration, deadline = module.params["configuration"], module.params["deadline_seconds"]
    files = authority_files(module)
    if others := other_keys(files):
        module.fail_json(
            msg=f"the cluster has authorities of its own, which the site's root hasn't certified: "
            f"{', '.join(others)}. A cluster can't exchange their keys: make it anew "
            "(scripts/lab down and scripts/lab up; elsewhere kubeadm reset on every node)"
        )
    if problem := endpoint_problem(Path(configuration).read_text()):
        module.fail_json(msg=problem)
    node.may_stop(deadline)
    if node.renew(files, [Path(path) for path in module.params["reads"]]):
        node.wait_for_return(deadline)
    node.reconfigure(configuration, deadline)
    node.wait(deadline)
    node.wait_for_store(deadline)
    node.renew_kubelet()
    node.announce(AUTHORITY.read_text())
    node.publish(configuration)
    FINISHED.write_text(digest_of_wanted(module))
    module.exit_json(changed=True, member=True)


def is_current(authority: str) -> bool:
    """Whether a worker uses this certificate of its cluster's CA."""
    return AUTHORITY.read_text().strip() == authority.strip()


def join(module: AnsibleModule, node: Node) -> None:
    """Ends the module: the node is a worker, or a further control plane if it was given its authorities."""
    if module.params["authorities"]:
        join_control_plane(module, node)
    member = node.is_worker_of(module.params["authority"])
    if member and is_current(module.params["authority"]):
        module.exit_json(changed=False, member=True)
    if module.check_mode:
        module.exit_json(changed=True, member=member)
    if member:
        node.follow(module.params["authority"])
        module.exit_json(changed=True, member=True)
    node.clean()
    node.join(module.params["invitation"])
    module.exit_json(changed=True, member=True)


def join_control_plane(module: AnsibleModule, node: Node) -> None:
    """Ends the module: the node is a control plane beside others."""
    if is_control_plane() and FINISHED.read_text() == digest_of_wanted(module):
        module.exit_json(changed=False, member=True)
    if module.check_mode:
        module.exit_json(changed=True, member=is_control_plane())
    if not is_control_plane():
        node.clean()
        # Not the keys: those come with the join.
        node.install({path: kept for path, kept in authority_files(module).items() if path.suffix == ".crt"})
        node.join(module.params["invitation"])
        complete(module, node)
    follow(module, node)


def complete(module: AnsibleModule, node: Node) -> None:
    """Wait until a control plane that joined serves, and keep the keys that it was given."""
    deadline = module.params["deadline_seconds"]
    node.wait(deadline)
    node.wait_for_store(deadline)
    node.keep(authority_files(module))


def settle(module: AnsibleModule, node: Node) -> None:
    """Ends the module: the node is a control plane, or nothing of an interrupted join is left."""
    if is_control_plane() or module.check_mode:
        module.exit_json(changed=False, control_plane=is_control_plane())
    if node.finished_join(module.params["name"]):
        complete(module, node)
        # With no digest of a configuration yet, so that it follows the present one.
        FINISHED.write_text("joined")
        module.exit_json(changed=True, control_plane=True)
    module.exit_json(changed=node.clean(), control_plane=False)


def forget(module: AnsibleModule, node: Node) -> None:
    """Ends the module: the cluster can take a node of this name."""
    name, deadline = module.params["name"], module.params["deadline_seconds"]
    if module.check_mode:
        module.exit_json(changed=False, forgotten=[])
    node.wait_for_endpoint(deadline)
    forgotten = node.forget(name, module.params["address"])
    if module.params["control_plane"]:
        node.wait_for_store(deadline)
    module.exit_json(changed=bool(forgotten), forgotten=forgotten)


def invite(module: AnsibleModule, node: Node) -> None:
    """Ends the module: with what a node needs to join."""
    given = module.params
    if module.check_mode:
        module.exit_json(changed=True)
    made = node.invitation(
        given["name"], given["configuration"], given["lifetime_minutes"], given["control_plane"]
    )
    module.exit_json(changed=True, invitation=made)


def examine(module: AnsibleModule, node: Node) -> None:
    """Ends the module: with what the node is."""
    authority = module.params["authority"]
    member = node.is_worker_of(authority)
    keys = [source for target, source in authority_files(module).items() if target.suffix == ".key"]
    module.exit_json(
        changed=False,
        member=member,
        current=member and is_current(authority),
        control_plane=is_control_plane(),
        holds=is_control_plane() or ETCD_DATA.exists(),
        ready=is_control_plane() and is_ready(),
        keys=any(source.exists() for source in keys),
        encryption_keys=encryption_keys(module.params["encryption"]),
    )


STATES: dict[str, Callable[[AnsibleModule, Node], None]] = {
    "initialised": initialise,
    "joined": join,
    "settled": settle,
    "forgotten": forget,
    "invited": invite,
}
"""What ends the module, by the state that is wanted."""


def main() -> None:
    """Entry point of Ansible."""
    module = AnsibleModule(
        ARGUMENTS,
        supports_check_mode=True,
        required_if=[
            ("state", "initialised", ["configuration"]),
            ("state", "invited", ["configuration", "name"]),
        ],
    )
    node = Node(module)
    if module.params["state"] == "examined":
        examine(module, node)
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        STATES[module.params["state"]](module, node)


if __name__ == "__main__":
    main()
