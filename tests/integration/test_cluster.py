"""The cluster of a raised lab, broken as machines break, and brought back."""

from __future__ import annotations

import json

import pytest
from tests.integration.raised_lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.drill]

KUBECTL = "kubectl --kubeconfig /etc/kubernetes/admin.conf"
RECOVER = ("recover", "lab", "control1", "--yes")


def test_a_cluster_without_a_majority_goes_on_with_what_is_left(lab: Lab) -> None:
    """Two of three control planes are gone with their disks: nothing that was written is lost."""
    healthy = lab.run("smartgouv", *RECOVER)
    assert (healthy.returncode, "etcd has its majority: there is nothing" in healthy.stdout) == (1, True)

    lab.on("control1", f"{KUBECTL} create configmap written-last")
    for host in ("control2", "control3"):
        lab.lose(host)
    silent = lab.run("smartgouv", *RECOVER)
    assert (silent.returncode, "control2, control3 can't be asked" in silent.stdout) == (1, True)

    recovered = lab.document("smartgouv", *RECOVER, "--gone", "control2", "--gone", "control3")
    assert recovered["result"] == "ok"
    lab.on("control1", f"{KUBECTL} get configmap written-last")

    # The machines are installed anew; they join as new ones, and all of the site is proved.
    assert lab.document("lab", "up")["result"] == "ok"
    nodes = json.loads(lab.on("control2", f"{KUBECTL} get nodes --output json"))["items"]
    assert {node["metadata"]["name"] for node in nodes} >= {"control1", "control2", "control3"}
    lab.on("control3", f"{KUBECTL} delete configmap written-last")
