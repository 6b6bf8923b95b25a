"""Helm releases on a real API server, by the tool chain's helm."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pulumi
import pulumi_kubernetes
import pytest
from pulumi import automation
from pulumi_kubernetes import core, helm

from stacks.providers.kubernetes.access import read
from stacks.providers.kubernetes.api import Api
from stacks.providers.kubernetes.helm import PROGRAM_VARIABLE, Helm
from stacks.providers.kubernetes.releases import Releases
from stacks.providers.serving import ProviderError, Subject

pytestmark = pytest.mark.engine

HOME = "release-under-test"
Make = Callable[[Callable[[], None]], automation.Stack]


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    """A chart with one config map."""
    folder = tmp_path / "chart"
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: chart\nversion: 0.1.0\n")
    (folder / "templates" / "map.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: made}\n"
        'data: {word: {{ required "a word is needed" .Values.word | quote }}}\n'
    )
    return folder


def declaration(kubeconfig: Path, chart: Path, **values: Any) -> Callable[[], None]:
    """A release in a namespace."""

    def program() -> None:
        text = pulumi.Output.secret(kubeconfig.read_text())
        options = pulumi.ResourceOptions(
            provider=pulumi_kubernetes.Provider("cluster", kubeconfig=text),
        )
        home = core.v1.Namespace("home", metadata={"name": HOME}, opts=options)
        namespace = home.metadata["name"]
        helm.v3.Release(
            "it", name="it", chart=str(chart), namespace=namespace, values=values, timeout=60, opts=options
        )

    return program


def up(stack: automation.Stack) -> dict[str, int]:
    """Apply, and what that changed."""
    counts = stack.up().summary.resource_changes or {}
    return {kind: count for kind, count in counts.items() if kind != "same"}


def call(kubeconfig: Path, method: str, name: str) -> httpx.Response:
    """Somebody else's request about a config map."""
    access = read(str(kubeconfig))
    with httpx.Client(base_url=access.server, verify=access.trust, headers=access.headers) as client:
        return client.request(method, f"/api/v1/namespaces/{HOME}/configmaps/{name}")


def test_release_is_made_kept_changed_and_removed(stack: Make, kubeconfig: Path, chart: Path) -> None:
    made = stack(declaration(kubeconfig, chart, word="first"))
    assert up(made) == {"create": 4}
    assert up(made) == {}
    assert call(kubeconfig, "GET", "made").json()["data"] == {"word": "first"}

    assert call(kubeconfig, "DELETE", "made").is_success
    assert up(made) == {"update": 1}
    assert call(kubeconfig, "GET", "made").is_success

    changed = stack(declaration(kubeconfig, chart, word="second"))
    assert up(changed) == {"update": 1}
    assert call(kubeconfig, "GET", "made").json()["data"] == {"word": "second"}
    made.destroy()
    assert call(kubeconfig, "GET", "made").status_code == 404


def test_failure_says_what_helm_says_and_the_next_attempt_repairs_it(
    kubeconfig: Path, chart: Path, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the engine, whose package leaves a coroutine behind when a deployment fails."""
    monkeypatch.setenv(PROGRAM_VARIABLE, str(programs / "helm"))

    async def attempts() -> None:
        access = read(str(kubeconfig))
        api = Api(access)
        kind = Releases(api, Helm(access))
        subject = Subject(type="kubernetes:helm.sh/v3:Release", name="broken", urn="")
        inputs = (await kind.check(subject, {"chart": str(chart)})).inputs
        with pytest.raises(ProviderError, match="a word is needed"):
            await kind.create(subject, inputs, preview=False)
        found = await kind.create(subject, {**inputs, "values": {"word": "found"}}, preview=False)
        assert found.state["status"]["status"] == "deployed"
        assert found.state["resourceNames"] == {"ConfigMap/v1": ["made"]}
        await kind.delete(subject, found.identifier, found.inputs, found.state)
        assert await kind.read(subject, found.identifier, found.inputs, found.state) is None
        await api.close()

    asyncio.run(attempts())
