"""The simulator's operations against X-Road's definitions, and the table that tells of them."""

from __future__ import annotations

import pytest
from tests.unit.xroad_simulator.definitions import ARE_MISSING, DIRECTORY, WHY_MISSING

from xroad_simulator import coverage

KINDS = tuple(coverage.DEFINITIONS)

pytestmark = pytest.mark.skipif(ARE_MISSING, reason=WHY_MISSING)


@pytest.mark.parametrize("kind", KINDS)
def test_every_operation_is_there_or_left_out_with_a_reason(kind: str) -> None:
    answered = coverage.answered(kind)
    missing = {
        operation.name for operation in coverage.defined(kind, DIRECTORY) if operation.place not in answered
    }
    assert missing == {name for server, name in coverage.NOT_DONE if server == kind}


@pytest.mark.parametrize("kind", KINDS)
def test_no_operation_is_there_that_x_road_does_not_have(kind: str) -> None:
    places = {operation.place for operation in coverage.defined(kind, DIRECTORY)}
    assert coverage.answered(kind) <= places


def test_the_readme_tells_of_the_operations_as_they_are() -> None:
    told = coverage.README.read_text(encoding="utf-8")
    assert told == coverage.current(DIRECTORY), (
        f"PYTHONPATH=tests/doubles scripts/bootstrap python -m xroad_simulator.coverage {DIRECTORY}"
    )
