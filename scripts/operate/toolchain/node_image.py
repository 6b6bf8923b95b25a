"""The golden image of the lab's nodes: Debian with systemd and what every host has."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from operate.toolchain import apt_source
from operate.toolchain.commands import run
from operate.toolchain.progress import Progress
from operate.toolchain.signing_key import public_key
from operate.toolchain.store import SOURCES, building, digest, locked, place, require_room, tree_digest

NAME = "localhost/smartgouv-node"
CURRENT = f"{NAME}:current"
"""Always the newest build. Trials and role tests use it; the lab uses the exact tag."""

_FOLDER = SOURCES / "node"
_EPOCH = "1735689600"
"""The time stamp of every file in the image: the same packages give the same bytes."""


@dataclass(frozen=True)
class NodeImage:
    """An image in podman's storage, and what the mirror must know about it."""

    reference: str
    status: Path
    """The dpkg status file of the image: which packages the mirror needn't hold."""


def key() -> str:
    """The name of the image that the present sources describe."""
    archives = "\n".join(source.line() for source in apt_source.sources())
    return digest(tree_digest(_FOLDER), archives, public_key().read_bytes(), _CUSTOMIZE, *_CHANGES)


def ensure(progress: Progress) -> NodeImage:
    """The image, built if it isn't there."""
    name = key()
    folder = place("node-image", name)
    image = NodeImage(f"{NAME}:{name}", folder / "status")
    with locked("node-image"):
        if not (folder.is_dir() and _exists(image.reference)):
            shutil.rmtree(folder, ignore_errors=True)
            require_room(2, "building the node image")
            with progress.step("node image", f"Debian {apt_source.RELEASE}") as step, building(folder) as new:
                _build(new, image.reference)
                step.note(_size(image.reference))
        run(["podman", "tag", image.reference, CURRENT], purpose="naming the node image")
    return image


def packages() -> list[str]:
    """The packages that the image is made from, without what those depend on."""
    lines = (_FOLDER / "packages.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


_CUSTOMIZE = r"""
set -eu
root=$1
# An account that only a key opens: "*" is no password, where "!" would lock the account as a whole.
chroot "$root" useradd --uid 1000 --create-home --shell /bin/bash --password '*' deploy
printf 'deploy ALL=(ALL:ALL) NOPASSWD: ALL\n' >"$root/etc/sudoers.d/deploy"
chmod 0440 "$root/etc/sudoers.d/deploy"
chroot "$root" systemctl enable node-setup.service
# The role that configures a service enables it. These must not start by themselves, or not in a container.
chroot "$root" systemctl disable chrony.service prometheus-node-exporter.service nftables.service \
    unattended-upgrades.service apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer fstrim.timer \
    e2scrub_reap.service
# A privileged container sees the machine's devices: nothing here may manage them.
chroot "$root" systemctl mask systemd-udevd.service systemd-udevd-kernel.socket \
    systemd-udevd-control.socket systemd-udev-trigger.service systemd-modules-load.service \
    console-getty.service getty.target tmp.mount proc-sys-fs-binfmt_misc.automount \
    systemd-firstboot.service systemd-networkd-wait-online.service
chroot "$root" systemctl set-default multi-user.target
rm -f "$root"/etc/ssh/ssh_host_* "$root/etc/apt/sources.list" "$root/etc/apt/apt.conf.d/99mmdebstrap" \
    "$root"/etc/ssl/private/ssl-cert-snakeoil.key "$root"/etc/ssl/certs/ssl-cert-snakeoil.pem
: >"$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id" "$root/var/lib/systemd/random-seed"
printf '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n' >"$root/etc/hosts"
: >"$root/etc/resolv.conf"
printf 'localhost\n' >"$root/etc/hostname"
"""
_CHANGES = ('CMD ["/sbin/init"]', "STOPSIGNAL SIGRTMIN+3")


def _build(folder: Path, reference: str) -> None:
    scratch = folder / "scratch"
    scratch.mkdir()
    tar = scratch / "root.tar"
    keyrings = scratch / "keyrings"
    keyrings.mkdir()
    shutil.copy(public_key(), keyrings / "site.gpg")
    (keyrings / "site.gpg").chmod(0o644)
    options = scratch / "apt.conf"
    options.write_text(apt_source.settings(), encoding="utf-8")
    run(
        [
            "mmdebstrap",
            "--variant=essential",
            "--format=tar",
            "--mode=root",
            f"--aptopt={options}",
            f"--include=apt,{','.join(packages())}",
            f"--setup-hook=copy-in {_FOLDER}/files/etc/dpkg /etc/",
            f"--customize-hook=copy-in {_FOLDER}/files/etc {_FOLDER}/files/usr /",
            f"--customize-hook=copy-in {keyrings} /etc/apt/",
            f"--customize-hook={_CUSTOMIZE}",
            apt_source.RELEASE,
            str(tar),
            *(source.line() for source in apt_source.sources()),
        ],
        purpose="building the node image",
        next_step="apt-get update   # does this machine's own apt reach its archives?",
        environment={"SOURCE_DATE_EPOCH": _EPOCH, "TMPDIR": str(scratch)},
    )
    run(
        [
            "podman",
            "import",
            *(f"--change={change}" for change in _CHANGES),
            str(tar),
            reference,
        ],
        purpose="importing the node image",
        environment={"TMPDIR": str(scratch)},
    )
    member = "./var/lib/dpkg/status"
    run(["tar", "-xf", str(tar), "-C", str(scratch), member], purpose="reading the node image")
    shutil.move(scratch / member, folder / "status")
    shutil.rmtree(scratch)


def _exists(reference: str) -> bool:
    names = run(["podman", "images", "--format", "{{.Repository}}:{{.Tag}}"], purpose="listing images")
    return reference in names.splitlines()


def _size(reference: str) -> str:
    facts = json.loads(run(["podman", "image", "inspect", reference], purpose="reading the node image"))
    return f"{facts[0]['Size'] / 2**20:.0f} MiB"
