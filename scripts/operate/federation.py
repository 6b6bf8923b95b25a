"""What an apply of the federation means for access and membership: said before it is done, and agreed to."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from estate import Estate, EstateError, load
from estate.load import SITES
from operate import approvals, pulumi_stack
from operate.approvals import Approved
from operate.failure import ExitCode, Failure
from operate.federation_import import Composed, compose
from operate.run import Outcome, Run
from stacks.federation import FederationArgs, arguments
from stacks.federation.access import (
    AccessChange,
    Rights,
    access_changes,
    declared_rights,
    existing_rights,
    reasons,
    recorded_rights,
    without,
)
from stacks.federation.membership import declared_objects, departures, recorded_objects
from stacks.federation.requests import undeclared_requests
from stacks.providers.serving import ProviderError
from stacks.providers.xroad.drift import Deviation, drift, recorded
from stacks.providers.xroad.existing import Existing, existing
from stacks.providers.xroad.pruning import prune
from stacks.providers.xroad.resources.access_rights import AccessRightsInputs
from stacks.providers.xroad.servers import Servers
from stacks.providers.xroad.settings import READ_ONLY_VARIABLE

T = TypeVar("T")

PROGRAM = "federation"


@dataclass(frozen=True)
class Look:
    """What the servers hold, and how that differs from what the last apply left."""

    existing: Existing
    deviations: tuple[Deviation, ...]
    undeclared_requests: tuple[str, ...]
    """Registrations that wait for an approval that no apply will give, in words."""


@dataclass(frozen=True)
class Meaning:
    """What an apply would change for those who take part."""

    args: FederationArgs
    rights: Rights
    """What subsystems may call when the declaration holds."""
    access: tuple[AccessChange, ...]
    departures: tuple[str, ...]
    undeclared: tuple[AccessChange, ...] = ()
    """Rights that somebody gave by hand. They are among the losses where pruning is allowed."""
    look: Look | None = None
    """None where the servers couldn't be asked: then this is about what is recorded."""
    adopts: bool = False
    """Nothing is recorded: what exists and is declared is taken over."""

    @property
    def removals(self) -> list[str]:
        """What is taken away from somebody, in words."""
        leaving = (f"{text} leaves" for text in self.departures)
        return [*leaving, *(str(change) for change in self.access if not change.gains)]

    @property
    def mends(self) -> list[Deviation]:
        """What was changed or removed by hand and is brought back.

        Rights of a provider who was given more by hand stay as they are until pruning is allowed: bringing
        them back takes some away.
        """
        more = {change.provider for change in self.undeclared}
        return [
            item
            for item in (self.look.deviations if self.look else ())
            if item.urn
            and not (item.kind == AccessRightsInputs.kind and item.key.partition("/")[2] in more)
            and not (more and _more_members(item))
        ]

    def lines(self) -> list[str]:
        """For auditors."""
        return [
            *(f"leaves  {text}" for text in self.departures),
            *(f"access  {item}" for item in self.access),
            # Rights are told one by one.
            *(
                f"mended  {item.what} by hand: {item}"
                for item in self.mends
                if item.kind != AccessRightsInputs.kind
            ),
        ]

    def warnings(self) -> list[str]:
        """What an apply leaves as it is, though nobody declared it."""
        added = [
            item
            for item in (self.look.deviations if self.look and not self.adopts else ())
            if item.what == "added" and item.kind != AccessRightsInputs.kind
        ]
        return [
            *(f"undeclared: {str(item).replace(' gains ', ' may call ', 1)}" for item in self.undeclared),
            *(f"undeclared: {item}" for item in added),
            *(self.look.undeclared_requests if self.look else ()),
        ]

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {
            "access": [_document(item) for item in self.access],
            "departures": list(self.departures),
            "mended": [str(item) for item in self.mends],
            "undeclared": [_document(item) for item in self.undeclared],
            "warnings": self.warnings(),
        }


@dataclass(frozen=True)
class ByHand:
    """What was done by hand since the last apply."""

    access: tuple[AccessChange, ...]
    deviations: tuple[Deviation, ...]
    """Other than of access rights."""
    waiting: tuple[str, ...]
    unreachable: Mapping[str, str]

    @property
    def lines(self) -> list[str]:
        """For people: one thing each."""
        return [
            *(f"access   {item}" for item in self.access),
            *(f"{item.what:<8} {item}" for item in self.deviations),
            *(f"waiting  {item}" for item in self.waiting),
        ]

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {
            "access": [_document(item) for item in self.access],
            "deviations": [
                {
                    "what": item.what,
                    "kind": item.kind,
                    "key": item.key,
                    "fields": {
                        name: {"applied": then, "now": now} for name, (then, now) in item.fields.items()
                    },
                }
                for item in self.deviations
            ],
            "waiting": list(self.waiting),
            "unreachable": dict(self.unreachable),
        }


