"""The provider against a real API server: what Pulumi's own would do with the same program."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pulumi
import pulumi_kubernetes
import pytest
from pulumi import automation
from pulumi_kubernetes import core

from stacks.providers.kubernetes.access import read

pytestmark = pytest.mark.engine

HOME = "provider-under-test"
Make = Callable[[Callable[[], None]], automation.Stack]


def declaration(kubeconfig: Path, **changes: Any) -> Callable[[], None]:
    """A namespace with a config map that can't be changed and a secret."""

    def program() -> None:
        text = pulumi.Output.secret(kubeconfig.read_text())
        provider = pulumi_kubernetes.Provider("cluster", kubeconfig=text)
        options = pulumi.ResourceOptions(provider=provider)
        labels = {"colour": changes.get("colour", "green")}
        home = core.v1.Namespace("home", metadata={"name": HOME, "labels": labels}, opts=options)
        core.v1.ConfigMap(
            "fixed",
            metadata={"name": "fixed", "namespace": home.metadata["name"]},
            data={"value": changes.get("value", "first")},
            immutable=True,
            opts=options,
        )
        core.v1.Secret(
            "secret",
            metadata={"name": "secret", "namespace": home.metadata["name"]},
            string_data={"password": pulumi.Output.secret("text-that-must-not-lie-in-the-state")},
            opts=options,
        )

    return program


def changes(summary: Any) -> dict[str, int]:
    """Counts of the steps that change something."""
    counts = {str(getattr(kind, "value", kind)): count for kind, count in summary.items()}
    return {kind: count for kind, count in counts.items() if kind not in ("same", "refresh")}


def up(stack: automation.Stack) -> dict[str, int]:
    """Apply, and what that changed."""
    return changes(stack.up().summary.resource_changes)


def call(kubeconfig: Path, method: str, path: str, **arguments: Any) -> httpx.Response:
    """Somebody else's request to the cluster."""
    access = read(str(kubeconfig))
    with httpx.Client(base_url=access.server, verify=access.trust, headers=access.headers) as client:
        return client.request(method, path, **arguments)


def test_second_apply_changes_nothing_and_destroy_removes_all(stack: Make, kubeconfig: Path) -> None:
    made = stack(declaration(kubeconfig))
    assert changes(made.preview().change_summary) == {"create": 5}
    assert up(made) == {"create": 5}
    assert up(made) == {}
    assert changes(made.refresh().summary.resource_changes) == {}
    assert up(made) == {}
    made.destroy()
    assert call(kubeconfig, "GET", f"/api/v1/namespaces/{HOME}").status_code == 404


def test_no_secret_lies_in_the_state(stack: Make, kubeconfig: Path, tmp_path: Path) -> None:
    up(stack(declaration(kubeconfig)))
    states = "".join(file.read_text(errors="replace") for file in tmp_path.rglob("*.json"))
    assert "provider-under-test" in states
    for forbidden in ("text-that-must-not-lie", "dGV4dC10aGF0LW11c3Qtbm90", "client-key-data"):
        assert forbidden not in states


def test_drift_is_found_and_taken_back(stack: Make, kubeconfig: Path) -> None:
    made = stack(declaration(kubeconfig))
    up(made)
    path = f"/api/v1/namespaces/{HOME}"
    patch = {"metadata": {"labels": {"colour": "red"}}}
    kind = {"Content-Type": "application/merge-patch+json"}
    assert call(kubeconfig, "PATCH", path, json=patch, headers=kind).is_success
    assert call(kubeconfig, "DELETE", f"{path}/secrets/secret").is_success
    assert changes(made.preview().change_summary) == {"update": 2}
    assert up(made) == {"update": 2}
    assert call(kubeconfig, "GET", path).json()["metadata"]["labels"]["colour"] == "green"
    assert call(kubeconfig, "GET", f"{path}/secrets/secret").is_success


def test_field_that_cannot_change_replaces_the_object(stack: Make, kubeconfig: Path) -> None:
    up(stack(declaration(kubeconfig)))
    changed = stack(declaration(kubeconfig, value="second"))
    assert changes(changed.preview().change_summary) == {"replace": 1}
    assert up(changed) == {"replace": 1}
