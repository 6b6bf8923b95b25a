"""X-Road's `local.ini`: what it holds, what it is to hold, and how that is written."""

from __future__ import annotations

import configparser
from collections.abc import Mapping, Sequence
from typing import Any

Sections = dict[str, dict[str, str]]


def read(text: str) -> Sections:
    """Sections of an INI file. A repeated section or name counts as its last; nothing is interpolated."""
    parser = configparser.RawConfigParser(strict=False, delimiters=("=",), comment_prefixes=(";", "#"))
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(text)
    return {section: dict(parser.items(section)) for section in parser.sections()}


def merged(settings: Mapping[str, Mapping[str, Any]], present: Sections, keeps: Sequence[str]) -> Sections:
    """What the file is to hold."""
    wanted: Sections = {
        section: {name: str(value) for name, value in values.items()} for section, values in settings.items()
    }
    for place in keeps:
        section, _, name = place.partition("/")
        if name in present.get(section, {}) and name not in wanted.get(section, {}):
            wanted.setdefault(section, {})[name] = present[section][name]
    return wanted


def written(sections: Sections) -> str:
    """The file's text."""
    lines = ["; Ansible managed: change the estate instead."]
    for section in sorted(sections):
        lines += [
            "",
            f"[{section}]",
            *(f"{name} = {value}" for name, value in sorted(sections[section].items())),
        ]
    return "\n".join(lines) + "\n"


def differing(before: Sections, after: Sections) -> list[str]:
    """Names of parameters that aren't the same, as `section/name`."""
    flat = [
        {f"{section}/{name}": value for section, values in found.items() for name, value in values.items()}
        for found in (before, after)
    ]
    return sorted(place for place in {*flat[0], *flat[1]} if flat[0].get(place) != flat[1].get(place))
