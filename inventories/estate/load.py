"""Reads a site's files into an Estate. The only module of this package that touches the disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from estate.checks import check
from estate.model import Estate
from estate.problems import EstateError, Location, Problem
from estate.site import Overlay

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML without libyaml is slower, and reads the same
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

SITES = Path(__file__).resolve().parents[1]
"""The folder that holds one folder a site."""

FILE_TAG = "!file"
"""Marks a value that is the content of a file: `!file portal.crt`, from the folder of the site."""

OVERLAY_VARIABLE = "SMARTGOUV_OVERLAY"
"""Names the overlay file of a deployment, such as a lab's."""

SECRETS_VARIABLE = "SMARTGOUV_SECRETS"
"""Names the directory of secret files of a deployment."""


@dataclass
class _Source:
    """Data of one or more YAML files, with the place of each key and item."""

    data: dict[str, Any] = field(default_factory=dict)
    places: dict[Location, tuple[Path, int]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def place(self, location: Location) -> tuple[Path, int]:
        """File and line of `location`, or of the nearest thing around it."""
        for end in range(len(location), 0, -1):
            if (found := self.places.get(location[:end])) is not None:
                return found
        return (Path(), 0)

    def value(self, location: Location) -> Any:
        """The value at `location`; None where there is none."""
        value: Any = self.data
        for key in location:
            try:
                value = value[key]
            except (KeyError, IndexError, TypeError):
                return None
        return value


def sites() -> list[str]:
    """Names of the sites in this repository."""
    return sorted(path.parent.name for path in SITES.glob("*/site.yml"))


def load(site: str | Path, overlay: Path | None = None) -> Estate:
    """Read, check and return the estate of a site.

    `site` is a name under `inventories/` or a folder. `overlay` is the file of a deployment; without it
    the one that $SMARTGOUV_OVERLAY names is used, if any. Raises EstateError with every problem found:
    file, line, value, sentence.
    """
    folder = Path(site) if isinstance(site, Path) or os.sep in str(site) else SITES / site
    files = sorted(folder.glob("*.yml")) if folder.is_dir() else []
    if not (folder / "site.yml").is_file():
        known = ", ".join(sites())
        raise EstateError([Problem(folder, 0, str(site), f"no such site; there are: {known}")])
    source = _Source()
    for path in files:
        _read(path, source)
    if source.problems:
        raise EstateError(source.problems)
    try:
        estate = Estate.model_validate(source.data)
    except ValidationError as error:
        raise EstateError(list(_from_pydantic(error, source))) from None
    if problems := [
        Problem(*source.place(finding.location), _shown(source.value(finding.location)), finding.message)
        for finding in check(estate)
    ]:
        raise EstateError(problems)
    if overlay is None and (name := os.environ.get(OVERLAY_VARIABLE)):
        overlay = Path(name)
    return estate if overlay is None else estate.with_overlay(load_overlay(overlay))


def load_overlay(path: Path) -> Overlay:
    """Read a deployment's overlay file; EstateError if it is missing or wrong."""
    if not path.is_file():
        raise EstateError([Problem(path, 0, "", "the overlay file is missing")])
    source = _Source()
    _read(path, source)
    if source.problems:
        raise EstateError(source.problems)
    try:
        return Overlay.model_validate(source.data)
    except ValidationError as error:
        raise EstateError(list(_from_pydantic(error, source))) from None


def load_secret(name: str) -> str:
    """The value of a secret from the directory that $SMARTGOUV_SECRETS names.

    LookupError, naming the secret, its file and the next command, if it can't be read.
    """
    directory = os.environ.get(SECRETS_VARIABLE)
    if not directory:
        raise LookupError(f"secret '{name}': set {SECRETS_VARIABLE} to the directory of secret files")
    path = Path(directory) / name
    try:
        return path.read_text(encoding="utf-8").rstrip("\n")
    except OSError as error:
        raise LookupError(
            f"secret '{name}' can't be read from {path} ({error.strerror}); "
            "`smartgouv secrets generate SITE` makes the missing ones"
        ) from None


def _read(path: Path, source: _Source) -> None:
    """Add one file's top-level keys to `source`; a key that another file has is a problem."""
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=_Loader)
    except UnicodeDecodeError as error:
        source.problems.append(Problem(path, 0, "", f"not UTF-8 text: {error.reason}"))
        return
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        source.problems.append(Problem(path, line, "", f"not YAML: {error.problem}"))
        return
    if root is None:
        return
    if not isinstance(root, yaml.MappingNode):
        source.problems.append(Problem(path, 1, "", "the file must be a mapping of topics"))
        return
    constructor = yaml.SafeLoader("")
    earlier = {key: source.place((key,))[0].name for key in source.data}
    for key, value in _entries(path, root, source, ()):
        if key in earlier:
            line = source.place((key,))[1]
            source.problems.append(Problem(path, line, key, f"'{key}' stands in {earlier[key]} already"))
            continue
        source.data[key] = _plain(path, value, source, (key,), constructor)


