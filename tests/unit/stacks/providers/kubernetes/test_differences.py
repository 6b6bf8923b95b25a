"""Paths name what differs, the way the engine writes them."""

from __future__ import annotations

from typing import Any

import pytest

from stacks.providers.kubernetes.differences import contains, differences


@pytest.mark.parametrize(
    ("old", "new", "paths"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, ["a.b"]),
        ({"a": [{"b": 1}, 2]}, {"a": [{"b": 3}, 2]}, ["a[0].b"]),
        ({"a": [1]}, {"a": [1, 2]}, ["a"]),
        ({"a": 1}, {}, ["a"]),
        ({}, {"x.y/z": 1}, ['["x.y/z"]']),
    ],
)
def test_differences(old: Any, new: Any, paths: list[str]) -> None:
    assert list(differences(old, new)) == paths


def test_contains_looks_everywhere() -> None:
    assert contains({"a": [{"b": "needle"}]}, "needle")
    assert not contains({"needle": "hay"}, "needle")
