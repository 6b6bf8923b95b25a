"""The provider's resources as a Pulumi program declares them."""

from __future__ import annotations

import pulumi

from stacks.providers.xroad.resources.kind import PACKAGE, Inputs
from stacks.providers.xroad.settings import Settings


class Provider(pulumi.ProviderResource):
    """The connection to one federation's servers."""

    def __init__(self, name: str, settings: Settings, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(PACKAGE, name, settings.written(), opts)


class Resource(pulumi.CustomResource):
    """An object of the federation; the type of its inputs says which kind."""

    def __init__(self, name: str, inputs: Inputs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(inputs.token(), name, inputs.model_dump(mode="json"), opts)
