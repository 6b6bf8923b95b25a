"""A lab that was killed in the middle of its first `up`, and raised by a second one."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from tests.integration.raised_lab import Lab

KEEP = "SMARTGOUV_KEEP_LAB"
"""Keeps the lab after the tests, for a person to look at."""


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """The lab, from nothing. Removed afterwards, whatever happens."""
    lab = Lab(os.environ.get("SMARTGOUV_TEST_LAB", "test"))
    lab.run("lab", "down", "--yes")
    try:
        status, printed = lab.end_in_the_middle("hardware", signal.SIGKILL)
        assert status == -signal.SIGKILL, printed[-3000:]
        lab.raised = lab.document("lab", "up")
        yield lab
    finally:
        if not os.environ.get(KEEP):
            lab.run("lab", "down", "--yes")
