"""The tool chain: node image, package mirror, programs, packages and container images.

Everything is built once into the cache, under names made of what it is built from.
"""

from operate.toolchain.assemble import Toolchain, ensure
from operate.toolchain.registry import push

HOST_PACKAGES = (
    "apt-utils",
    "ca-certificates",
    "debian-archive-keyring",
    "gcc",
    "git",
    "gpg",
    "gpg-agent",
    "gpgconf",
    "libc6-dev",
    "mmdebstrap",
    "podman",
    "runc",
    "skopeo",
)
"""Debian packages that this machine needs to build the tool chain."""

__all__ = ["HOST_PACKAGES", "Toolchain", "ensure", "push"]
