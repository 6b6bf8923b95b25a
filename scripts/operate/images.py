"""Putting the site's container images into its registry, and their digests into the overlay."""

from __future__ import annotations

import base64
import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from estate.host import Role
from estate.network import LISTENERS, Endpoint
from operate import overlay, remote, toolchain
from operate.files import write_atomically
from operate.run import Outcome, Run

_ACCOUNT = "push"
_SECRET = "registry-push"  # noqa: S105 - the name of the secret


def record_digests(run: Run, built: toolchain.Toolchain) -> None:
    """Have the estate of this run know the digests of the images that the tool chain built."""
    digests = {name: image.digest for name, image in built.images.items()}
    if overlay.with_images(run.workspace, digests):
        run.estate = run.workspace.load()


def publish(run: Run) -> Outcome:
    """Upload the images that the registry doesn't have yet."""
    built = run.toolchain
    estate = run.estate
    host = estate.hosts_with(Role.REGISTRY)[0]
    registry = f"{estate.fqdn(host)}:{LISTENERS[Endpoint.REGISTRY].port}"
    run.report.progress(f"pushing {len(built.images)} images to {registry}")
    with _credentials(run, registry) as credentials:
        pushed = toolchain.push(
            registry,
            built.images,
            authority=run.workspace.root_certificate,
            credentials=credentials,
            namespace=estate.registry.namespace,
            # No name service knows the lab.
            address=str(host.address),
        )
    record_digests(run, built)
    return Outcome(f"{len(pushed)} images in the registry")


def fetch_root_certificate(run: Run) -> Outcome:
    """Keep the site's root certificate in the workspace, for what this machine verifies itself."""
    host = run.estate.hosts_with(Role.CERTIFICATE_AUTHORITY)[0]
    text = remote.output(
        run.workspace,
        host.name,
        "cat",
        "/etc/smartgouv/tls/root.crt",
        purpose="reading the root certificate",
    )
    path = run.workspace.root_certificate
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_atomically(path, text)
    return Outcome("")


@contextlib.contextmanager
def _credentials(run: Run, registry: str) -> Iterator[Path]:
    """An authentication file as container tools read it, gone after the block."""
    password = run.workspace.secrets.path(_SECRET).read_text(encoding="utf-8").rstrip("\n")
    token = base64.b64encode(f"{_ACCOUNT}:{password}".encode()).decode()
    with tempfile.TemporaryDirectory(dir=run.workspace.directory, prefix=".push-") as folder:
        path = Path(folder, "auth.json")
        write_atomically(path, json.dumps({"auths": {registry: {"auth": token}}}), mode=0o600)
        yield path
