"""What is generated and committed: READMEs of roles and charts, the schema for editors, the sites' pages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from estate import Estate, sites
from estate.project import page
from estate.schema import PATH, render
from operate import chart_readme, role_readme
from operate.files import write_atomically
from operate.locations import ROOT
from operate.workspace import load_estate


def everything() -> dict[Path, str]:
    """Every generated file of the repository with the text that it should have."""
    files = {PATH: render(), **role_readme.files(), **chart_readme.files()}
    for site in sites():
        files |= pages(load_estate(site))
    return files


def pages(estate: Estate) -> dict[Path, str]:
    """A site's page and the pictures that it shows."""
    folder = ROOT / "docs/sites" / estate.site.name
    return {folder / name: text for name, text in page.files(estate).items()}


def write(files: Mapping[Path, str], *, check: bool) -> list[Path]:
    """Write those of `files` that aren't current, or none to check; return which weren't."""
    stale = [path for path, text in files.items() if not _current(path, text)]
    if not check:
        for path in stale:
            write_atomically(path, files[path])
    return stale


def _current(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text
