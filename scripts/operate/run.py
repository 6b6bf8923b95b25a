"""What the stages of one run share, and what each of them reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from estate import Estate
from operate import toolchain
from operate.ledger import origin
from operate.playbooks import HostCounts
from operate.reporting import Report
from operate.toolchain import Toolchain
from operate.workspace import Workspace


@dataclass
class Run:
    """One run over a site."""

    workspace: Workspace
    estate: Estate
    report: Report
    lock: int | None = None
    """Descriptor of the workspace's lock, for programs that outlive a killed run."""
    continuation: str = ""
    """The command that finishes this run after a failure; empty for an apply from the stage that failed."""
    allow_prune: bool = False
    """Whether members may leave and rights be taken away, as somebody asked in so many words."""
    hosts: Sequence[str] = ()
    """Hosts to which playbooks are limited; all where none is named. Programs and proofs stay whole."""
    measured: dict[str, Any] = field(default_factory=dict)
    """Figures that stages leave for the run's record."""
    settled: set[str] = field(default_factory=set)
    """Programs of which this run has seen that nothing is left to do."""

    @cached_property
    def toolchain(self) -> Toolchain:
        """The tool chain, built where it is missing. Looked at once a run."""
        return toolchain.ensure(self.report)

    def record(self, stage: str, **facts: Any) -> None:
        """Enter in the ledger how a stage, or a command of its own, went."""
        self.workspace.ledger.append(
            {**origin(), "site": self.workspace.site, "lab": self.workspace.lab, "stage": stage, **facts}
        )


@dataclass(frozen=True)
class Outcome:
    """What a stage did, or would do."""

    text: str
    changed: int = 0
    hosts: dict[str, HostCounts] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    """What the ledger keeps beside the counts."""
