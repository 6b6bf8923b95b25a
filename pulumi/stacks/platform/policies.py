"""Network policies: nothing is allowed in a namespace but what one of them names."""

from __future__ import annotations

from collections.abc import Sequence

from pulumi import ComponentResource, Input, Resource, ResourceOptions
from pulumi_kubernetes import meta, networking

from stacks.platform.arguments import ClusterArgs

SYSTEM = "kube-system"
WITHOUT_PODS = ("default", "kube-node-lease", "kube-public")
"""Namespaces that every cluster has and no pod of this platform is in."""

_EVERY_POD = meta.v1.LabelSelectorArgs()
_DNS = meta.v1.LabelSelectorArgs(match_labels={"k8s-app": "kube-dns"})
_ASKING = [networking.v1.NetworkPolicyPortArgs(port=53, protocol=protocol) for protocol in ("UDP", "TCP")]


class SystemPolicies(ComponentResource):
    """The cluster's own namespaces, closed: pods may ask its DNS, and that the API.

    Programs of the cluster that work in their node's network are beyond policies: hosts' firewalls know them.
    """

    def __init__(self, name: str, args: ClusterArgs, *, opts: ResourceOptions | None = None) -> None:
        super().__init__("stacks:platform:SystemPolicies", name, None, opts)
        child = ResourceOptions(parent=self)
        names = networking.v1.NetworkPolicy(
            f"{SYSTEM}-names",
            metadata={"name": "names", "namespace": SYSTEM},
            spec=_answering(args),
            opts=child,
        )
        # Last: the cluster is never without names.
        closed(SYSTEM, SYSTEM, self, [names])
        for namespace in WITHOUT_PODS:
            closed(namespace, namespace, self)
        self.register_outputs({})


def closed(name: str, namespace: Input[str], parent: Resource, after: Sequence[Resource] = ()) -> None:
    """Declare that nothing is allowed in a namespace."""
    networking.v1.NetworkPolicy(
        f"{name}-closed",
        metadata={"name": "closed", "namespace": namespace},
        spec=networking.v1.NetworkPolicySpecArgs(pod_selector=_EVERY_POD, policy_types=["Ingress", "Egress"]),
        opts=ResourceOptions(parent=parent, depends_on=list(after)),
    )


def asking_for_names() -> networking.v1.NetworkPolicySpecArgs:
    """Every pod may ask the cluster's DNS."""
    peer = networking.v1.NetworkPolicyPeerArgs(
        namespace_selector=meta.v1.LabelSelectorArgs(match_labels={"kubernetes.io/metadata.name": SYSTEM}),
        pod_selector=_DNS,
    )
    return networking.v1.NetworkPolicySpecArgs(
        pod_selector=_EVERY_POD,
        policy_types=["Egress"],
        egress=[networking.v1.NetworkPolicyEgressRuleArgs(to=[peer], ports=_ASKING)],
    )


def _answering(args: ClusterArgs) -> networking.v1.NetworkPolicySpecArgs:
    """The cluster's DNS answers every pod and learns from the API."""
    anybody = networking.v1.NetworkPolicyPeerArgs(namespace_selector=_EVERY_POD)
    api = [
        networking.v1.NetworkPolicyPeerArgs(ip_block=networking.v1.IPBlockArgs(cidr=f"{address}/32"))
        for address in args.api_servers
    ]
    port = networking.v1.NetworkPolicyPortArgs(port=args.api_port, protocol="TCP")
    return networking.v1.NetworkPolicySpecArgs(
        pod_selector=_DNS,
        policy_types=["Ingress", "Egress"],
        ingress=[networking.v1.NetworkPolicyIngressRuleArgs(from_=[anybody], ports=_ASKING)],
        egress=[networking.v1.NetworkPolicyEgressRuleArgs(to=api, ports=[port])],
    )
