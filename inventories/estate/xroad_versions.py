"""Which versions of X-Road this project installs, and from which each may be reached.

X-Road's packages refuse what is older than two minors (LAST_SUPPORTED_VERSION in src/packages/build-deb.sh of
each tag). Here a server goes one minor at a time, so that no migration of a database is skipped.
The central server goes first: it generates the global configuration in all versions that older security servers
read (doc/Protocols/pr-gconf), while a newer one may ask for what an older central server doesn't have.
"""

from __future__ import annotations

import re
from typing import NamedTuple

PATH = ("7.6", "7.7", "7.8")
"""Minors in the order in which they are reached, each from the one before it."""

_NUMBERS = re.compile(r"(\d+)\.(\d+)\.(\d+)")
Numbers = tuple[int, int, int]


class RefusedStepError(ValueError):
    """A step between versions that isn't taken; says why and what to do instead."""


class Step(NamedTuple):
    """What the installation of a version means for a server."""

    kind: str
    """`none`, `install` or `upgrade`."""
    told: str
    """The step in words."""


def numbers(version: str) -> Numbers:
    """Major, minor and patch of a version or a package's version (`7.8.0-1.ubuntu24.04`); else ValueError."""
    found = _NUMBERS.match(version)
    if found is None:
        raise ValueError(f"'{version}' isn't MAJOR.MINOR.PATCH")
    return int(found[1]), int(found[2]), int(found[3])


def minor(version: str) -> str:
    """`7.8` of `7.8.0`."""
    return ".".join(str(number) for number in numbers(version)[:2])


def is_known(version: str) -> bool:
    """Whether this project installs that version."""
    return minor(version) in PATH


def oldest_beside(version: str) -> str:
    """The oldest version that works beside `version` during an upgrade: the minor before it, or itself."""
    at = PATH.index(minor(version))
    return f"{PATH[max(0, at - 1)]}.0"


def step(installed: str, wanted: str) -> Step:
    """What leads from the installed version (empty: none) to the wanted one; else RefusedStepError."""
    if not is_known(wanted):
        raise RefusedStepError(f"X-Road {wanted} isn't known here, only {', '.join(PATH)}")
    if not installed:
        return Step("install", f"X-Road {wanted} is installed")
    before, after = numbers(installed), numbers(wanted)
    shown = ".".join(map(str, before))
    if before == after:
        return Step("none", f"X-Road {shown} is installed already")
    if before > after:
        raise RefusedStepError(
            f"X-Road {shown} is installed and {wanted} wanted: its database can't go back. "
            f"Next: set version to {shown}, or restore a backup of {wanted} on a new host"
        )
    if minor(installed) == minor(wanted):
        return Step("upgrade", f"X-Road {shown} is upgraded to {wanted}")
    previous = _previous(wanted)
    if minor(installed) != previous:
        raise RefusedStepError(
            f"X-Road {shown} is installed and {wanted} wanted: that jumps over a minor. "
            f"Next: set version to {_next(installed)}, apply, then go on ({' → '.join(PATH)})"
        )
    return Step("upgrade", f"X-Road {shown} is upgraded to {wanted}")


def refuse_before_central(central: str, wanted: str) -> None:
    """RefusedStepError if a security server would be of a later minor than its central server (empty: none)."""
    if not central:
        raise RefusedStepError("the central server isn't installed yet. Next: apply it first")
    if numbers(central)[:2] < numbers(wanted)[:2]:
        raise RefusedStepError(
            f"the central server has X-Road {'.'.join(map(str, numbers(central)))} and a security server can't "
            f"have the newer {wanted}. Next: upgrade the central server first"
        )


def refuse_backup(made: str, wanted: str) -> None:
    """RefusedStepError if a backup of a server of version `made` can't be taken back by one of `wanted`.

    X-Road's restoration brings an older database up to date (`restore_db.sh` runs its migrations) and has no
    way back from a newer one. What isn't upgraded over a minor isn't restored over one.
    """
    before, after = numbers(made), numbers(wanted)
    if before > after:
        raise RefusedStepError(
            f"the backup is of X-Road {made}, and {wanted} can't read a newer one's database. "
            f"Next: set version to {made}, apply the stage exchange, then restore"
        )
    if minor(made) not in (minor(wanted), _previous(wanted)):
        raise RefusedStepError(
            f"the backup is of X-Road {made}, too old for {wanted}. Next: set version to {made}, apply the "
            f"stage exchange, restore, then upgrade one minor at a time ({' → '.join(PATH)})"
        )


def _previous(version: str) -> str:
    at = PATH.index(minor(version))
    return PATH[at - 1] if at else ""


def _next(installed: str) -> str:
    """The version to go to from a minor that isn't the one before the wanted one."""
    found = minor(installed)
    if found in PATH:
        return f"{PATH[PATH.index(found) + 1]}.x"
    return f"{PATH[0]}.x by hand, as X-Road's own manual of that version says"
