"""What the stages of one run share, and what each of them reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from estate import Estate
from operate.playbooks import HostCounts
from operate.reporting import Report
from operate.workspace import Workspace


@dataclass
class Run:
    """One run over a site."""

    workspace: Workspace
    estate: Estate
    report: Report
    lock: int | None = None
    """Descriptor of the workspace's lock, for programs that outlive a killed run."""
    measured: dict[str, Any] = field(default_factory=dict)
    """Figures that stages leave for the run's record."""


@dataclass(frozen=True)
class Outcome:
    """What a stage did, or would do."""

    text: str
    changed: int = 0
    hosts: dict[str, HostCounts] = field(default_factory=dict)
