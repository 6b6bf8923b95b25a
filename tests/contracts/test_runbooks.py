"""Every alert has its runbook, and every runbook its alert."""

from __future__ import annotations

from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
HEADINGS = ("## Meaning", "## Impact", "## Diagnosis", "## Mitigation")


def alerts() -> set[str]:
    """Names of the alerts in the monitoring role's rule files."""
    names: set[str] = set()
    for path in (ROOT / "roles/monitoring/files").rglob("*.yml"):
        data = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        for group in data.get("groups", []) if isinstance(data, dict) else []:
            names |= {rule["alert"] for rule in group["rules"] if "alert" in rule}
    return names


def test_alerts_and_runbooks_match() -> None:
    """At three in the morning the page's name leads to a file."""
    pages = {path.stem for path in (ROOT / "docs/runbooks").glob("*.md")}

    assert alerts()
    assert pages == alerts()


def test_runbooks_have_the_four_parts() -> None:
    """What it means, whom it hurts, how to see more, what to do."""
    for path in (ROOT / "docs/runbooks").glob("*.md"):
        text = path.read_text(encoding="utf-8")

        assert [heading for heading in HEADINGS if heading not in text] == [], path.name
