"""Charts render to what Kubernetes takes, and refuse what they don't know."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from operate.locations import cache_home

CHARTS = Path(__file__).resolve().parents[3] / "charts"
CASES = sorted(CHARTS.glob("*/ci/*-values.yaml"))


@pytest.fixture(scope="session")
def helm() -> str:
    """The tool chain's helm, or the one on PATH."""
    for candidate in (os.environ.get("SMARTGOUV_HELM"), cache_home() / "bin/helm", shutil.which("helm")):
        if candidate and Path(candidate).is_file():
            return str(candidate)
    pytest.skip("helm isn't built yet: python -m operate.toolchain binaries")


def template(helm: str, case: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Render a chart with a case's values."""
    command = [helm, "template", "release", str(case.parents[1]), "--values", str(case), *more]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(params=CASES, ids=lambda case: f"{case.parents[1].name}-{case.stem}")
def case(request: pytest.FixtureRequest) -> Path:
    """Each chart's cases in turn."""
    path: Path = request.param
    return path


@pytest.fixture
def objects(helm: str, case: Path) -> list[dict[str, Any]]:
    """The objects that a case renders to."""
    done = template(helm, case)
    assert done.returncode == 0, done.stderr
    return [item for item in yaml.safe_load_all(done.stdout) if item]


def containers(objects: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every container of every workload."""
    for item in objects:
        if item["kind"] == "Deployment":
            pod = item["spec"]["template"]["spec"]
            yield from pod.get("initContainers", [])
            yield from pod["containers"]


def test_every_chart_has_cases() -> None:
    """Two a chart at least: the smallest, and one with everything."""
    charts = [path.parent.name for path in CHARTS.glob("*/Chart.yaml")]

    assert len(CASES) >= 2 * len(charts) >= 4


def test_kinds_are_complete(objects: list[dict[str, Any]]) -> None:
    """A workload brings its service, account and network policy."""
    assert {"Deployment", "Service", "ServiceAccount", "NetworkPolicy"} <= {item["kind"] for item in objects}


def test_a_budget_comes_with_several_pods(objects: list[dict[str, Any]], case: Path) -> None:
    """One pod can't have a disruption budget that lets nodes be drained."""
    several = yaml.safe_load(case.read_text()).get("replicas", 1) > 1

    assert several == ("PodDisruptionBudget" in {item["kind"] for item in objects})


def test_images_are_addressed_by_digest(objects: list[dict[str, Any]]) -> None:
    """No tag, and so no `latest`."""
    images = [container["image"] for container in containers(objects)]

    assert images
    assert [
        image for image in images if not re.fullmatch(r"[^@:]+(:\d+)?/[^@:]+@sha256:[0-9a-f]{64}", image)
    ] == []


def test_containers_satisfy_the_restricted_standard(objects: list[dict[str, Any]]) -> None:
    """Pod Security Standards, profile restricted."""
    (pod,) = [item["spec"]["template"]["spec"] for item in objects if item["kind"] == "Deployment"]

    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    for container in containers(objects):
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert security["readOnlyRootFilesystem"]
        assert container["resources"]["limits"]["memory"]


def test_secrets_are_mounted_not_rendered(objects: list[dict[str, Any]]) -> None:
    """A chart holds no secret and no environment variable takes one."""
    assert [item for item in objects if item["kind"] == "Secret"] == []
    assert "secretKeyRef" not in str(objects)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("colour=red", "colour"),
        ("image.tag=latest", "tag"),
        ("replicas=many", "replicas"),
        ("image.digest=latest", "digest"),
        ("service.nodePort=80", "nodePort"),
        ("database.passwordSecret.value=x", "value"),
    ],
)
def test_unknown_and_wrong_values_are_refused(helm: str, case: Path, setting: str, words: str) -> None:
    """A misspelt or impossible value names itself."""
    done = template(helm, case, "--set", setting)

    assert done.returncode != 0
    assert words in done.stderr


def test_readmes_are_current() -> None:
    """`python -m operate.chart_readme` writes them from the values' comments."""
    from operate.chart_readme import readme

    for chart in sorted(path.parent for path in CHARTS.glob("*/Chart.yaml")):
        assert (chart / "README.md").read_text(encoding="utf-8") == readme(chart)
