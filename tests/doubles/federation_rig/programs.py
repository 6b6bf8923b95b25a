"""Where tests find the tool chain's programs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest


def program(name: str) -> Path:
    """A program of the tool chain: `$SMARTGOUV_<NAME>`, PATH, or the cache. Skips the test without it."""
    variable = f"SMARTGOUV_{name.replace('-', '_').upper()}"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "smartgouv/bin"
    found = os.environ.get(variable) or shutil.which(
        name, path=os.pathsep.join([os.environ["PATH"], str(cache)])
    )
    if found is None:
        pytest.skip(f"no {name}: the tool chain isn't built; or set {variable}")
    return Path(found)
