"""The stages of an apply, in order; each can be planned, applied, repeated, and ends in a proof."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from estate.site import Environment
from operate import certification, images, proofs
from operate.failure import ExitCode, Failure
from operate.playbooks import PlaybookResult, run_playbook
from operate.reporting import seconds
from operate.run import Outcome, Run
from operate.workspace import digest


@dataclass(frozen=True)
class Stage:
    """A step of an apply."""

    name: str
    purpose: str
    plan: Callable[[Run], Outcome]
    """Says what `apply` would do and changes nothing."""
    apply: Callable[[Run], Outcome]
    prove: Callable[[Run], str]
    """Shows that the stage reached its aim, by what can be observed from outside."""


@dataclass(frozen=True)
class StageRecord:
    """How a stage went, for programs and the ledger."""

    stage: str
    result: str
    seconds: float
    changed: int
    text: str
    proof: str
    hosts: dict[str, dict[str, int]]


def selected(only: str | None, first: str | None) -> Sequence[Stage]:
    """The stages to run: one, those from `first` on, or all. Failure if the name is unknown."""
    names = [stage.name for stage in STAGES]
    for name in (only, first):
        if name is not None and name not in names:
            raise Failure(
                f"there's no stage '{name}'", details="stages: " + ", ".join(names), code=ExitCode.BAD_INPUT
            )
    if only is not None and first is not None:
        raise Failure("choose one stage, or the stage to go on from, not both", code=ExitCode.BAD_INPUT)
    if only is not None:
        return [STAGES[names.index(only)]]
    return STAGES[names.index(first) :] if first is not None else STAGES


def apply(run: Run, stages: Sequence[Stage]) -> list[StageRecord]:
    """Apply and prove each stage; every stage becomes an entry of the ledger, failed ones too.

    The first failure ends the run; what to type next then includes how to go on from there.
    """
    if run.estate.site.template:
        raise Failure(
            f"site '{run.estate.site.name}' is a template: its addresses are documentation ranges",
            next_step=f"scripts/smartgouv plan {run.estate.site.name}   # or give the site its own addresses",
            code=ExitCode.BAD_INPUT,
        )
    run.workspace.secrets.require(run.estate, run.workspace.generate_command)
    records: list[StageRecord] = []
    for stage in stages:
        started = time.monotonic()
        _record(run, stage, "started", {})
        try:
            with run.report.working(stage.name):
                outcome = stage.apply(run)
                run.report.progress("proof")
                proof = stage.prove(run)
        except BaseException as error:
            _record(run, stage, *_cause(run, error), started=started)
            raise _with_continuation(run, stage, error) from error
        record = StageRecord(
            stage=stage.name,
            result="ok",
            seconds=round(time.monotonic() - started, 1),
            changed=outcome.changed,
            text=outcome.text,
            proof=proof,
            hosts={host: asdict(counts) for host, counts in sorted(outcome.hosts.items())},
        )
        records.append(record)
        told = {"changed": outcome.changed, "hosts": record.hosts, **outcome.facts}
        _record(run, stage, "ok", told, started=started)
        run.report.done(stage.name, record.seconds, _joined(outcome.text, proof))
    return records


def plan(run: Run, stages: Sequence[Stage]) -> list[StageRecord]:
    """Say what an apply of each stage would do. A stage that can't be predicted says why and ends nothing."""
    records = []
    for stage in stages:
        started = time.monotonic()
        result = "ok"
        try:
            with run.report.working(f"{stage.name} (plan)"):
                outcome = stage.plan(run)
        except Failure as failure:
            # Later stages stand on what earlier ones install, so before a first apply this is expected.
            outcome, result = Outcome(f"can't be predicted yet: {failure.message}"), "unpredictable"
        duration = round(time.monotonic() - started, 1)
        hosts = {host: asdict(counts) for host, counts in sorted(outcome.hosts.items())}
        records.append(StageRecord(stage.name, result, duration, outcome.changed, outcome.text, "", hosts))
        if result == "ok":
            run.report.done(stage.name, duration, outcome.text)
        else:
            run.report.warning(f"{stage.name}: {outcome.text}")
    return records


def summary(records: Sequence[StageRecord]) -> str:
    """One line on a whole run."""
    changed = sum(record.changed for record in records)
    return f"{len(records)} stages, {changed} changed, {seconds(sum(record.seconds for record in records))}"


def document(run: Run, records: Sequence[StageRecord], result: str) -> dict[str, Any]:
    """A run for programs."""
    return {
        "site": run.workspace.site,
        "lab": run.workspace.lab,
        "result": result,
        "changed": sum(record.changed for record in records),
        "seconds": round(sum(record.seconds for record in records), 1),
        "stages": [asdict(record) for record in records],
        "measured": run.measured,
    }


def _record(
    run: Run, stage: Stage, result: str, facts: dict[str, Any], *, started: float | None = None
) -> None:
    if started is not None:
        facts = {**facts, "seconds": round(time.monotonic() - started, 1)}
    run.record(stage.name, plan=digest(run.estate), result=result, **facts)


def _cause(run: Run, error: BaseException) -> tuple[str, dict[str, Any]]:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", {}
    text = error.message if isinstance(error, Failure) else type(error).__name__
    return "failed", {"cause": run.workspace.secrets.redact(text)}


