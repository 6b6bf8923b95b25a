"""A namespace in which nothing is allowed that a system doesn't need."""

from __future__ import annotations

from pulumi import ComponentResource, Input, Output, ResourceOptions
from pulumi_kubernetes import core, networking

from estate.project.helm import ROOT_CONFIG_MAP
from stacks.platform.arguments import NamespaceArgs
from stacks.platform.policies import asking_for_names, closed

POD_SECURITY = "restricted"
"""The strictest of Kubernetes' Pod Security Standards."""


class Namespace(ComponentResource):
    """A namespace with pod security, a quota, closed network and the site's root certificate."""

    name: Output[str]

    def __init__(
        self,
        name: str,
        args: NamespaceArgs,
        *,
        root_certificate: Input[str],
        opts: ResourceOptions | None = None,
    ) -> None:
        super().__init__("stacks:platform:Namespace", name, None, opts)
        child = ResourceOptions(parent=self)
        namespace = core.v1.Namespace(
            name,
            metadata={
                "name": args.name,
                "labels": {
                    "app.kubernetes.io/part-of": "smartgouv",
                    **{f"pod-security.kubernetes.io/{mode}": POD_SECURITY for mode in ("enforce", "warn")},
                },
            },
            opts=child,
        )
        self.name = namespace.metadata["name"]
        core.v1.ResourceQuota(
            f"{name}-quota",
            metadata={"name": "limits", "namespace": self.name},
            spec={"hard": {"pods": str(args.pods), "limits.memory": f"{args.memory_mib}Mi"}},
            opts=child,
        )
        closed(name, self.name, self)
        networking.v1.NetworkPolicy(
            f"{name}-names",
            metadata={"name": "names", "namespace": self.name},
            spec=asking_for_names(),
            opts=child,
        )
        core.v1.ConfigMap(
            f"{name}-root",
            metadata={"name": ROOT_CONFIG_MAP, "namespace": self.name},
            data={"root.crt": root_certificate},
            opts=child,
        )
        self.register_outputs({"name": self.name})
