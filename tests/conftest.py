"""How tests are spread over processes, and how long an example may take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# A test that measures time fails on a busy machine. Where Hypothesis sees a CI, its own profile says the same.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
if settings.get_current_profile_name() == "default":
    settings.load_profile("busy")


_BY_FILE = Path(__file__).parent / "unit" / "stacks" / "federation"


# Before xdist's own hook, which reads the marks.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep a folder's tests together and in their order: they share what its conftest starts for a session.

    Where each test starts its own, and takes its time, files go to whoever is free. Those that take minutes
    begin, so that none is left alone at the end.
    """
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
    for item in items:
        together = item.path if item.path.parent == _BY_FILE else item.path.parent
        item.add_marker(pytest.mark.xdist_group(str(together)))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show what tests record as `summary`: figures for people, also when all went well."""
    for report in (*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")):
        for name, text in report.user_properties:
            if name == "summary":
                terminalreporter.section(report.nodeid)
                terminalreporter.write(f"{text}")
