"""What a machine must have before a lab is built on it. Every check is made; all findings come at once."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from operate.failure import ExitCode, Failure
from operate.lab import ranges
from operate.lab.packages import install_command, missing
from operate.lab.podman import PodmanError, podman
from operate.locations import cache_home, state_home

CORES = 2
MEMORY_GIB = 10.0
DISK_GIB = 25.0
DISK_BESIDE_RUNNING_GIB = 3.0
"""Enough where the tool chain and the nodes exist already."""

_OLDEST_PODMAN = (4, 3)

RAISED = {
    # Each systemd, container runtime and kubelet watches files: 128 stops systemd near the 60th node.
    "fs.inotify.max_user_instances": 8192,
    "fs.inotify.max_user_watches": 1048576,
    # Each container has a keyring of its own.
    "kernel.keys.maxkeys": 2000,
    "kernel.keys.maxbytes": 2000000,
}
"""Limits of the kernel that a lab needs, and to what they are raised where they are lower."""


@dataclass(frozen=True)
class Check:
    """A question about the machine, with its answer."""

    name: str
    ok: bool
    found: str
    fix: str = ""
    """The command that helps, where the answer is no."""


def machine(*, nodes_exist: bool) -> list[Check]:
    """What no package can bring: privileges, size, control groups."""
    return [
        _root(),
        _system(),
        _cores(),
        _memory(nodes_exist=nodes_exist),
        *_disks(nodes_exist=nodes_exist),
        _control_groups(),
    ]


def software() -> list[Check]:
    """What the installed packages and the kernel can do. Needs root and the packages."""
    return [_podman(), _runc(), *_kernel()]


def addresses(preferred: IPv4Network, lab: str) -> Check:
    """Whether a range is free in which the lab's hosts have addresses, and so ports, of their own."""
    try:
        chosen = ranges.choose(preferred, ranges.taken_by_others(lab))
    except Failure as failure:
        return Check("addresses", False, f"{failure.message}; {failure.details}", failure.next_step)
    return Check("addresses", True, f"{chosen} is free, and no port of this machine is used")


def packages() -> list[Check]:
    """Whether the packages are there; `up` installs them itself."""
    names = missing()
    if not names:
        return [Check("packages", True, "all installed")]
    return [Check("packages", False, "not installed: " + ", ".join(names), install_command(names))]


def refuse(checks: list[Check], next_step: str) -> None:
    """Failure that shows every check that isn't fulfilled, each with its remedy."""
    failed = [check for check in checks if not check.ok]
    if not failed:
        return
    details = "\n".join(f"{check.name}: {check.found}" for check in failed)
    steps = [check.fix for check in failed if check.fix]
    raise Failure(
        f"this machine lacks {len(failed)} of {len(checks)} things that a lab needs; nothing was touched",
        details=details,
        next_step="\n".join([*steps, next_step]),
        code=ExitCode.FAILED,
    )


def raise_limits() -> list[str]:
    """Raise limits of the kernel that are too low; never lower one. Returns what was changed."""
    changed = []
    for name, wanted in RAISED.items():
        path = Path("/proc/sys", name.replace(".", "/"))
        try:
            current = int(path.read_text())
        except FileNotFoundError:
            continue
        if current >= wanted:
            continue
        try:
            path.write_text(f"{wanted}\n")
        except OSError as error:
            raise Failure(
                f"the kernel limit {name} is {current} and can't be raised to {wanted}",
                details=str(error),
                next_step=f"sysctl --write {name}={wanted}   # on the machine that this one runs on, perhaps",
            ) from error
        changed.append(f"{name} {current} → {wanted}")
    return changed


def _root() -> Check:
    ok = os.geteuid() == 0
    found = (
        "yes" if ok else f"no, user {os.geteuid()}: nodes need network namespaces, mounts and control groups"
    )
    return Check("root", ok, found, "sudo --login   # then run the same command as root")


def _system() -> Check:
    values = dict(
        line.split("=", 1)
        for line in Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
        if "=" in line
    )
    name = values.get("PRETTY_NAME", "unknown").strip('"')
    version = re.match(r"\d+", values.get("VERSION_ID", "").strip('"'))
    ok = values.get("ID", "").strip('"') == "debian" and version is not None and int(version[0]) >= 12
    return Check("system", ok, name, "# Debian 12 or newer is needed: packages and engine were tried there")


def _cores() -> Check:
    count = len(os.sched_getaffinity(0))
    return Check("cores", count >= CORES, f"{count}, {CORES} needed", "# give this machine more processors")


def _memory(*, nodes_exist: bool) -> Check:
    values = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    available = int(values["MemAvailable"].split()[0]) / 2**20
    if nodes_exist:
        return Check("memory", True, f"{available:.1f} GiB available beside this lab's nodes")
    ok = available >= MEMORY_GIB
    found = f"{available:.1f} GiB available, {MEMORY_GIB:g} GiB needed"
    return Check("memory", ok, found, "ps -eo rss,pid,args --sort=-rss | head   # what uses the memory")


