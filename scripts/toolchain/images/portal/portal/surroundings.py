"""What every page needs around its content: its address in the other language, its style's version."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from django.http import HttpRequest
from django.urls import translate_url
from django.utils.translation import get_language

STYLE = Path(__file__).parent / "static/portal/style.css"
NAMES = {"fr": "Français", "en": "English"}


@cache
def _style_version() -> str:
    return hashlib.sha256(STYLE.read_bytes()).hexdigest()[:12]


def surroundings(request: HttpRequest) -> dict[str, object]:
    """For all templates."""
    other = "en" if (get_language() or "fr").startswith("fr") else "fr"
    same_page = translate_url(request.path, other)
    # An address that is no page has no counterpart; the first page stands in for it.
    address = same_page if same_page.startswith(f"/{other}/") else f"/{other}/"
    return {
        "other_language": {"code": other, "name": NAMES[other], "address": address},
        "style_version": _style_version(),
    }
