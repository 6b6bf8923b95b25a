"""Loading Ansible's own kind of source files, which belong to no package."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]


def loaded(path: str) -> ModuleType:
    """The module in a file, named from the repository's top folder."""
    source = ROOT / path
    # Plugins of several kinds may have one name.
    specification = importlib.util.spec_from_file_location(f"{source.parent.name}_{source.stem}", source)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    # Data classes look their module up by its name.
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    return module
