"""A lab lies where nothing else of the machine lies."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from operate.failure import Failure
from operate.lab.ranges import choose

PREFERRED = IPv4Network("10.80.0.0/16")


def networks(*texts: str) -> list[IPv4Network]:
    """Networks from their texts."""
    return [IPv4Network(text) for text in texts]


@pytest.mark.parametrize(
    ("taken", "chosen"),
    [
        ([], "10.80.0.0/16"),
        (["192.0.2.0/24"], "10.80.0.0/16"),
        (["10.80.10.0/24"], "10.81.0.0/16"),
        (["10.80.10.0/24", "10.81.255.0/30", "10.82.0.0/16"], "10.83.0.0/16"),
    ],
)
def test_takes_the_first_free_range(taken: list[str], chosen: str) -> None:
    """From the site's own range upward."""
    assert choose(PREFERRED, networks(*taken)) == IPv4Network(chosen)


def test_says_so_when_nothing_is_free() -> None:
    """A route to all private addresses leaves no room."""
    with pytest.raises(Failure, match="no free address range"):
        choose(PREFERRED, networks("10.0.0.0/8"))