def _disks(*, nodes_exist: bool) -> Iterator[Check]:
    needed = DISK_BESIDE_RUNNING_GIB if nodes_exist else DISK_GIB
    seen = set()
    for path in (Path("/var/lib/containers"), cache_home(), state_home()):
        place = path
        while not place.exists():
            place = place.parent
        device = place.stat().st_dev
        if device in seen:
            continue
        seen.add(device)
        free = shutil.disk_usage(place).free / 2**30
        yield Check(
            "disk",
            free >= needed,
            f"{free:.1f} GiB free for {path}, {needed:g} GiB needed",
            f"df -h {place}   # make room, or name another place in XDG_CACHE_HOME and XDG_STATE_HOME",
        )


def _control_groups() -> Check:
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        return Check("cgroups", True, "version 2")
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    kinds = {fields[1]: fields for fields in mounts if fields[2] in ("cgroup", "cgroup2")}
    named = any("name=systemd" in fields[3].split(",") for fields in kinds.values())
    have = {option for fields in kinds.values() for option in fields[3].split(",")}
    lacking = sorted({"cpu", "cpuset", "devices", "freezer", "memory", "pids"} - have)
    if lacking:
        return Check(
            "cgroups", False, "version 1 without " + ", ".join(lacking), "# start the kernel with cgroup v2"
        )
    fix = (
        "mkdir -p /sys/fs/cgroup/systemd && mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd"
    )
    found = "version 1 with systemd's own" if named else "version 1 without systemd's own, name=systemd"
    return Check("cgroups", named, found, fix)


def _podman() -> Check:
    fix = "apt-get install --yes podman"
    if shutil.which("podman") is None:
        return Check("podman", False, "not installed", fix)
    try:
        version = podman("version", "--format", "{{.Client.Version}}").strip()
    except PodmanError as error:
        return Check("podman", False, error.explanation, "podman info   # shows what is wrong")
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    oldest = ".".join(map(str, _OLDEST_PODMAN))
    return Check("podman", numbers >= _OLDEST_PODMAN, f"{version}, {oldest} or newer needed", fix)


def _runc() -> Check:
    found = shutil.which("runc")
    return Check("runc", found is not None, found or "not installed", "apt-get install --yes runc")


def _kernel() -> Iterator[Check]:
    """Try what nodes do, in a network namespace and a directory that vanish with the trial."""
    link = ("ip", "link", "add", "trial0", "type")
    trials: dict[str, Callable[[], subprocess.CompletedProcess[str]]] = {
        "veth": lambda: _in_namespace(*link, "veth", "peer", "trial1"),
        "bridge": lambda: _in_namespace(*link, "bridge"),
        "vxlan": lambda: _in_namespace(*link, "vxlan", "id", "1", "dstport", "4789"),
        "nftables": lambda: _in_namespace("nft", "--file", "-", given=_RULES),
        "overlayfs": _overlay,
    }
    for name, trial in trials.items():
        try:
            result = trial()
        except FileNotFoundError as error:
            yield Check(name, False, f"{error.filename} isn't installed", install_command(missing()))
            continue
        reason = result.stderr.strip().splitlines()
        yield Check(
            name,
            result.returncode == 0,
            "works" if result.returncode == 0 else (reason[0] if reason else "doesn't work"),
            f"modprobe {_MODULES[name]}   # or a kernel that has it built in",
        )


_RULES = """
table inet trial {
  chain input {
    type filter hook input priority filter; policy drop;
    ct state established,related accept
    fib daddr type local tcp dport 22 accept
    limit rate 5/second log prefix "trial " counter
  }
  chain leave { type nat hook postrouting priority srcnat; masquerade; }
  chain enter { type nat hook prerouting priority dstnat; tcp dport 80 redirect to :8080; }
}
"""
"""Of each kind of rule that roles and Kubernetes use, one."""

_MODULES = {
    "veth": "veth",
    "bridge": "bridge",
    "vxlan": "vxlan",
    "nftables": "--all nf_tables nft_ct nft_masq nft_redir nft_fib_inet nft_limit nft_log nf_conntrack",
    "overlayfs": "overlay",
}


def _in_namespace(*command: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["unshare", "--net", *command], input=given, capture_output=True, text=True, check=False
    )


def _overlay() -> subprocess.CompletedProcess[str]:
    place = Path("/var/lib/containers")
    with tempfile.TemporaryDirectory(dir=place if place.is_dir() else None) as folder:
        for name in ("lower", "upper", "work", "merged"):
            Path(folder, name).mkdir()
        options = f"lowerdir={folder}/lower,upperdir={folder}/upper,workdir={folder}/work"
        # The mount lives in a namespace of its own and goes with it.
        return subprocess.run(
            ["unshare", "--mount", "mount", "-t", "overlay", "trial", "-o", options, f"{folder}/merged"],
            capture_output=True,
            text=True,
            check=False,
        )
