"""Faults of a raised lab: each is told with its reason and the next step, and the next step mends it."""

from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from tests.integration.raised_lab import ROOT, Lab

pytestmark = pytest.mark.lab

EXPIRE = """
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout /root/other.key \\
    -subj /CN=expired -not_before 20200101000000Z -not_after 20200201000000Z \\
    -out /etc/smartgouv/ca/infrastructure-tls/ca.crt
rm /root/other.key
"""
"""Puts a certificate of long ago in the place of an issuing authority's."""


def test_stopping_ends_cleanly(lab: Lab) -> None:
    """Ctrl-C ends with 130 and says how to go on."""
    status, printed = lab.end_in_the_middle("hardware", signal.SIGINT)

    assert status == 130, printed[-3000:]
    assert f"stopped. `scripts/lab up --name {lab.name}` goes on from here" in printed
    assert "Traceback" not in printed


def test_a_host_that_is_down(lab: Lab) -> None:
    """`up` starts it again."""
    lab.stop("ss-health")
    refused = lab.apply("exchange", "ss-health")

    assert refused.returncode == 1
    assert "ss-health can't be reached: the host is down" in refused.stdout
    assert f"scripts/lab up --name {lab.name}   # starts hosts that are down" in refused.stdout
    # It asks each host over SSH.
    lab.mended("hardware")


def test_a_host_that_refuses_the_key(lab: Lab) -> None:
    """`up` puts the lab's key back."""
    # Open connections would go on serving.
    lab.on("ss-health", "rm /home/deploy/.ssh/authorized_keys; pkill -KILL -u deploy || true; sleep 1")
    refused = lab.apply("exchange", "ss-health")

    assert refused.returncode == 1
    assert "ss-health can't be reached: the host refuses the SSH key" in refused.stdout
    assert "puts the lab's key back" in refused.stdout
    lab.mended("hardware")
    assert lab.apply("exchange", "ss-health").returncode == 0


def test_a_missing_secret(lab: Lab, tmp_path: Path) -> None:
    """It is named, and nothing is touched: an apply never makes up a secret that was in use."""
    secret = lab.state / "secrets" / "registry-push"
    shutil.move(secret, tmp_path / "kept")
    try:
        refused = lab.apply("data")
    finally:
        shutil.move(tmp_path / "kept", secret)

    assert refused.returncode == 2
    assert "registry-push" in refused.stdout
    assert f"scripts/smartgouv secrets generate lab --lab {lab.name}" in refused.stdout


def test_a_registry_that_does_not_answer(lab: Lab) -> None:
    """A node that lacks an image says from where it wanted it and what to look at."""
    lab.on("registry1", "systemctl stop docker-registry.service")
    lab.on("worker1", "ctr -n k8s.io images ls -q | grep kube-proxy | xargs -r ctr -n k8s.io images rm --sync")
    refused = lab.apply("cluster", "worker1")

    assert refused.returncode == 1
    assert "worker1" in refused.stdout
    assert "Next: see that the registry answers and holds the image (stage data)" in refused.stdout
    assert lab.apply("data", "registry1").returncode == 0
    assert lab.apply("cluster", "worker1").returncode == 0


def test_an_expired_authority(lab: Lab) -> None:
    """What the root issued is put back in its place, and the service runs with it."""
    lab.on("ca1", EXPIRE)
    assert lab.apply("trust", "ca1").returncode == 0
    chain = "/etc/smartgouv/root/root.crt /etc/smartgouv/ca/infrastructure-tls/ca.crt"
    assert "OK" in lab.on("ca1", f"openssl verify -CAfile {chain}")
    assert lab.on("ca1", "systemctl is-active certificate-authority@infrastructure-tls").strip() == "active"


def test_a_full_disk_on_the_lab_machine(lab: Lab, tmp_path: Path) -> None:
    """It is told with its place; the ledger keeps every whole entry."""
    # The mount lives in a namespace of its own and goes with it.
    script = f"""
        mount -t tmpfs -o size=64m full {tmp_path}
        mkdir -p {tmp_path}/smartgouv/labs
        cp -a {lab.state} {tmp_path}/smartgouv/labs/
        export XDG_STATE_HOME={tmp_path}
        dd if=/dev/zero of={tmp_path}/filler bs=4k 2>/dev/null || true
        {" ".join(lab.command("smartgouv", "apply", "lab", "--stage", "base"))} && exit 1
        rm {tmp_path}/filler
        {" ".join(lab.command("smartgouv", "ledger", "verify", "lab"))}
    """
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-euc", script],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "is full" in done.stdout
    assert "make room" in done.stdout
    assert "every link holds" in done.stdout