def by_hand(run: Run, resources: Iterable[Mapping[str, Any]]) -> ByHand:
    """Compare what the servers hold with what the last apply left. Failure if the central one can't be."""
    args, resources = arguments(run.estate), list(resources)
    if not resources:
        raise Failure(
            "no apply has left anything to compare with",
            next_step=f"{run.workspace.apply_command} --stage {PROGRAM}",
        )
    seen = _require_look(run, args, resources)
    return ByHand(
        tuple(access_changes(recorded_rights(resources), existing_rights(seen.existing, resources))),
        tuple(item for item in seen.deviations if item.kind != AccessRightsInputs.kind),
        seen.undeclared_requests,
        seen.existing.unreachable,
    )


def preview(run: Run) -> Outcome:
    """What `up` would do, and what that means."""
    found = meaning(run, pulumi_stack.recorded(run, PROGRAM))
    tell(run, found)
    outcome = pulumi_stack.preview(run, PROGRAM)
    return _with(outcome, len(found.mends), "changed by hand") if found.mends else outcome


def up(run: Run) -> Outcome:
    """Bring the federation to what is declared. Failure, before anything is touched, without the agreement.

    What is declared and was changed by hand is brought back. What was added by hand goes if pruning is allowed.
    """
    found = meaning(run, pulumi_stack.recorded(run, PROGRAM))
    tell(run, found)
    approved = require_agreement(run, found)
    targets = [item.urn for item in found.mends]
    if targets:
        pulumi_stack.refresh(run, PROGRAM, targets)
    outcome = pulumi_stack.up(run, PROGRAM)
    if run.allow_prune:
        outcome = _pruned(run, outcome)
    return replace(outcome, facts={"approved": approved.document()} if approved else {})


def meaning(run: Run, resources: Iterable[Mapping[str, Any]]) -> Meaning:
    """Compare what is declared with what the servers hold, or with what is recorded if they can't be asked."""
    args, resources = arguments(run.estate), list(resources)
    seen = look(run, args, resources)
    declared, known = declared_rights(args), recorded_rights(resources)
    present = known if seen is None else existing_rights(seen.existing, resources)
    # A provider's rights are one resource: where it changes, what was given by hand goes with the rest.
    touched = {provider for provider, _ in (*without(declared, known), *without(known, declared))}
    left = {
        key: services
        for key, services in without(without(present, known), declared).items()
        if not run.allow_prune and key[0] not in touched
    }
    return Meaning(
        args,
        declared,
        tuple(access_changes(without(present, left), declared)),
        tuple(departures(recorded_objects(resources), declared_objects(args))),
        tuple(access_changes({}, left)),
        seen,
        adopts=not resources,
    )


def look(run: Run, args: FederationArgs, resources: Iterable[Mapping[str, Any]]) -> Look | None:
    """Ask every server what it holds, with GET requests alone. None, and a warning, if that isn't possible."""

    async def ask() -> Look:
        async with connected(args) as servers:
            held = await existing(servers)
            deviations = await drift(servers, held, recorded(resources))
            # A central server that isn't initialised has none, and doesn't answer.
            waiting = await undeclared_requests(args, servers) if held.resources else []
            return Look(held, tuple(deviations), tuple(waiting))

    try:
        seen = asyncio.run(ask())
    except ProviderError as error:
        run.report.warning(f"what the servers hold isn't known, only what was applied last: {error}")
        return None
    for server, reason in seen.existing.unreachable.items():
        run.report.warning(f"what '{server}' holds isn't known, only what was applied last: {reason}")
    return seen


def _require_look(run: Run, args: FederationArgs, resources: Iterable[Mapping[str, Any]]) -> Look:
    seen = look(run, args, resources)
    if seen is None:
        raise Failure(
            "the central server can't be asked",
            next_step=f"{run.workspace.apply_command} --stage exchange   # starts it and makes its API key",
        )
    return seen


