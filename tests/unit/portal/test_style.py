"""Colours that everybody can read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import portal

STYLE = (Path(portal.__file__).parent / "static/portal/style.css").read_text(encoding="utf-8")


def _colours() -> dict[str, str]:
    """The style's named colours, and white."""
    return dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", STYLE)) | {"white": "#ffffff"}


def _luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.1)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("ground", ["white", "ground"])
@pytest.mark.parametrize("text", ["ink", "soft", "green", "deep", "red", "amber", "focus"])
def test_text_stands_out(text: str, ground: str) -> None:
    """WCAG AA: 4.5 to 1 for text of any size; buttons turn the pair round."""
    colours = _colours()
    light, dark = _luminance(colours[ground]), _luminance(colours[text])

    assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_nothing_is_fetched_from_elsewhere() -> None:
    """Own fonts and pictures only."""
    assert re.findall(r"url\((?!mark\.svg)|@import|https?:", STYLE) == []
