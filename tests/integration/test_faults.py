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
import datetime as dt, sys
from pathlib import Path
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
root, issuer = Path("/etc/smartgouv/root"), Path("/etc/smartgouv/ca/infrastructure-tls")
key = serialization.load_pem_private_key((root / "root.key").read_bytes(), sys.stdin.read().strip().encode())
old = x509.load_pem_x509_certificate((issuer / "ca.crt").read_bytes())
end = dt.datetime.now(dt.timezone.utc) - dt.timedelta(hours=1)
made = x509.CertificateBuilder().issuer_name(old.issuer).subject_name(old.subject).public_key(old.public_key())
made = made.serial_number(old.serial_number).not_valid_before(end - dt.timedelta(days=1)).not_valid_after(end)
for extension in old.extensions:
    made = made.add_extension(extension.value, extension.critical)
(issuer / "ca.crt").write_bytes(made.sign(key, hashes.SHA384()).public_bytes(serialization.Encoding.PEM))
"""
"""Puts an issuing authority's certificate of yesterday in the place of the present one."""


def test_stopping_ends_cleanly(lab: Lab) -> None:
    """Ctrl-C ends with 130 and says how to go on."""
    status, printed = lab.end_in_the_middle("hardware", signal.SIGINT)

    assert status == 130, printed[-3000:]
    assert f"stopped. `scripts/lab up --name {lab.name}` goes on from here" in printed
    assert "Traceback" not in printed


def test_a_host_that_is_down(lab: Lab) -> None:
    """`up` starts it again."""
    lab.stop("ss-health")
    refused = lab.apply("exchange")

    assert refused.returncode == 1
    assert "ss-health can't be reached: the host is down" in refused.stdout
    assert f"scripts/lab up --name {lab.name}   # starts hosts that are down" in refused.stdout
    lab.mended("hardware")
    assert lab.apply("exchange").returncode == 0


def test_a_host_that_refuses_the_key(lab: Lab) -> None:
    """`up` puts the lab's key back."""
    # Open connections would go on serving.
    lab.on("ss-health", "rm /home/deploy/.ssh/authorized_keys; pkill -KILL -u deploy || true; sleep 1")
    refused = lab.apply("exchange")

    assert refused.returncode == 1
    assert "ss-health can't be reached: the host refuses the SSH key" in refused.stdout
    assert "puts the lab's key back" in refused.stdout
    lab.mended("hardware")
    assert lab.apply("exchange").returncode == 0


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
    refused = lab.apply("cluster")

    assert refused.returncode == 1
    assert "worker1" in refused.stdout
    assert "Next: see that the registry answers and holds the image (stage data)" in refused.stdout
    assert lab.apply("data").returncode == 0
    assert lab.apply("cluster").returncode == 0


def test_an_expired_authority(lab: Lab) -> None:
    """It is refused with what to do, and what it says to do brings a new certificate for the same key."""
    passphrase = (lab.state / "secrets" / "root-key").read_text()
    lab.on("ca1", f"cat > /root/expire.py <<'END'\n{EXPIRE}END")
    lab.on("ca1", "python3 /root/expire.py", given=passphrase)
    refused = lab.apply("trust")

    assert refused.returncode == 1
    assert "/etc/smartgouv/ca/infrastructure-tls/ca.crt has expired" in refused.stdout
    assert "Next: move the file away and apply again" in refused.stdout
    lab.on("ca1", "rm /root/expire.py; mv /etc/smartgouv/ca/infrastructure-tls/ca.crt /root/expired.crt")
    assert lab.apply("trust").returncode == 0
    assert "OK" in lab.on(
        "ca1", "openssl verify -CAfile /etc/smartgouv/root/root.crt /etc/smartgouv/ca/infrastructure-tls/ca.crt"
    )


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