def tell(run: Run, found: Meaning) -> None:
    """Say it, to people and programs."""
    for line in found.lines():
        run.report.line(line)
    for warning in found.warnings():
        run.report.warning(warning)
    run.measured[PROGRAM] = found.document()


def require_agreement(run: Run, found: Meaning) -> Approved | None:
    """Failure unless removals were allowed and the change of access rights is approved, where that is asked."""
    approved = approvals.require(
        run.estate,
        site_folder(run),
        found.access,
        found.rights,
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


def bring_in(run: Run, *, adopt: bool) -> tuple[Composed, int]:
    """What exists as a site's data, and how many objects; to `adopt` it, also as the state of an apply.

    Nothing is written to any server. Failure if what exists can't be declared: nothing is adopted then.
    """
    seen = _require_look(run, arguments(run.estate), pulumi_stack.recorded(run, PROGRAM))
    composed = compose(seen.existing, run.estate)
    count = sum(len(items) for items in seen.existing.resources.values())
    if adopt:
        declared = Run(run.workspace, _with_federation(run, composed), run.report, run.lock)
        with _read_only():
            pulumi_stack.up(declared, PROGRAM)
    return composed, count


def _with_federation(run: Run, composed: Composed) -> Estate:
    """The site's estate with the federation that exists. Failure naming what is wrong with that."""
    overlay = run.workspace.overlay_file if run.workspace.overlay_file.exists() else None
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, run.workspace.site)
        shutil.copytree(site_folder(run), folder)
        (folder / "federation.yml").write_text(composed.text(), encoding="utf-8")
        try:
            return load(folder, overlay)
        except EstateError as error:
            raise Failure(
                "what exists can't be declared as it is",
                details=str(error).replace(f"{scratch}/", ""),
                next_step="# mend it at the servers, or write federation.yml by hand from what was printed",
            ) from None


@contextmanager
def _read_only() -> Iterator[None]:
    os.environ[READ_ONLY_VARIABLE] = "1"
    try:
        yield
    finally:
        del os.environ[READ_ONLY_VARIABLE]


def propose(run: Run, found: Meaning) -> Path:
    """Write the draft of the change of access rights; Failure if there is none to approve."""
    if not found.access:
        raise Failure(
            "there is no change of access rights to approve",
            next_step=f"scripts/smartgouv plan {run.workspace.site} {PROGRAM}",
            code=ExitCode.BAD_INPUT,
        )
    return approvals.propose(run.estate, site_folder(run), found.access, found.rights, reasons(found.args))


def site_folder(run: Run) -> Path:
    """Where the site's data lies."""
    return SITES / run.workspace.site


def _pruned(run: Run, outcome: Outcome) -> Outcome:
    """Remove what nobody declared: what is there and not in the state, now that all that is declared is."""
    args, resources = arguments(run.estate), pulumi_stack.recorded(run, PROGRAM)
    seen = look(run, args, resources)
    if seen is None:
        return outcome

    async def remove() -> list[str]:
        async with connected(args) as servers:
            return [item async for item in prune(servers, seen.existing, seen.deviations)]

    removed = asyncio.run(remove())
    for item in removed:
        run.report.change(f"{item}: pruned")
    return _with(outcome, len(removed), "pruned") if removed else outcome


def with_servers(run: Run, act: Callable[[Servers], Coroutine[Any, Any, T]]) -> T:
    """What `act` comes to with the admin APIs of the site's servers, which need no stack to be there."""
    pulumi_stack.point_at(run.workspace)

    async def connect_and_act() -> T:
        async with connected(arguments(run.estate)) as servers:
            return await act(servers)

    return asyncio.run(connect_and_act())


@asynccontextmanager
async def connected(args: FederationArgs) -> AsyncIterator[Servers]:
    """The servers' admin APIs, as long as the block lasts."""
    servers = Servers(args.settings)
    try:
        yield servers
    finally:
        await servers.close()


def _with(outcome: Outcome, count: int, what: str) -> Outcome:
    return replace(outcome, text=f"{outcome.text}, {count} {what}", changed=outcome.changed + count)


def _more_members(item: Deviation) -> bool:
    """Whether a group has members that somebody added by hand."""
    then, now = item.fields.get("members", ((), ()))
    return not set(now) <= set(then)


def _document(change: AccessChange) -> dict[str, str]:
    return {
        "change": "gains" if change.gains else "loses",
        "holder": change.holder,
        "provider": change.provider,
        "service": change.service,
    }
