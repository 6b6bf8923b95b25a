"""Where this provider must not be used."""

from __future__ import annotations

import shutil
from pathlib import Path

from stacks.providers.serving import launcher

PROGRAM = "pulumi-resource-kubernetes"


class UnsuitableProviderError(Exception):
    """The engine would start a provider that isn't meant for this site."""


def refuse_in(environment: str) -> None:
    """Refuse production while the engine would take this provider from PATH.

    UnsuitableProviderError says what to install. Other environments pass.
    """
    if environment != "production":
        return
    found = shutil.which(PROGRAM)
    if found is not None and Path(found).resolve().parent == launcher("kubernetes"):
        raise UnsuitableProviderError(
            "a production site needs Pulumi's own Kubernetes provider. Next: `pulumi plugin install resource "
            f"kubernetes` from a source that your site trusts, and take {Path(found).parent} off PATH"
        )
