"""The Pulumi programs of a site, as stages and people run them: the federation's asks for agreement first."""

from __future__ import annotations

from operate import federation, pulumi_stack
from operate.pulumi_stack import destroy, prove_settled, refresh, require_known
from operate.run import Outcome, Run

__all__ = ["destroy", "preview", "prove_settled", "refresh", "require_known", "up"]


def preview(run: Run, name: str) -> Outcome:
    """What `up` would do."""
    return federation.preview(run) if name == federation.PROGRAM else pulumi_stack.preview(run, name)


def up(run: Run, name: str) -> Outcome:
    """Make what the program describes. Failure, before anything is touched, where agreement is needed first."""
    return federation.up(run) if name == federation.PROGRAM else pulumi_stack.up(run, name)
