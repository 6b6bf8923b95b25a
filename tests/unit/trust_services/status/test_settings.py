"""A wrong setting is told with file, key and value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trust_services.refusal import Refusal
from trust_services.status import settings


def document() -> dict[str, Any]:
    """The example of the module's documentation."""
    text = (settings.__doc__ or "").split("\n\n")[1]
    found: dict[str, Any] = json.loads(text)
    return found


def test_the_documented_example_is_right(tmp_path: Path) -> None:
    (tmp_path / "status.json").write_text(json.dumps(document()))

    read = settings.read(tmp_path / "status.json")

    assert read.place("trust", "crl") == Path("/var/lib/trust-status/trust.crl")
    assert read.budget.total_seconds() == 3600


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        (("listen", "port"), 99_999, r"listen\.port: .*99999"),
        (("listen", "address"), "myhost", r"listen\.address: .*'myhost'"),
        (("listen", "adress"), "::", r"listen\.adress: Extra inputs"),
        (("workers",), 0, r"workers: .*is: 0"),
        (("folder",), "relative", r"folder: .*begin with / \(is: 'relative'\)"),
        (("freshness_seconds",), 5, r"freshness_seconds: .*is: 5"),
        (("authorities",), [], r"authorities: "),
        (("authorities", 0, "name"), "../etc", r"authorities\.0\.name: .*'\.\./etc'"),
        (("authorities", 0, "publishes"), ["keys"], r"authorities\.0\.publishes\.0: .*'keys'"),
        (("authorities", 0, "publishes"), [], r"authorities\.0\.publishes: "),
        (("source", "url"), "http://ca.internal", r"source\.url: .*https.*'http://ca\.internal'"),
        (("source", "url"), "https://user:word@ca", r"source\.url: "),
        (("source", "url"), "https://ca:x", r"source\.url: "),
        (("source", "key"), None, r"source: .*go together"),
        (("source", "longest_pause_seconds"), 600, r"source\.longest_pause_seconds: .*600"),
    ],
)
def test_wrong_values_are_named(tmp_path: Path, key: tuple[Any, ...], value: Any, words: str) -> None:
    wrong: Any = document()
    place = wrong
    for part in key[:-1]:
        place = place[part]
    place[key[-1]] = value
    (tmp_path / "status.json").write_text(json.dumps(wrong))

    with pytest.raises(Refusal, match=rf"status\.json: {words}"):
        settings.read(tmp_path / "status.json")


def test_two_authorities_of_one_name_are_refused(tmp_path: Path) -> None:
    wrong = document()
    wrong["authorities"] *= 2
    (tmp_path / "status.json").write_text(json.dumps(wrong))

    with pytest.raises(Refusal, match="two authorities are named trust"):
        settings.read(tmp_path / "status.json")


def test_a_file_that_isnt_json_or_isnt_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "status.json").write_text("{")

    with pytest.raises(Refusal, match=r"status\.json: the whole file: Invalid JSON"):
        settings.read(tmp_path / "status.json")
    with pytest.raises(Refusal, match=r"none\.json can't be read: No such file"):
        settings.read(tmp_path / "none.json")
