"""Where the project, its caches and the state of its deployments lie."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The project's top folder."""


def cache_home() -> Path:
    """What can be rebuilt: environments, tool chain, images. Safe to delete."""
    return _home("XDG_CACHE_HOME", ".cache")


def state_home() -> Path:
    """What can't be rebuilt: keys, secrets, stack states and ledgers of deployments."""
    return _home("XDG_STATE_HOME", ".local/state")


def lab_directory(name: str) -> Path:
    """The state of the lab called `name`."""
    return state_home() / "labs" / name


def site_directory(site: str) -> Path:
    """What this machine keeps about a site that isn't a lab."""
    return state_home() / "sites" / site


def _home(variable: str, default: str) -> Path:
    configured = os.environ.get(variable, "")
    # The XDG specification has relative paths ignored.
    base = Path(configured) if configured.startswith("/") else Path.home() / default
    return base / "smartgouv"
