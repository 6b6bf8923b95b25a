"""A sector's records: their fields, their identifier, and how sample values look."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from typing import Any, Literal

import yaml

FieldType = Literal["string", "date", "integer"]
_SCHEMAS: dict[str, dict[str, str]] = {
    "string": {"type": "string"},
    "date": {"type": "string", "format": "date"},
    "integer": {"type": "integer"},
}
_COLUMNS: dict[str, str] = {"string": "text", "date": "date", "integer": "bigint"}


@dataclass(frozen=True)
class Text:
    """A text in both languages."""

    fr: str
    en: str


@dataclass(frozen=True)
class Field:
    """A field of a record; `sample` says how the sample data fills it."""

    name: str
    type: FieldType
    title: Text
    sample: dict[str, Any]

    @property
    def column(self) -> str:
        """PostgreSQL's type for it."""
        return _COLUMNS[self.type]

    @property
    def schema(self) -> dict[str, str]:
        """Its JSON Schema, titled in French and described in English."""
        return {**_SCHEMAS[self.type], "title": self.title.fr, "description": self.title.en}


@dataclass(frozen=True)
class Definition:
    """The records of one sector."""

    sector: str
    title: Text
    collection: str
    identifier: str
    """The field that names a record; its values are unique."""
    fields: tuple[Field, ...]

    @property
    def table(self) -> str:
        """The collection as a table's name."""
        return self.collection.replace("-", "_")

    def plain(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row as JSON values: dates as ISO 8601."""
        return {name: value.isoformat() if isinstance(value, date) else value for name, value in row.items()}


def sectors() -> list[str]:
    """Sectors that have a definition."""
    folder = files(__package__).joinpath("sectors")
    return sorted(item.name.removesuffix(".yml") for item in folder.iterdir() if item.name.endswith(".yml"))


def load(sector: str) -> Definition:
    """The definition of a sector; SystemExit naming the known ones if there is none."""
    if sector not in sectors():
        raise SystemExit(f"there's no sector '{sector}'; there are: {', '.join(sectors())}")
    text = files(__package__).joinpath("sectors", f"{sector}.yml").read_text(encoding="utf-8")
    data = yaml.safe_load(text)
    fields = tuple(
        Field(name, field["type"], Text(**field["title"]), field["sample"])
        for name, field in data["fields"].items()
    )
    return Definition(sector, Text(**data["title"]), data["collection"], data["identifier"], fields)