def _with_continuation(run: Run, stage: Stage, error: BaseException) -> BaseException:
    """The same failure, saying which stage it stopped and how to go on."""
    if not isinstance(error, Failure):
        return error
    hosts = "".join(f" --host {host}" for host in run.hosts)
    apply = f"{run.workspace.apply_command} --from {stage.name}{hosts}   # goes on from this stage"
    go_on = f"{run.continuation}   # finishes it" if run.continuation else apply
    # A refusal by the cause's own next step comes first: what is broken must be mended before going on.
    goes_on = error.next_step.startswith(run.workspace.apply_command)
    steps = "\n".join(step for step in (error.next_step, "" if goes_on else go_on) if step)
    return Failure(
        f"stage {stage.name}: {error.message}",
        details=run.workspace.secrets.redact(error.details),
        next_step=steps,
        code=error.code,
    )


def _joined(*texts: str) -> str:
    return "; ".join(text for text in texts if text)


def _counts(result: PlaybookResult) -> str:
    hosts = len(result.counts)
    return f"{hosts} hosts, {result.ok + result.changed} ok, {result.changed} changed"


def _played(run: Run, playbook: str, *, check: bool) -> PlaybookResult:
    return run_playbook(run.workspace, playbook, run.report, check=check, lock=run.lock, hosts=run.hosts)


def _ansible(
    name: str,
    purpose: str,
    prove: Callable[[Run], str],
    *more: Callable[[Run], Outcome],
    first: tuple[Callable[[Run], str], Callable[[Run], Outcome]] | None = None,
) -> Stage:
    """A stage that is a playbook, and then perhaps `more`. `first` says, and does, what must be before it."""

    def play(run: Run, *, check: bool) -> Outcome:
        playbook = f"apply_{name.replace('-', '_')}"
        result = _played(run, playbook, check=check)
        run.measured.setdefault("slowest_tasks", {})[name] = _slowest(result)
        text = _counts(result)
        if check:
            text = f"would change {result.changed} things on {len(result.counts)} hosts"
        return Outcome(text, result.changed, result.counts)

    def apply_all(run: Run) -> Outcome:
        before = [first[1](run)] if first is not None else []
        outcome = play(run, check=False)
        for added in (*before, *(step(run) for step in more)):
            outcome = replace(
                outcome, text=_joined(outcome.text, added.text), changed=outcome.changed + added.changed
            )
        return outcome

    def plan_all(run: Run) -> Outcome:
        # What stands on what isn't there yet can't be predicted.
        if first is not None and (text := first[0](run)):
            return Outcome(text, 1)
        return play(run, check=True)

    return Stage(name, purpose, plan_all, apply_all, prove)


def _slowest(result: PlaybookResult, count: int = 5) -> dict[str, float]:
    ordered = sorted(result.slowest.items(), key=lambda item: -item[1])
    return {task: round(spent, 1) for task, spent in ordered[:count]}


def _with_toolchain(run: Run) -> Outcome:
    """Have the tool chain: the role renders the chart of the pods' network with it."""
    _ = run.toolchain
    return Outcome("")


def _validate(run: Run) -> Outcome:
    """The estate was read when the run began: this says what it holds."""
    estate = run.estate
    text = f"{len(estate.hosts)} hosts in {len(estate.zones)} zones, {len(estate.flows)} flows"
    return Outcome(f"{text}, {len(list(estate.rules()))} firewall rules")


def _hardware(run: Run, *, dry: bool) -> Outcome:
    if run.estate.site.environment is not Environment.LAB:
        return Outcome("hosts are expected to run: bare metal isn't enrolled by this project yet")
    from operate.lab import hardware

    return hardware.plan(run) if dry else hardware.apply(run)


def _prove_hardware(run: Run) -> str:
    if run.estate.site.environment is not Environment.LAB:
        return ""
    return proofs.reachable(run.workspace, run.estate, run.report)


def _verify(run: Run) -> Outcome:
    from operate import acceptance

    return acceptance.apply(run)


def _stack(name: str, run: Run, *, dry: bool) -> Outcome:
    from operate import programs

    return programs.preview(run, name) if dry else programs.up(run, name)


def _platform(run: Run, *, dry: bool) -> Outcome:
    programs = _stack("platform", run, dry=dry)
    result = _played(run, "apply_platform", check=dry)
    text = f"would change {result.changed} things" if dry else _counts(result)
    return Outcome(_joined(programs.text, text), programs.changed + result.changed, result.counts)


STAGES: tuple[Stage, ...] = (
    Stage("validate", "The estate is whole and free of contradictions", _validate, _validate, lambda _: ""),
    Stage(
        "hardware",
        "Every host exists and answers",
        lambda run: _hardware(run, dry=True),
        lambda run: _hardware(run, dry=False),
        _prove_hardware,
    ),
    _ansible("base", "Accounts, time, journal, firewall", proofs.base),
    _ansible(
        "trust",
        "Certificate authorities and host certificates",
        proofs.trust,
        images.fetch_root_certificate,
        first=(certification.plan, certification.settle),
    ),
    _ansible("data", "Databases and the image registry", proofs.data, images.publish),
    _ansible("trust-services", "X-Road certificates, their status, time stamps", proofs.trust_services),
    _ansible(
        "cluster",
        "Kubernetes and the load balancer",
        proofs.cluster,
        first=(lambda run: _with_toolchain(run).text, _with_toolchain),
    ),
    _ansible("exchange", "Central server and security servers", proofs.exchange),
    Stage(
        "federation",
        "Members, subsystems, services and access rights",
        lambda run: _stack("federation", run, dry=True),
        lambda run: _stack("federation", run, dry=False),
        proofs.federation,
    ),
    Stage(
        "platform",
        "Portal, sector systems and monitoring",
        lambda run: _platform(run, dry=True),
        lambda run: _platform(run, dry=False),
        proofs.platform,
    ),
    Stage(
        "verify",
        "A citizen's request travels through all of it",
        lambda _: Outcome("the acceptance checks only read, so there is nothing to predict"),
        _verify,
        lambda _: "",
    ),
)
"""Every stage, in the order of an apply."""
