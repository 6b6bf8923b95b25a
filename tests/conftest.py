"""How tests are spread over processes, and how long an example may take."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

# A test that measures time fails on a busy machine. Where Hypothesis sees a CI, its own profile says the same.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
if settings.get_current_profile_name() == "default":
    settings.load_profile("busy")


_BY_FILE = "tests/unit/stacks/federation"


class _TogetherInTheirOrder(LoadScopeScheduling):  # type: ignore[misc]
    """Keeps a folder's tests on one process: they share what its conftest starts for a session.

    Where each test starts its own, and takes its time, files go to whoever is free. By the marks that xdist has
    for this, nothing is kept together under pytest 9.2, and nothing says so.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        folder = file.rpartition("/")[0]
        return file if folder == _BY_FILE else folder


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """How tests are spread."""
    return _TogetherInTheirOrder(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with those that take minutes, so that none is left alone at the end."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show what tests record as `summary`: figures for people, also when all went well."""
    for report in (*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")):
        for name, text in report.user_properties:
            if name == "summary":
                terminalreporter.section(report.nodeid)
                terminalreporter.write(f"{text}")