def _entries(
    path: Path, node: yaml.MappingNode, source: _Source, location: Location
) -> Iterator[tuple[str, yaml.Node]]:
    """Key and value nodes of a mapping; a repeated key is a problem."""
    seen: set[str] = set()
    for key, value in node.value:
        name = str(key.value)
        line = key.start_mark.line + 1
        if name in seen:
            source.problems.append(Problem(path, line, name, f"'{name}' stands twice"))
            continue
        seen.add(name)
        source.places[(*location, name)] = (path, line)
        yield name, value


def _plain(
    path: Path, node: yaml.Node, source: _Source, location: Location, constructor: yaml.SafeLoader
) -> Any:
    """Data of a node, noting the line of every key and item below it."""
    if isinstance(node, yaml.MappingNode):
        return {
            name: _plain(path, value, source, (*location, name), constructor)
            for name, value in _entries(path, node, source, location)
        }
    if isinstance(node, yaml.SequenceNode):
        items = []
        for index, item in enumerate(node.value):
            source.places[(*location, index)] = (path, item.start_mark.line + 1)
            items.append(_plain(path, item, source, (*location, index), constructor))
        return items
    if node.tag == FILE_TAG:
        return _file(path, node, source)
    try:
        return constructor.construct_object(node, deep=True)
    except (yaml.YAMLError, ValueError) as error:
        source.problems.append(Problem(path, node.start_mark.line + 1, str(node.value), str(error)))
        return None


def _file(path: Path, node: yaml.Node, source: _Source) -> str | None:
    """The text of a file beside the site's data; it may not lie elsewhere."""
    name = str(node.value)
    file = path.parent / name
    message = "lies outside the site's folder"
    if file.resolve().is_relative_to(path.parent.resolve()):
        try:
            return file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            message = "isn't UTF-8 text"
        except OSError as error:
            message = f"can't be read: {error.strerror}"
    source.problems.append(Problem(path, node.start_mark.line + 1, name, f"the file {message}"))
    return None


def _from_pydantic(error: ValidationError, source: _Source) -> Iterator[Problem]:
    details = error.errors(include_url=False)
    for detail in details:
        location: Location = tuple(detail["loc"])
        below = (other["loc"] for other in details if other is not detail)
        if detail["type"] == "too_short" and any(place[: len(location)] == location for place in below):
            # A list whose items are wrong counts as empty: what is wrong with them is told.
            continue
        message = detail["msg"]
        if detail["type"] == "extra_forbidden":
            message = f"unknown key '{location[-1]}'"
        elif detail["type"] == "missing":
            message = f"'{location[-1]}' is missing"
        yield Problem(*source.place(location), _shown(source.value(location)), message)


def _shown(value: Any) -> str:
    """A value short enough for a message; containers aren't repeated."""
    if value is None or isinstance(value, dict | list):
        return ""
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "…"
