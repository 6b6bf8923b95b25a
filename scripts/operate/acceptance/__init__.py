"""The proof of a whole site: what must work works, what must be refused is refused."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from operate.acceptance import (
    certificates,
    evidence,
    exchange,
    monitoring,
    paths,
    pods,
    requests,
    trust_services,
)
from operate.acceptance.result import Check
from operate.failure import Failure
from operate.run import Outcome, Run

GROUPS: tuple[tuple[str, Callable[..., list[Check]]], ...] = (
    ("citizens' requests", requests.check),
    ("messages", exchange.check),
    ("forbidden paths", paths.check),
    ("pods' paths", pods.check),
    ("certificates", certificates.check),
    ("trust services", trust_services.check),
    ("monitoring", monitoring.check),
)
"""What is looked at, in the order of the table."""


def apply(run: Run) -> Outcome:
    """Look at everything, show the table, keep the evidence. Failure if anything isn't as it must be."""
    run.report.progress(", ".join(name for name, _ in GROUPS))
    # Side by side: most of the time goes by waiting for packets that never come back.
    with ThreadPoolExecutor(len(GROUPS)) as pool:
        groups = pool.map(lambda group: _timed(group[1], run), GROUPS)
        checks = [check for group in groups for check in group]
    folder = run.workspace.new_run("verify")
    junit, document = evidence.write(folder, checks)
    run.report.console.print(evidence.table(checks))
    run.measured["acceptance"] = {"junit": str(junit), "json": str(document), "checks": len(checks)}
    if failed := [check for check in checks if not check.passed]:
        raise Failure(
            f"{len(failed)} of {len(checks)} checks failed",
            details="\n".join(f"{check.group}, {check.name}: {check.detail}" for check in failed[:10]),
            next_step=f"scripts/smartgouv verify {run.workspace.site}{run.workspace.lab_option('--lab')}",
        )
    return Outcome(f"{len(checks)} checks passed; evidence in {folder}")


def _timed(look: Callable[..., list[Check]], run: Run) -> Sequence[Check]:
    """Checks of a group, each with its share of the group's time."""
    started = time.monotonic()
    checks = look(run.workspace, run.estate)
    share = (time.monotonic() - started) / max(len(checks), 1)
    return [replace(check, seconds=share) for check in checks]
