"""How values are written in both languages."""

from __future__ import annotations

from typing import Any

import pytest

SPACE = "\N{NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("name", "value", "french", "english"),
    [
        ("born_on", "1990-05-03", "3 mai 1990", "3 May 1990"),
        ("month", "2026-08", "août 2026", "August 2026"),
        ("sex", "F", "Féminin", "Female"),
        ("scheme", "assurance maladie", "Assurance maladie", "Health insurance"),
        ("gross_francs", 385500, f"385{SPACE}500{SPACE}FCFA", f"385,500{SPACE}FCFA"),
        ("year", 2024, "2024", "2024"),
        ("alive", True, "Oui", "Yes"),
        ("father", None, "–", "–"),
        ("commune", "Porto-Novo", "Porto-Novo", "Porto-Novo"),
        ("born_on", "1990-02-31", "1990-02-31", "1990-02-31"),
        ("month", "2026-13", "2026-13", "2026-13"),
        ("name", "2026-08", "2026-08", "2026-08"),
    ],
)
def test_values_are_written_for_people(name: str, value: Any, french: str, english: str) -> None:
    """Dates, amounts and words in the language; what isn't understood stays as the registry wrote it."""
    from django.utils.translation import override

    from portal.values import written

    with override("fr"):
        assert written(name, value).replace("\N{NARROW NO-BREAK SPACE}", SPACE) == french
    with override("en"):
        assert written(name, value) == english


def test_unknown_fields_are_readable() -> None:
    """A registry may add a field before the portal knows it."""
    from portal.labels import label

    assert label("blood_group") == "Blood group"
