"""Which steps between versions of X-Road are taken."""

from __future__ import annotations

import itertools

import pytest

from estate.xroad_versions import PATH, RefusedStepError, oldest_beside, refuse_before_central, step


@pytest.mark.parametrize(
    ("installed", "wanted", "kind", "told"),
    [
        ("", "7.8.0", "install", "X-Road 7.8.0 is installed"),
        ("7.8.0-1.ubuntu24.04", "7.8.0", "none", "X-Road 7.8.0 is installed already"),
        ("7.7.1-1.ubuntu24.04", "7.8.0", "upgrade", "X-Road 7.7.1 is upgraded to 7.8.0"),
        ("7.7.0-1.ubuntu22.04", "7.7.1", "upgrade", "X-Road 7.7.0 is upgraded to 7.7.1"),
    ],
)
def test_a_step_is_told(installed: str, wanted: str, kind: str, told: str) -> None:
    assert step(installed, wanted) == (kind, told)


@pytest.mark.parametrize(
    ("installed", "wanted", "why"),
    [
        ("7.6.3-1.ubuntu22.04", "7.8.0", "jumps over a minor. Next: set version to 7.7.x"),
        ("7.4.2-1.ubuntu22.04", "7.8.0", "jumps over a minor. Next: set version to 7.6.x by hand"),
        ("7.8.0-1.ubuntu24.04", "7.7.1", "its database can't go back"),
        ("7.7.1-1.ubuntu24.04", "7.7.0", "its database can't go back"),
        ("", "7.9.0", "X-Road 7.9.0 isn't known here"),
    ],
)
def test_a_jump_and_a_step_back_are_refused(installed: str, wanted: str, why: str) -> None:
    with pytest.raises(RefusedStepError, match=why.replace(".", r"\.")):
        step(installed, wanted)


@pytest.mark.parametrize(
    ("central", "why"),
    [("7.7.1", "Next: upgrade the central server first"), ("", "the central server isn't installed yet")],
)
def test_a_security_server_does_not_come_before_its_central_server(central: str, why: str) -> None:
    with pytest.raises(RefusedStepError, match=why):
        refuse_before_central(central, "7.8.0")


def test_a_security_server_may_be_older_than_its_central_server() -> None:
    refuse_before_central("7.8.0", "7.7.1")


def test_each_minor_is_reached_from_the_one_before_it_alone() -> None:
    for before, after in itertools.pairwise(PATH):
        assert step(f"{before}.0", f"{after}.0").kind == "upgrade"
        assert oldest_beside(f"{after}.0") == f"{before}.0"
