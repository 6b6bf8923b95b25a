"""What is generated and committed is current."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from estate import load, sites
from estate.load import SITES
from estate.schema import PATH
from operate import generated
from operate.locations import ROOT


def test_everything_is_current() -> None:
    """READMEs, pages and schema show this commit; `smartgouv docs` writes them."""
    assert generated.write(generated.everything(), check=True) == []


def test_every_kind_is_generated() -> None:
    """None of them drops out unseen: each role, each chart, each site, the schema."""
    files = set(generated.everything())

    assert {path.parent / "README.md" for path in ROOT.glob("roles/*/tasks")} <= files
    assert {path.parent / "README.md" for path in ROOT.glob("charts/*/Chart.yaml")} <= files
    assert {ROOT / "docs/sites" / site / "README.md" for site in sites()} <= files
    assert PATH in files


def test_only_what_is_stale_is_written(tmp_path: Path) -> None:
    """A check touches nothing; writing leaves current files alone and makes missing folders."""
    current, stale, missing = tmp_path / "current", tmp_path / "stale", tmp_path / "new/missing"
    current.write_text("text")
    stale.write_text("old")
    files = dict.fromkeys((current, stale, missing), "text")
    inode = current.stat().st_ino

    assert generated.write(files, check=True) == [stale, missing]
    assert (stale.read_text(), missing.exists()) == ("old", False)
    assert generated.write(files, check=False) == [stale, missing]
    assert [path.read_text() for path in files] == ["text"] * 3
    assert current.stat().st_ino == inode
    assert generated.write(files, check=True) == []


@pytest.mark.parametrize("site", sites())
def test_site_files_satisfy_the_schema(site: str) -> None:
    """Each file names the schema on its first line and agrees with it."""
    schema = json.loads(PATH.read_text(encoding="utf-8"))
    for path in sorted((SITES / site).glob("*.yml")):
        text = path.read_text(encoding="utf-8")
        jsonschema.validate(yaml.safe_load(text), schema)

        assert text.splitlines()[0] == ("# yaml-language-server: $schema=../estate/schema/estate.schema.json")


@pytest.mark.parametrize("site", sites())
def test_nothing_else_lies_beside_the_pages(site: str) -> None:
    """A picture that's no longer drawn is gone."""
    files = generated.pages(load(site))

    assert set((ROOT / "docs/sites" / site).iterdir()) == set(files)
