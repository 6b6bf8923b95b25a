"""The platform program on a real API server: everything but the charts' pods, which need nodes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pulumi import automation

from stacks.platform import PlatformArgs, Secrets, declare

pytestmark = pytest.mark.engine

Make = Callable[[Callable[[], None]], automation.Stack]
SYSTEMS = ("portal", "civil-registry", "health")


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    """A chart whose only object is a config map."""
    folder = tmp_path / "chart"
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: chart\nversion: 0.1.0\n")
    template = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: made}\ndata: {word: {{ .Values.word }}}\n"
    (folder / "templates" / "map.yaml").write_text(template)
    return folder


def test_second_apply_changes_nothing(stack: Make, kubeconfig: Path, chart: Path, tmp_path: Path) -> None:
    portal, *sectors = (
        {"namespace": {"name": f"test-{name}"}, "release": {"chart": chart, "values": {"word": name}}}
        for name in SYSTEMS
    )
    args = PlatformArgs.model_validate({"portal": portal, "sector_systems": sectors})
    values = Secrets(
        database_passwords={
            "portal": "never-in-the-state",
            "test-civil-registry": "never-in-the-state",
            "test-health": "never-in-the-state",
        },
        portal_key="never-in-the-state",
        root_certificate="root",
        kubeconfig=kubeconfig.read_text(),
    )
    made = stack(lambda: declare(args, values))
    made.preview()
    made.up()
    assert set(made.up().summary.resource_changes or {}) == {"same"}
    assert set(made.refresh().summary.resource_changes or {}) <= {"same", "refresh"}
    assert set(made.up().summary.resource_changes or {}) == {"same"}
    states = "".join(file.read_text(errors="replace") for file in (tmp_path / "states").rglob("*.json"))
    assert "test-civil-registry" in states
    assert "never-in-the-state" not in states
    removed = made.destroy().summary.resource_changes or {}
    assert set(removed) == {"delete"}
