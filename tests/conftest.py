"""How tests are spread over processes."""

from __future__ import annotations

import pytest


# Before xdist's own hook, which reads the marks.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep a folder's tests together and in their order: they share what its conftest starts for a session."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(str(item.path.parent)))
