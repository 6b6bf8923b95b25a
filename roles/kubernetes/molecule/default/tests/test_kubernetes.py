"""The cluster answers, both nodes are ready, and pods reach one another across them."""

from __future__ import annotations

import json
from typing import Any

import pytest

KUBECTL = "kubectl --kubeconfig /etc/kubernetes/admin.conf"

ASK_DNS = """python3 - <<'END'
import socket, struct
question = b''.join(bytes([len(part)]) + part.encode() for part in '{name}'.split('.')) + b'\\0'
asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asker.settimeout(5)
asker.sendto(struct.pack('>6H', 7, 0x100, 1, 0, 0, 0) + question + struct.pack('>2H', 1, 1), ('{server}', 53))
answer = asker.recv(512)
print('.'.join(str(byte) for byte in answer[-4:]) if struct.unpack('>H', answer[6:8])[0] else 'none')
END"""


def read(host: Any, what: str) -> Any:
    """Objects of the cluster."""
    return json.loads(host.check_output(f"{KUBECTL} get {what} -o json"))["items"]


@pytest.mark.on("control1")
def test_both_nodes_are_ready(host: Any) -> None:
    ready = {
        node["metadata"]["name"]: condition["status"]
        for node in read(host, "nodes")
        for condition in node["status"]["conditions"]
        if condition["type"] == "Ready"
    }
    assert ready == {"control1": "True", "worker1": "True"}


@pytest.mark.on("control1")
def test_every_pod_of_the_system_runs(host: Any) -> None:
    host.check_output(f"{KUBECTL} --namespace kube-system wait --for=condition=Ready pod --all --timeout=120s")
    names = {pod["metadata"]["name"].rsplit("-", 1)[0] for pod in read(host, "pods --namespace kube-system")}
    assert {"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy"} <= names


@pytest.mark.on("control1")
def test_kube_proxy_works_without_iptables(host: Any) -> None:
    assert "table ip kube-proxy" in host.check_output("nft list tables")


@pytest.mark.on("worker1", "control1")
def test_pods_of_every_node_answer_names_of_the_site(host: Any, machine: Any) -> None:
    control = machine("control1")
    control.check_output(f"{KUBECTL} --namespace kube-system rollout status deployment/coredns --timeout=120s")
    servers = [
        pod["status"]["podIP"]
        for pod in read(control, "pods --namespace kube-system --selector k8s-app=kube-dns")
    ]
    assert servers
    for server in servers:
        asked = ASK_DNS.format(server=server, name="registry.molecule.test")
        assert host.check_output(asked) == "192.0.2.7"
        asked = ASK_DNS.format(server=server, name="kubernetes.default.svc.cluster.local")
        assert host.check_output(asked) == "10.96.0.1"


@pytest.mark.on("control1")
def test_pods_are_hidden_behind_their_node_outside_of_the_cluster(host: Any) -> None:
    rules = host.check_output("nft list table ip pod_network")
    assert 'ip saddr 10.244.0.0/24 ip daddr != 10.244.0.0/16 oifname != "cni0" masquerade' in rules


def test_node_forwards_what_pods_send(host: Any) -> None:
    assert host.sysctl("net.ipv4.ip_forward") == 1


@pytest.mark.on("worker1")
def test_no_token_stays_on_a_worker(host: Any) -> None:
    assert not host.file("/etc/kubernetes/join.yml").exists
    assert not host.file("/etc/kubernetes/bootstrap-kubelet.conf").exists


@pytest.mark.on("control1")
def test_access_is_for_root_only_and_start_was_measured(host: Any) -> None:
    assert host.file("/etc/kubernetes/admin.conf").mode == 0o600
    measured = json.loads(host.file("/etc/ansible/facts.d/kubernetes_bootstrap.fact").content_string)
    assert 0 < measured["ready_seconds"] < 180


def test_node_survives_a_reboot(host: Any) -> None:
    for unit in ("containerd", "kubelet", "pod-routes", "shared-mounts"):
        assert host.service(unit).is_enabled
