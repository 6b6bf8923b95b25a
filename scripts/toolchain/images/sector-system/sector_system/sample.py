"""Sample records: invented, the same on every run, shaped like Benin's. No real person is in them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sector_system.definition import Definition, Field

ROWS = 200

FAMILY_NAMES = (
    "Adjovi Agbodjan Ahouansou Akpovi Amoussou Assogba Ayivi Azon Bokossa Codjia Dansou Dossou Fassinou "
    "Gandonou Gbaguidi Hounkpatin Houessou Kiki Kouassi Lokossou Mensah Nouatin Orou Padonou Quenum Sossou "
    "Tchibozo Toko Vodounou Yessoufou Zannou Zinsou"
).split()
GIVEN_NAMES = {
    "F": (
        "Adjoua Afi Aïcha Akouavi Chantal Clarisse Edwige Estelle Fifamè Ghislaine Irène Mariam Nadège "
        "Pélagie Rachidatou Sabine Viviane Yawa Zénabou"
    ).split(),
    "M": (
        "Abdel Armand Bio Brice Codjo Dossi Florent Gaston Habib Judicaël Kossi Lazare Olivier Romuald Sèna "
        "Thierry Urbain Wilfried"
    ).split(),
}
COMPANIES = ("Établissements {}", "{} et Fils SARL", "{} BTP SA", "Groupe {} Services", "Imprimerie {}")
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


@dataclass(frozen=True)
class _Background:
    """What the fields of one record have in common: a person with parents, and a place."""

    person: dict[str, str]
    place: dict[str, str]


def records(definition: Definition, rows: int = ROWS) -> Iterator[dict[str, Any]]:
    """`rows` records; the seed is the sector's name, so that every lab has the same."""
    generator = random.Random(definition.sector)  # noqa: S311 - sample data, not a secret
    for number in range(1, rows + 1):
        background = _Background(_person(generator), _place(generator))
        record: dict[str, Any] = {}
        for field in definition.fields:
            record[field.name] = _value(field, number, record, background, generator)
        yield record


def _person(generator: random.Random) -> dict[str, str]:
    sex = generator.choice("FM")
    family, mother = generator.sample(FAMILY_NAMES, 2)
    return {
        "sex": sex,
        "family": family,
        "given": generator.choice(GIVEN_NAMES[sex]),
        "mother": f"{mother} {generator.choice(GIVEN_NAMES['F'])}",
        "father": f"{family} {generator.choice(GIVEN_NAMES['M'])}",
    }


def _place(generator: random.Random) -> dict[str, str]:
    department = generator.choice(sorted(COMMUNES))
    return {"department": department, "commune": generator.choice(COMMUNES[department])}


def _value(
    field: Field, number: int, record: dict[str, Any], background: _Background, generator: random.Random
) -> Any:
    """A value as the field's `sample` describes it; `after` and `share` look at earlier fields."""
    ((kind, argument),) = field.sample.items()
    match kind:
        case "sequence":
            return argument.format(number=number)
        case "person":
            return background.person[argument]
        case "place":
            return background.place[argument]
        case "company":
            return generator.choice(COMPANIES).format(background.person["family"])
        case "choice":
            return generator.choice(argument)
        case "days":
            first, last = argument
            return first + timedelta(days=generator.randrange((last - first).days))
        case "numbers":
            first, beyond, step = argument
            return generator.randrange(first, beyond, step)
        case "after":
            earlier: date = record[argument["field"]]
            return earlier + timedelta(days=generator.randint(*argument["days"]))
        case "share":
            return record[argument["field"]] * generator.randint(*argument["percent"]) // 100
    raise ValueError(f"field '{field.name}' has a sample of unknown kind '{kind}'")
