"""What is generated and committed is current."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from estate import load, sites
from estate.load import SITES
from estate.project.page import files
from estate.schema import PATH, render

ROOT = Path(__file__).resolve().parents[2]


def test_schema_is_current() -> None:
    """Editors see the model of this commit; `smartgouv schema` writes it."""
    assert PATH.read_text(encoding="utf-8") == render()


@pytest.mark.parametrize("site", sites())
def test_site_files_satisfy_the_schema(site: str) -> None:
    """Each file names the schema on its first line and agrees with it."""
    schema = json.loads(PATH.read_text(encoding="utf-8"))
    for path in sorted((SITES / site).glob("*.yml")):
        text = path.read_text(encoding="utf-8")
        jsonschema.validate(yaml.safe_load(text), schema)

        assert text.splitlines()[0] == ("# yaml-language-server: $schema=../estate/schema/estate.schema.json")


@pytest.mark.parametrize("site", sites())
def test_pages_are_current(site: str) -> None:
    """Pictures and tables show the estate of this commit; `smartgouv docs SITE` writes them."""
    folder = ROOT / "docs/sites" / site
    expected = files(load(site))

    assert {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()} == expected
