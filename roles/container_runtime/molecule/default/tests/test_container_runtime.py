"""A node pulls and runs containers."""

from __future__ import annotations

from typing import Any


def test_runtime_answers(host: Any) -> None:
    """Client and server speak, and both are the pinned version."""
    answer = host.check_output("ctr version")
    assert answer.count("Version:  v2.2.9") == 2


def test_runtime_starts_at_boot(host: Any) -> None:
    """The unit is enabled and runs."""
    unit = host.service("containerd")
    assert unit.is_running
    assert unit.is_enabled


def test_kubernetes_interface_is_ready(host: Any) -> None:
    """The plugins that the kubelet talks to were loaded without an error."""
    for plugin in ("io.containerd.cri.v1", "io.containerd.grpc.v1"):
        lines = [line for line in host.check_output("ctr plugins ls").splitlines() if plugin in line]
        assert lines
        assert all(line.split()[-1] == "ok" for line in lines)


def test_containers_stay_within_the_nodes_memory_score(host: Any) -> None:
    """The merged configuration holds what the lab needs."""
    merged = host.check_output("containerd config dump")
    assert "restrict_oom_score_adj = true" in merged
    assert "SystemdCgroup = false" in merged
    assert 'sandbox = "registry.test:5000/smartgouv/pause:3.10"' in merged.replace("'", '"')


def test_registry_password_is_for_root_only(host: Any) -> None:
    """The file with the account is closed to everybody else."""
    file = host.file("/etc/containerd/certs.d/registry.test:5000/hosts.toml")
    assert (file.user, file.mode) == ("root", 0o600)
    assert file.contains("Basic bm9kZTptb2xlY3VsZS1vbmx5LXBhc3N3b3Jk")
