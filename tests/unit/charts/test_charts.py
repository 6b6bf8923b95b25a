"""Charts render to what Kubernetes takes, and refuse what they don't know."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.charts.structure import problems

from estate import load
from estate.project import helm as project
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


def test_kubernetes_knows_every_field(objects: list[dict[str, Any]]) -> None:
    """No unknown or missing field, no value of another type."""
    assert [problem for item in objects for problem in problems(item)] == []


def test_the_check_of_fields_notices() -> None:
    """A misspelt, a missing and a mistyped field are each named."""
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"nmae": "x"},
        "spec": {"ports": [{"nodePort": "30080"}]},
    }

    assert problems(service) == [
        "metadata.nmae: Extra inputs are not permitted",
        "spec.ports.0.nodePort: Input should be a valid integer",
        "spec.ports.0.port: Field required",
    ]


def test_parts_of_an_object_fit(objects: list[dict[str, Any]]) -> None:
    """Mounts have their volume, files that the program is told lie on a mount, probes have their port."""
    (pod,) = [item["spec"]["template"]["spec"] for item in objects if item["kind"] == "Deployment"]
    volumes = {volume["name"] for volume in pod["volumes"]}
    for container in containers(objects):
        folders = tuple(f"{mount['mountPath']}/" for mount in container["volumeMounts"])
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
        for variable in container["env"]:
            if variable["name"].endswith(("_FILE", "_CERTIFICATE")):
                assert variable["value"].startswith(folders)
    (serving,) = pod["containers"]
    names = {port["name"] for port in serving["ports"]}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert serving[probe]["httpGet"]["port"] in names


def test_selectors_find_the_pods(objects: list[dict[str, Any]]) -> None:
    """Of the service, the policy, the budget and the workload itself."""
    (deployment,) = [item for item in objects if item["kind"] == "Deployment"]
    labels = deployment["spec"]["template"]["metadata"]["labels"].items()
    for item in objects:
        selector = item.get("spec", {}).get("selector") or item.get("spec", {}).get("podSelector")
        if selector:
            assert selector.get("matchLabels", selector).items() <= labels


def test_network_is_closed_but_for_what_is_named(helm: str, case: Path) -> None:
    """Without networks and addresses nobody comes in, and only the name service is reached."""
    nobody = {"from": [], "databaseAddress": ""}
    if case.parents[1].name == "portal":
        nobody["exchangeAddress"] = ""
    done = template(helm, case, "--set-json", f"networkPolicy={json.dumps(nobody)}")
    assert done.returncode == 0, done.stderr
    (policy,) = [item for item in yaml.safe_load_all(done.stdout) if item and item["kind"] == "NetworkPolicy"]

    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert policy["spec"]["ingress"] == []
    assert [[port["port"] for port in rule["ports"]] for rule in policy["spec"]["egress"]] == [[53, 53]]


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


def test_the_exchange_is_reached_on_the_port_of_its_address(helm: str) -> None:
    """The network policy follows the address."""
    for case, port in (("one", 8443), ("several", 8080)):
        done = template(helm, CHARTS / "portal" / "ci" / f"{case}-values.yaml")
        (policy,) = [
            item for item in yaml.safe_load_all(done.stdout) if item and item["kind"] == "NetworkPolicy"
        ]

        assert policy["spec"]["egress"][-1]["ports"] == [{"port": port, "protocol": "TCP"}]


def test_the_estate_speaks_the_charts_language(helm: str, tmp_path: Path) -> None:
    """What the lab's estate projects renders: all eight sector systems and the portal."""
    overlay = tmp_path / "overlay.yml"
    digest = f"sha256:{'0' * 64}"
    overlay.write_text(yaml.safe_dump({"images": dict.fromkeys(("portal", "sector-system"), digest)}))
    estate = load("lab", overlay)
    releases = [("portal", project.portal(estate))]
    releases += [("sector-system", project.sector_system(estate, sector)) for sector in estate.sectors]
    for chart, values in releases:
        file = tmp_path / "values.yaml"
        file.write_text(yaml.safe_dump(values))
        done = subprocess.run(
            [helm, "template", "release", str(CHARTS / chart), "--values", str(file)],
            capture_output=True,
            text=True,
            check=False,
        )

        assert done.returncode == 0, done.stderr
        assert [problem for item in yaml.safe_load_all(done.stdout) if item for problem in problems(item)] == []
    assert len(releases) == 9


def test_schemas_leave_no_object_open() -> None:
    """Every object in a schema refuses keys that it doesn't name."""

    def open_objects(schema: Any, path: str) -> list[str]:
        if isinstance(schema, list):
            return [found for each in schema for found in open_objects(each, path)]
        if not isinstance(schema, dict):
            return []
        found = [path] if schema.get("type") == "object" and "additionalProperties" not in schema else []
        for name, each in schema.items():
            found += open_objects(each, f"{path}/{name}")
        return found

    for chart in CHARTS.glob("*/values.schema.json"):
        assert open_objects(json.loads(chart.read_text(encoding="utf-8")), chart.parent.name) == []
