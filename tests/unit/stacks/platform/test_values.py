"""What the estate projects is what the charts accept."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from estate.load import load
from stacks.platform import arguments
from stacks.platform.program import CHARTS

SITES = ("lab", "staging", "production")


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Helm's way: maps are merged, everything else is replaced."""
    both = {key: merged(old[key], new[key]) for key in old.keys() & new.keys() if isinstance(old[key], dict)}
    return {**old, **new, **both}


@pytest.mark.parametrize("site", SITES)
def test_values_keep_to_the_schema_of_their_chart(site: str) -> None:
    estate = load(site)
    digest = {"digest": "sha256:" + "0" * 64}
    images = {name: image.model_copy(update=digest) for name, image in estate.images.items()}
    args = arguments(estate.model_copy(update={"images": images}))
    for system in (args.portal, *args.sector_systems):
        chart = system.release.chart
        assert chart.parent == CHARTS
        schema = json.loads((chart / "values.schema.json").read_text())
        defaults = YAML(typ="safe").load(chart / "values.yaml")
        Draft202012Validator(schema).validate(merged(defaults, system.release.values))
