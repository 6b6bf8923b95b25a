"""What an apply of the federation means for access and membership: said before it is done, and agreed to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from estate.load import SITES
from operate import approvals
from operate.approvals import Approved
from operate.failure import ExitCode, Failure
from operate.run import Run
from stacks.federation import FederationArgs, arguments
from stacks.federation.access import AccessChange, access_changes, recorded_rights
from stacks.federation.membership import declared_objects, departures, recorded_objects

PROGRAM = "federation"


@dataclass(frozen=True)
class Meaning:
    """What would change, compared with the last apply."""

    args: FederationArgs
    access: tuple[AccessChange, ...]
    departures: tuple[str, ...]

    @property
    def removals(self) -> list[str]:
        """What is taken away from somebody, in words."""
        leaving = (f"{text} leaves" for text in self.departures)
        return [*leaving, *(str(change) for change in self.access if not change.gains)]

    def lines(self) -> list[str]:
        """For auditors."""
        return [*(f"leaves  {text}" for text in self.departures), *(f"access  {item}" for item in self.access)]

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {
            "access": [
                {
                    "change": "gains" if item.gains else "loses",
                    "holder": item.holder,
                    "provider": item.provider,
                    "service": item.service,
                }
                for item in self.access
            ],
            "departures": list(self.departures),
        }


def meaning(run: Run, resources: Iterable[Mapping[str, Any]]) -> Meaning:
    """Compare what is declared with an exported state's resources."""
    args = arguments(run.estate)
    recorded = list(resources)
    return Meaning(
        args,
        tuple(access_changes(recorded_rights(recorded), args.access_rights())),
        tuple(departures(recorded_objects(recorded), declared_objects(args))),
    )


def tell(run: Run, found: Meaning) -> None:
    """Say it, to people and programs."""
    for line in found.lines():
        run.report.line(line)
    run.measured[PROGRAM] = found.document()


def require_agreement(run: Run, found: Meaning) -> Approved | None:
    """Failure unless removals were allowed and the change of access rights is approved, where that is asked."""
    approved = approvals.require(
        run.estate,
        site_folder(run),
        found.access,
        found.args.access_rights(),
        f"scripts/smartgouv federation propose {run.workspace.site}{run.workspace.lab_option('--lab')}"
        "   # then have the draft signed: docs/access-rights.md",
    )
    if found.removals and not run.allow_prune:
        raise Failure(
            f"{len(found.removals)} things would be taken away, which has to be allowed",
            details="\n".join(found.removals),
            next_step=f"{run.workspace.apply_command} --from {PROGRAM} --allow-prune",
            code=ExitCode.BAD_INPUT,
        )
    return approved


def propose(run: Run, found: Meaning) -> Path:
    """Write the draft of the change of access rights; Failure if there is none to approve."""
    if not found.access:
        raise Failure(
            "there is no change of access rights to approve",
            next_step=f"scripts/smartgouv plan {run.workspace.site} {PROGRAM}",
            code=ExitCode.BAD_INPUT,
        )
    return approvals.propose(run.estate, site_folder(run), found.access, found.args.access_rights())


def site_folder(run: Run) -> Path:
    """Where the site's data lies."""
    return SITES / run.workspace.site
