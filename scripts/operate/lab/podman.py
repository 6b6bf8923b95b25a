"""Calling podman with the project's own settings, and reading what it answers."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from typing import Any

from operate.failure import Failure
from operate.locations import ROOT

_SETTINGS = ROOT / ".config" / "containers.conf"


class PodmanError(Exception):
    """Podman refused a command. The text is its own explanation."""

    def __init__(self, arguments: tuple[str, ...], explanation: str) -> None:
        super().__init__(explanation)
        self.arguments = arguments
        self.explanation = explanation


def podman(*arguments: str, timeout: float | None = None, variables: Mapping[str, str] | None = None) -> str:
    """Standard output of `podman ARGUMENTS`. PodmanError if it fails, Failure if there is no podman.

    `variables` go into the environment of podman, from where `--env NAME` takes them.
    """
    environment = {**os.environ, "CONTAINERS_CONF": str(_SETTINGS), **(variables or {})}
    try:
        result = subprocess.run(
            ["podman", *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=timeout,
        )
    except FileNotFoundError:
        raise Failure("podman isn't installed", next_step="apt-get install --yes podman") from None
    if result.returncode != 0:
        raise PodmanError(arguments, result.stderr.strip() or f"podman ended with {result.returncode}")
    return result.stdout


def listing(*arguments: str) -> list[dict[str, Any]]:
    """The objects that a podman command prints as a JSON array."""
    text = podman(*arguments).strip()
    return json.loads(text) or [] if text else []


def out_of_space(error: PodmanError) -> bool:
    """Whether the disk under the containers is full."""
    return "no space left on device" in error.explanation


def refused(error: PodmanError, doing: str) -> Failure:
    """The failure to report when podman refuses something that should work."""
    if out_of_space(error):
        return Failure(
            f"the disk is full while {doing}",
            details=error.explanation,
            next_step="df -h \"$(podman info --format '{{.Store.GraphRoot}}')\"   # make room, then try again",
        )
    return Failure(
        f"podman refused {doing}",
        details=error.explanation,
        next_step="podman info   # shows whether podman works at all",
    )
