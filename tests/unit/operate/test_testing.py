"""Which tests each layer takes."""

from __future__ import annotations

from itertools import combinations, pairwise

import pytest
from _pytest.mark.expression import Expression

from operate.testing import every_layer

KINDS = ("lab", "node", "engine", "long")


def taking(marks: set[str], *, drills: bool) -> list[str]:
    """The layers that take a test of these marks."""
    found = []
    for layer in every_layer(drills=drills):
        for command in layer.commands():
            if "pytest" in command:
                *_, chosen = (after for word, after in pairwise(command) if word == "-m")
                if Expression.compile(chosen).evaluate(lambda name, **_: name in marks):
                    found.append(layer.name)
    return found


@pytest.mark.parametrize("marks", [set(some) for number in range(5) for some in combinations(KINDS, number)])
def test_every_test_is_taken_by_one_layer_and_drills_on_demand(marks: set[str]) -> None:
    """None is forgotten, and none runs twice."""
    assert len(taking(marks, drills=False)) == 1
    assert taking(marks | {"drill"}, drills=False) == []
    assert taking(marks | {"drill"}, drills=True) == taking(marks, drills=False)
