"""The lab's estate speaks of the versions that the tool chain builds."""

from __future__ import annotations

import pytest

from estate.load import load
from operate.toolchain import images
from operate.toolchain.binaries import modules


def _built() -> dict[str, str]:
    versions = {module.name: module.version.removeprefix("v") for module in modules()}
    described = {
        name: text.version or versions[str(text.module)]
        for name, text in images.described().items()
        if not text.local
    }
    return described | {folder.name: images.application_version() for folder in images.applications()}


@pytest.mark.parametrize(("name", "version"), _built().items())
def test_an_image_has_the_version_that_the_estate_names(name: str, version: str) -> None:
    """Every image that is built is one that the lab knows."""
    assert load("lab").images[name].version == version


def test_the_cluster_has_the_version_of_its_programs() -> None:
    """Kubeadm refuses to make another."""
    (kubernetes,) = (module for module in modules() if module.name == "kubernetes")
    assert f"v{load('lab').kubernetes.version}" == kubernetes.version
