"""Writes what is generated from the estate and committed: pages of the sites, the schema for editors."""

from __future__ import annotations

from pathlib import Path

from estate import Estate
from estate.project import page
from estate.schema import PATH, render
from operate.files import write_atomically
from operate.locations import ROOT


def write_pages(estate: Estate, *, dry_run: bool) -> list[Path]:
    """Write a site's page and pictures; return the files that differed (and, unless dry, were written)."""
    folder = ROOT / "docs/sites" / estate.site.name
    return [path for name, text in page.files(estate).items() if _put(path := folder / name, text, dry_run)]


def write_schema(*, dry_run: bool) -> list[Path]:
    """Write the JSON Schema of the site files; return it if it differed."""
    return [PATH] if _put(PATH, render(), dry_run) else []


def _put(path: Path, text: str, dry_run: bool) -> bool:
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    if not dry_run:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)
    return True
