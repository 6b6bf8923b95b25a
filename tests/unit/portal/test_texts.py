"""Every French text has its English one, and the compiled catalogue is current."""

from __future__ import annotations

import ast
import re
from gettext import GNUTranslations
from pathlib import Path

from babel.messages import pofile

import portal

FOLDER = Path(portal.__file__).parent
CATALOGUE = FOLDER / "locale/en/LC_MESSAGES"


def _marked() -> set[str]:
    """French texts marked for translation in templates and modules."""
    marked = set()
    for path in FOLDER.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        marked |= {a or b for a, b in re.findall(r"{% translate (?:\"([^\"]+)\"|'([^']+)') %}", text)}
        for block in re.findall(r"{% blocktranslate.*?%}(.*?){% endblocktranslate %}", text):
            marked.add(re.sub(r"{{ (\w+) }}", r"%(\1)s", block))
    for path in FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_":
                marked.add(ast.literal_eval(node.args[0]))
    return marked


def test_texts_and_translations_match() -> None:
    """Every marked text has a translation, and every translation is of a marked text."""
    with (CATALOGUE / "django.po").open("rb") as file:
        translated = {message.id for message in pofile.read_po(file) if message.id and message.string}

    assert translated == _marked()


def test_words_of_registries_are_known() -> None:
    """What a registry writes as a word of its own, a page says in both languages."""
    from portal.values import WORDS
    from sector_system.definition import load, sectors

    fields = {field.name: field for sector in sectors() for field in load(sector).fields}
    words = {
        word
        for name in ("corps", "mention", "result", "scheme", "standing")
        for word in fields[name].sample["choice"]
    }

    assert words - set(WORDS) == set()


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
