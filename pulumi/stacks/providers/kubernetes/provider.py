"""The provider as the engine sees it: which kinds of resource there are, and how the cluster is reached."""

from __future__ import annotations

from collections.abc import Mapping

from stacks.providers.kubernetes.access import read
from stacks.providers.kubernetes.api import Api
from stacks.providers.kubernetes.helm import Helm
from stacks.providers.kubernetes.objects import Objects
from stacks.providers.kubernetes.releases import Releases
from stacks.providers.serving import ProviderError, Resource

RELEASE = "kubernetes:helm.sh/v3:Release"
REFUSED_MODULES = ("helm.sh/v4", "kustomize/", "yaml")


class KubernetesProvider:
    """Kubernetes objects and Helm releases of one cluster."""

    name = "kubernetes"
    version = "4.34.2"
    """The version of the `pulumi_kubernetes` package whose types it answers to."""

    def __init__(self) -> None:
        self._api: Api | None = None
        self._helm: Helm | None = None

    async def configure(self, settings: Mapping[str, str]) -> None:
        """Read the kubeconfig; the cluster itself isn't asked yet."""
        kubeconfig = settings.get("kubeconfig")
        if not kubeconfig:
            raise ProviderError("the provider needs a kubeconfig: its text, or the path of the file")
        access = read(kubeconfig, settings.get("context"))
        self._api = Api(access, settings.get("namespace") or "default")
        self._helm = Helm(access)

    def resource(self, type_token: str) -> Resource:
        """The kind behind a type token."""
        if self._api is None or self._helm is None:
            raise ProviderError("the provider was asked before it was configured")
        if type_token == RELEASE:
            return Releases(self._api, self._helm)
        if type_token.split(":")[1].startswith(REFUSED_MODULES):
            raise ProviderError(f"{type_token} isn't supported by this provider")
        return Objects(self._api)

    async def close(self) -> None:
        """Close the connections."""
        if self._api is not None:
            await self._api.close()
