"""The simulator's operations against X-Road's definitions, and the table that tells of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from xroad_simulator import coverage

ROOT = Path(__file__).parents[2]
DEFINITIONS = Path(os.environ.get("SMARTGOUV_SHARED", ROOT.parent / "shared"), "xroad-api/src")
KINDS = tuple(coverage.DEFINITIONS)

pytestmark = pytest.mark.skipif(
    not DEFINITIONS.is_dir(),
    reason="X-Road's OpenAPI definitions aren't there (SMARTGOUV_SHARED names their directory)",
)


@pytest.mark.parametrize("kind", KINDS)
def test_every_operation_is_there_or_left_out_with_a_reason(kind: str) -> None:
    answered = coverage.answered(kind)
    missing = {
        operation.name for operation in coverage.defined(kind, DEFINITIONS) if operation.place not in answered
    }
    assert missing == {name for server, name in coverage.NOT_DONE if server == kind}


@pytest.mark.parametrize("kind", KINDS)
def test_no_operation_is_there_that_x_road_does_not_have(kind: str) -> None:
    places = {operation.place for operation in coverage.defined(kind, DEFINITIONS)}
    assert coverage.answered(kind) <= places


def test_the_readme_tells_of_the_operations_as_they_are() -> None:
    told = coverage.README.read_text(encoding="utf-8")
    assert told == coverage.current(DEFINITIONS), (
        f"PYTHONPATH=tests/doubles scripts/bootstrap python -m xroad_simulator.coverage {DEFINITIONS}"
    )
