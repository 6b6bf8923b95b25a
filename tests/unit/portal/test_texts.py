"""Every French text has its English one, and the compiled catalogue is current."""

from __future__ import annotations

import re
from gettext import GNUTranslations
from pathlib import Path

from babel.messages import pofile

import portal

FOLDER = Path(portal.__file__).parent
CATALOGUE = FOLDER / "locale/en/LC_MESSAGES"


def test_every_marked_text_is_translated() -> None:
    """Texts marked in templates and modules stand in the catalogue with a translation."""
    marked = set()
    for path in FOLDER.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        marked |= {a or b for a, b in re.findall(r"{% translate (?:\"([^\"]+)\"|'([^']+)') %}", text)}
    for path in FOLDER.rglob("*.py"):
        marked |= set(re.findall(r"\b_\(\"([^\"]+)\"\)", path.read_text(encoding="utf-8")))
    with (CATALOGUE / "django.po").open("rb") as file:
        translated = {message.id for message in pofile.read_po(file) if message.id and message.string}

    assert marked
    assert marked - translated == set()


def test_compiled_catalogue_is_current() -> None:
    """The committed `.mo` says what its `.po` says."""
    with (CATALOGUE / "django.mo").open("rb") as file:
        compiled = GNUTranslations(file)
    with (CATALOGUE / "django.po").open("rb") as file:
        messages = {str(message.id): message.string for message in pofile.read_po(file) if message.id}

    assert {text: compiled.gettext(text) for text in messages} == messages


def test_every_field_of_every_sector_has_a_label() -> None:
    """No page shows a column's name."""
    from portal.labels import FIELDS, SERVICES
    from sector_system.definition import load, sectors

    definitions = [load(sector) for sector in sectors()]

    assert {definition.collection for definition in definitions} == set(SERVICES)
    assert {field.name for definition in definitions for field in definition.fields} == set(FIELDS)
