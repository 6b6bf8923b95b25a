"""Sample records: invented, the same on every run, shaped like Benin's. No real person is in them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from sector_system.definition import Definition, Field

ROWS = 200

FAMILY_NAMES = (
    "Adjovi Agbodjan Ahouansou Akpovi Amoussou Assogba Ayivi Azon Bokossa Codjia Dansou Dossou Fassinou "
    "Gandonou Gbaguidi Hounkpatin Houessou Kiki Kouassi Lokossou Mensah Nouatin Orou Padonou Quenum Sossou "
    "Tchibozo Toko Vodounou Yessoufou Zannou Zinsou"
).split()
GIVEN_NAMES = (
    "Abdel Adjoua Afi Aïcha Akouavi Armand Bio Brice Chantal Clarisse Codjo Dossi Edwige Estelle Fifamè "
    "Florent Gaston Ghislaine Habib Irène Judicaël Kossi Lazare Mariam Nadège Olivier Pélagie Rachidatou "
    "Romuald Sèna Sabine Thierry Urbain Viviane Wilfried Yawa Zénabou"
).split()
COMMUNES = {
    "Alibori": ("Kandi", "Malanville", "Banikoara"),
    "Atacora": ("Natitingou", "Tanguiéta", "Kouandé"),
    "Atlantique": ("Abomey-Calavi", "Allada", "Ouidah"),
    "Borgou": ("Parakou", "Nikki", "Tchaourou"),
    "Collines": ("Dassa-Zoumè", "Savalou", "Savè"),
    "Couffo": ("Aplahoué", "Dogbo", "Klouékanmè"),
    "Donga": ("Djougou", "Bassila", "Ouaké"),
    "Littoral": ("Cotonou",),
    "Mono": ("Lokossa", "Grand-Popo", "Comè"),
    "Ouémé": ("Porto-Novo", "Sèmè-Podji", "Adjarra"),
    "Plateau": ("Pobè", "Kétou", "Sakété"),
    "Zou": ("Abomey", "Bohicon", "Covè"),
}
"""The twelve departments with some of their communes."""


def records(definition: Definition, rows: int = ROWS) -> Iterator[dict[str, Any]]:
    """`rows` records; the seed is the sector's name, so that every lab has the same."""
    generator = random.Random(definition.sector)  # noqa: S311 - sample data, not a secret
    for number in range(1, rows + 1):
        department = generator.choice(sorted(COMMUNES))
        commune = generator.choice(COMMUNES[department])
        place = {"department": department, "commune": commune}
        yield {field.name: _value(field, number, place, generator) for field in definition.fields}


def _value(field: Field, number: int, place: dict[str, str], generator: random.Random) -> Any:
    kind, *_ = field.sample
    argument = field.sample[kind]
    match kind:
        case "sequence":
            return argument.format(number=number)
        case "name":
            return generator.choice(FAMILY_NAMES if argument == "family" else GIVEN_NAMES)
        case "place":
            return place[argument]
        case "choice":
            return generator.choice(argument)
        case "between":
            low, high = argument
            if isinstance(low, date):
                return low + timedelta(days=generator.randrange((high - low).days))
            return generator.randrange(low, high, field.sample.get("step", 1))
    raise ValueError(f"field '{field.name}' has a sample of unknown kind '{kind}'")
