"""The root's ceremony in its container: without a network, interrupted, verified by openssl from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from estate.load import load
from operate.locations import ROOT
from operate.toolchain import images
from operate.toolchain.progress import Silent
from trust_services.ceremony import requests
from trust_services.ceremony.requests import Content

pytestmark = pytest.mark.node

SITE = "staging"


@pytest.fixture
def state(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a machine that has held no ceremony yet. The tool chain's cache is the real one."""
    yield {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}
    subprocess.run(
        ["podman", "rm", "--force", "--ignore", "--time=0", f"smartgouv-ceremony-{SITE}"],
        capture_output=True,
        check=False,
    )


def command(tmp_path: Path, *words: str) -> list[str]:
    media = str(tmp_path / "media")
    return ["scripts/smartgouv", "ceremony", "root", SITE, f"--shares={media}", "--yes", *words]


def hold(tmp_path: Path, state: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(tmp_path, *words),
        cwd=ROOT, env=state, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def home(tmp_path: Path) -> Path:
    return tmp_path / "state" / "smartgouv" / "sites" / SITE / "ceremony"


def running() -> bool:
    """Whether the ceremony's container is there."""
    name = f"smartgouv-ceremony-{SITE}"
    return subprocess.run(["podman", "container", "exists", name], check=False).returncode == 0


def test_a_root_and_an_authority(tmp_path: Path, state: dict[str, str]) -> None:
    """Interrupted by kill -9, held, granted, replayed; each step's result is what openssl makes of it."""
    with subprocess.Popen(
        command(tmp_path), cwd=ROOT, env=state, text=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    ) as first:
        assert first.stdout is not None
        for line in first.stdout:
            if "secret shared" in line:
                break
        first.send_signal(signal.SIGKILL)
    # The container ends with the run that started it, and what it had begun is gone with it.
    deadline = time.monotonic() + 60
    while running() and time.monotonic() < deadline:
        time.sleep(0.5)
    assert not running()
    records = home(tmp_path) / "records"
    assert not list(records.glob("0*"))

    made = hold(tmp_path, state)
    assert made.returncode == 0, made.stdout + made.stderr
    assert "no network: interfaces lo; connecting elsewhere: ENETUNREACH" in made.stdout
    transcript = json.loads((records / "0001" / "transcript.json").read_text(encoding="utf-8"))
    assert transcript["isolation"] == {
        "interfaces": "lo",
        "routes": "0",
        "connecting elsewhere": "ENETUNREACH",
    }
    assert transcript["software"]["image"] == images.local("ceremony", Silent()).digest

    trust = load(SITE).trust
    key = rsa.generate_private_key(65537, 3072)
    name = [
        x509.NameAttribute(x509.oid.NameOID.COUNTRY_NAME, trust.country),
        x509.NameAttribute(x509.oid.NameOID.ORGANIZATION_NAME, trust.organization),
        x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, trust.trust_services.name),
    ]
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(name)).sign(key, hashes.SHA256())
    content = Content(
        kind="issue",
        authority="trust-services",
        created=transcript["ended"],
        csr=csr.public_bytes(serialization.Encoding.PEM).decode(),
    )
    thief = requests.write(tmp_path / "stolen", content, ec.generate_private_key(ec.SECP256R1()))
    refused = hold(tmp_path, state, f"--request={thief}")
    assert refused.returncode == 2
    assert thief.name in refused.stdout
    assert not (records / "0002").exists()

    asked = requests.write(tmp_path / "carried", content, key)
    granted = hold(tmp_path, state, f"--request={asked}")
    assert granted.returncode == 0, granted.stdout + granted.stderr
    record = records / "0002"
    verified = subprocess.run(
        [
            *("openssl", "verify", "-x509_strict", "-crl_check", "-CRLfile", str(record / "root.crl")),
            *("-CAfile", str(records / "0001" / "root.crt"), str(record / "trust-services.crt")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert verified.returncode == 0, verified.stderr

    replayed = subprocess.run(
        ["scripts/smartgouv", "ceremony", "verify", SITE],
        cwd=ROOT, env=state, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    assert "4 things issued, every one explained" in replayed.stdout


def test_with_a_network_nothing_is_made(tmp_path: Path) -> None:
    """The image started by hand, with a network, refuses before it looks at anything."""
    for name in ("inbox", "records", "shares"):
        (tmp_path / name).mkdir()
    image = images.local("ceremony", Silent()).reference
    done = subprocess.run(
        [
            *("podman", "run", "--rm", "--network=podman", "--pull=never", f"--volume={tmp_path}:/ceremony"),
            *(image, "perform", "--inbox=/ceremony/inbox", "--records=/ceremony/records"),
            "--shares=/ceremony/shares",
        ],
        env={**os.environ, "CONTAINERS_CONF": str(ROOT / ".config" / "containers.conf")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "refused: a network is here" in done.stderr
    assert not list((tmp_path / "shares").iterdir())
