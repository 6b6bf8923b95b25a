"""The hardware stage of a lab: its tool chain's node image, then its nodes."""

from __future__ import annotations

from operate import images
from operate.lab import driver
from operate.lab.reconcile import compare, observe
from operate.run import Outcome, Run


def plan(run: Run) -> Outcome:
    """What raising the nodes would do."""
    built = run.toolchain
    drawing = driver.blueprint(run.workspace, run.estate, built.node_image, built.mirror)
    work = compare(drawing, observe(drawing.lab))
    return Outcome(work.summary, len(work.create_nodes) + len(work.start_nodes) + len(work.remove_nodes))


def apply(run: Run) -> Outcome:
    """Build what is missing of the tool chain, then make the machine hold the lab's nodes."""
    built = run.toolchain
    images.record_digests(run, built)
    drawing = driver.blueprint(run.workspace, run.estate, built.node_image, built.mirror)
    raised = driver.raise_nodes(run.workspace, run.estate, drawing, run.report)
    return Outcome(raised.text, raised.created + raised.started)
