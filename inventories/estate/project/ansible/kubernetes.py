"""Variables of role kubernetes."""

from __future__ import annotations

from typing import Any

from estate.host import Host, Role
from estate.model import Estate
from estate.project.ansible.secret import secret
from estate.secrets import encryption_key

EVERY_NODE = ("kube-proxy", "coredns", "pause", "cilium")
"""Images that any node may have to run. CoreDNS has two replicas that go where there is room."""

CONTROL_PLANE = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd", "cilium-operator")
"""Images of what runs on control planes alone."""


def variables(estate: Estate, host: Host) -> dict[str, Any]:
    """What the node is, its cluster, and its images by digest.

    ValueError while an image's digest isn't known.
    """
    cluster = estate.kubernetes
    control_planes = estate.hosts_with(Role.KUBERNETES_CONTROL_PLANE)
    is_control_plane = host.has(Role.KUBERNETES_CONTROL_PLANE)
    folder = estate.deployment.state_directory
    authorities = estate.trust.kubernetes
    return {
        "kubernetes_role": "control_plane" if is_control_plane else "worker",
        "kubernetes_version": cluster.version,
        "kubernetes_node": _node(host),
        "kubernetes_cluster": {
            "name": cluster.name,
            "api_address": str(estate.api_address),
            "api_names": sorted({str(estate.api_address), *(estate.fqdn(node) for node in control_planes)}),
            "control_planes": [node.name for node in control_planes],
            "pod_network": str(cluster.pod_network),
            "service_network": str(cluster.service_network),
            "nodes": [_node(node) for node in estate.kubernetes_nodes],
        },
        "kubernetes_image_repository": estate.image_repository("pause").rpartition("/")[0],
        "kubernetes_images": [
            {
                "name": name,
                "tag": _tag(name, estate.images[name].version),
                "reference": estate.image_reference(name),
            }
            for name in (*EVERY_NODE, *(CONTROL_PLANE if is_control_plane else ()))
        ],
        "kubernetes_cgroup_driver": cluster.cgroup_driver.value,
        "kubernetes_node_is_container": cluster.nodes_are_containers,
        "kubernetes_dns": {
            "records": [
                {"address": str(named.address), "names": [estate.fqdn(named.name), *named.aliases]}
                for named in estate.names()
            ],
            "upstreams": [],
        },
        "kubernetes_site_certificate": {
            "certificate": "/etc/smartgouv/tls/host.crt",
            "key": "/etc/smartgouv/tls/host.key",
        },
        "kubernetes_authority_organization": estate.trust.organization,
        "kubernetes_authority_country": estate.trust.country,
        "kubernetes_authorities": [
            {
                "name": short,
                "common_name": name,
                "key": authorities.key.value,
                "generation": authorities.generation,
            }
            for short, name in authorities.names.items()
        ],
        "kubernetes_encryption_keys": [
            {"name": f"key-{number}", "secret": secret(encryption_key(number))}
            for number in cluster.encryption_keys
        ],
        "kubernetes_kubeconfig_file": str(folder / "kubeconfig") if folder else "kubeconfig",
    }


def _node(host: Host) -> dict[str, str]:
    return {"name": host.name, "address": str(host.address), "pod_network": str(host.pod_network)}


def _tag(name: str, version: str) -> str:
    """The tag under which kubeadm looks for an image: Kubernetes' own have a leading v."""
    return f"v{version}" if name.startswith("kube-") else version
