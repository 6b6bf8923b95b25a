"""Estates to test with: the lab's, varied in ways that keep it valid."""

from __future__ import annotations

from functools import cache
from ipaddress import IPv4Network
from typing import Any

from hypothesis import strategies as st

from estate import Estate, load
from estate.site import Overlay

Data = dict[str, Any]


@cache
def lab() -> Estate:
    """The lab's estate."""
    return load("lab")


@cache
def production() -> Estate:
    """The production template's estate."""
    return load("production")


@st.composite
def estates(draw: st.DrawFn) -> Estate:
    """A valid estate: a site of this repository, a lab moved elsewhere, with some of its workers."""
    if draw(st.booleans()):
        return production()
    third = draw(st.integers(min_value=0, max_value=255))
    moved = lab().with_overlay(Overlay(network=IPv4Network(f"10.{third}.0.0/16")))
    data = moved.model_dump()
    workers = [host["name"] for host in data["hosts"] if "kubernetes_worker" in host["roles"]]
    dropped = draw(st.sets(st.sampled_from(workers), max_size=len(workers) - 1))
    data["hosts"] = [host for host in data["hosts"] if host["name"] not in dropped]
    data["sectors"] = draw(st.permutations(data["sectors"]))
    data["hosts"] = draw(st.permutations(data["hosts"]))
    return Estate.model_validate(data)
