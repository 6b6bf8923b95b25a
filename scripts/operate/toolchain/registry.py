"""Uploading images to a site's registry, over TLS that its own authority vouches for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from operate.failure import Failure
from operate.files import write_atomically
from operate.toolchain.commands import run
from operate.toolchain.images import Image
from operate.toolchain.store import digest, place

_AT_ONCE = 4
"""How many questions the registry is asked at a time: each costs it the hash of a password."""

_WITH_NAMES = 'mount --bind "$0" /etc/hosts && exec "$@"'
"""A shell in a mount namespace of its own: only the program that it becomes sees these names."""


@dataclass(frozen=True)
class _Registry:
    """A registry and how to reach it."""

    name: str
    """host:port, as in its certificate."""
    certificates: Path
    credentials: Path | None
    address: str | None
    """Where it is, if no name service knows it."""

    def options(self, prefix: str = "") -> list[str]:
        """The options of skopeo that say whom to trust and who asks."""
        options = [f"--{prefix}cert-dir={self.certificates}"]
        return options + ([f"--{prefix}authfile={self.credentials}"] if self.credentials else [])

    def command(self, *words: str) -> list[str]:
        """A skopeo command that finds the registry by its name."""
        if self.address is None:
            return ["skopeo", *words]
        host = self.name.rpartition(":")[0]
        names = self.certificates.parent / f"hosts-{digest(host, self.address)}"
        write_atomically(names, f"127.0.0.1 localhost\n{self.address} {host}\n")
        return ["unshare", "--mount", "sh", "-c", _WITH_NAMES, str(names), "skopeo", *words]


def push(
    registry: str,
    images: Mapping[str, Image],
    *,
    authority: Path,
    credentials: Path | None = None,
    namespace: str = "smartgouv",
    address: str | None = None,
) -> dict[str, str]:
    """Upload images to `registry` (host:port) and return their digests by name; skips what is there.

    `authority` is the certificate that the registry's must chain to; `credentials` an authentication file
    as skopeo and podman read it, so that no password is ever an argument; `address` is where the registry
    is if no name service knows it.
    """
    certificates = place("registry-trust", digest(authority.read_bytes()))
    write_atomically(certificates / "ca.crt", authority.read_text(encoding="utf-8"))
    target = _Registry(registry, certificates, credentials, address)
    places = {name: f"docker://{registry}/{namespace}/{image.name}" for name, image in images.items()}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        there = pool.map(lambda name: _is_there(target, f"{places[name]}@{images[name].digest}"), images)
        missing = [name for name, found in zip(images, there, strict=True) if not found]
    for name in missing:
        image, place_there = images[name], places[name]
        run(
            target.command(
                *("copy", "--quiet", "--preserve-digests", *target.options("dest-")),
                *(f"oci:{image.layout}", f"{place_there}:{image.version}"),
            ),
            purpose=f"pushing image {image.name} to {registry}",
            next_step=_next_step(authority, registry, address),
        )
    return {name: image.digest for name, image in images.items()}


def _is_there(target: _Registry, reference: str) -> bool:
    try:
        run(
            target.command("inspect", "--raw", *target.options(), reference),
            purpose="asking the registry",
        )
    except Failure as failure:
        if re.search(r"manifest unknown|name unknown", failure.details):
            return False
        if "unauthorized" in failure.details:
            raise Failure(
                f"the registry {target.name} refuses the account that publishes images",
                details=failure.details,
                next_step="apply the stage that configures the registry: it sets the account's password",
            ) from failure
        raise Failure(
            f"the registry {target.name} can't be used",
            details=failure.details,
            next_step=_next_step(target.certificates / "ca.crt", target.name, target.address),
        ) from failure
    return True


def _next_step(authority: Path, registry: str, address: str | None) -> str:
    host, _, port = registry.rpartition(":")
    resolve = f" --resolve {host}:{port}:{address}" if address else ""
    return f"curl --cacert {authority}{resolve} https://{registry}/v2/   # 401 is a good answer"
