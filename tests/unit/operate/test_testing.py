"""Which tests each layer takes."""

from __future__ import annotations

from itertools import combinations

import pytest
from _pytest.mark.expression import Expression

from operate.testing import LAYERS

KINDS = ("lab", "node", "engine", "long")


def taking(marks: set[str], *, drills: bool) -> list[str]:
    """The layers that take a test of these marks."""
    found = []
    for layer in LAYERS:
        for command in layer.commands(drills):
            if "pytest" not in command:
                continue
            expression = Expression.compile(command[len(command) - 1 - command[::-1].index("-m") + 1])
            if expression.evaluate(lambda name, **_: name in marks):
                found.append(layer.name)
    return found


@pytest.mark.parametrize("marks", [set(some) for number in range(5) for some in combinations(KINDS, number)])
def test_every_test_is_taken_by_one_layer_and_drills_on_demand(marks: set[str]) -> None:
    """None is forgotten, and none runs twice."""
    assert len(taking(marks, drills=False)) == 1
    assert taking(marks | {"drill"}, drills=False) == []
    assert taking(marks | {"drill"}, drills=True) == taking(marks, drills=False)
