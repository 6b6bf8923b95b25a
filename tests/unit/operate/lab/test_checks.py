"""What is said of a machine that can't carry a lab."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from operate.failure import Failure
from operate.lab import checks, ranges
from operate.lab.checks import Check

NETWORK = IPv4Network("10.80.0.0/16")


def test_every_finding_comes_at_once_with_its_remedy() -> None:
    """One round of mending is enough."""
    found = [
        Check("cores", ok=True, found="2"),
        Check("memory", ok=False, found="3 GiB", fix="free memory"),
        Check("podman", ok=False, found="not installed", fix="install podman"),
    ]

    with pytest.raises(Failure) as caught:
        checks.refuse(found, "scripts/lab up")

    assert "lacks 2 of 3 things" in caught.value.message
    assert caught.value.details.splitlines() == ["memory: 3 GiB", "podman: not installed"]
    assert caught.value.next_step.splitlines() == ["free memory", "install podman", "scripts/lab up"]


def test_a_fit_machine_is_not_refused() -> None:
    """Nothing is said where nothing is missing."""
    checks.refuse([Check("cores", ok=True, found="2")], "scripts/lab up")


def test_the_range_of_the_lab_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another network's range is stepped over."""
    monkeypatch.setattr(ranges, "taken_by_others", lambda _: [IPv4Network("10.80.3.0/24")])

    found = checks.addresses(NETWORK, "lab")

    assert (found.ok, found.found.split()[0]) == (True, "10.81.0.0/16")


def test_a_machine_without_a_free_range_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what is in the way and what to look at."""
    monkeypatch.setattr(ranges, "taken_by_others", lambda _: [IPv4Network("10.0.0.0/8")])

    found = checks.addresses(NETWORK, "lab")

    assert not found.ok
    assert "10.0.0.0/8" in found.found
    assert "podman network ls" in found.fix
