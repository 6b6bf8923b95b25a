"""Running the Pulumi programs of a site: preview, up, refresh, destroy, through the Automation API.

States lie in the workspace, secrets in them are encrypted with a passphrase from the secret store.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pulumi import automation
from pulumi.automation import EngineEvent, OpType

from estate.load import OVERLAY_VARIABLE, SECRETS_VARIABLE
from operate.failure import ExitCode, Failure
from operate.files import private_directory
from operate.reporting import Report
from operate.run import Outcome, Run
from operate.workspace import Workspace
from stacks.engine_files import BY_ITSELF, engine_home, state_backend
from stacks.large_program import ENGINE_ENVIRONMENT
from stacks.providers.serving import launcher
from stacks.providers.xroad.settings import ROOT_VARIABLE, TIMESTAMPING_VARIABLE

NAMES = ("federation", "platform")
"""The programs, in the order in which they are applied."""

PASSPHRASE = "pulumi-passphrase"  # noqa: S105 - the name of the secret
_QUIET = frozenset({OpType.SAME, OpType.READ, OpType.REFRESH})
_PROVIDERS = ("kubernetes", "xroad")


class _Listener:
    """Follows the engine's events: progress, changes, and the words of what failed."""

    def __init__(self, report: Report, *, changing: bool) -> None:
        self._report = report
        self._changing = changing
        self.errors: list[str] = []
        self.counts: dict[str, int] = {}

    def hear(self, event: EngineEvent) -> None:
        """Take one event."""
        if event.resource_pre_event is not None:
            operation, resource = _described(event.resource_pre_event.metadata)
            if operation not in _QUIET:
                self._report.progress(f"{operation.value} {resource}")
            if operation is OpType.UPDATE:
                for sentence in _due(event.resource_pre_event.metadata):
                    self._report.line(f"certificate  {sentence}")
        elif event.res_outputs_event is not None and self._changing:
            operation, resource = _described(event.res_outputs_event.metadata)
            if operation not in _QUIET:
                self._report.change(f"{resource}: {operation.value}")
        elif event.diagnostic_event is not None and event.diagnostic_event.severity == "error":
            subject = (event.diagnostic_event.urn or "").rpartition("::")[2]
            text = event.diagnostic_event.message.strip()
            self.errors.append(f"{subject}: {text}" if subject else text)
        elif event.summary_event is not None:
            changes = event.summary_event.resource_changes or {}
            self.counts = {OpType(kind).value: count for kind, count in changes.items()}


def preview(run: Run, name: str) -> Outcome:
    """What `up` would do."""
    counts = _operate(run, name, "preview", changing=False)
    return Outcome(f"{name}: {_text(counts)}", _changed(counts))


def up(run: Run, name: str) -> Outcome:
    """Make what the program describes."""
    counts = _operate(run, name, "up", changing=True)
    if not _changed(counts):
        run.settled.add(name)
    return Outcome(f"{name}: {_text(counts)}", _changed(counts))


def refresh(run: Run, name: str, targets: Sequence[str] = ()) -> Outcome:
    """Read what exists into the state, so that the next preview shows drift. `targets`: of these URNs alone."""
    counts = _operate(run, name, "refresh", changing=False, targets=targets)
    return Outcome(f"{name}: {_text(counts)}", _changed(counts))


def destroy(run: Run, name: str) -> Outcome:
    """Remove everything that the program made."""
    counts = _operate(run, name, "destroy", changing=True)
    return Outcome(f"{name}: {_text(counts)}", _changed(counts))


def recorded(run: Run, name: str) -> list[Mapping[str, Any]]:
    """The resources of the program's state, as the engine exports them.

    Afterwards this process has the environment in which providers find secrets and certificates.
    """
    return list((_stack(run, name).export_stack().deployment or {}).get("resources") or ())


def prove_settled(run: Run, name: str) -> str:
    """Show that nothing is left to do; Failure if there is. An apply that changed nothing has shown it."""
    if name in run.settled:
        return f"nothing had to change in {name}"
    outcome = preview(run, name)
    if outcome.changed:
        raise Failure(
            f"program '{name}' isn't settled: right after an apply it would change {outcome.changed} things",
            details=outcome.text,
            next_step=f"scripts/smartgouv stack {run.workspace.site} {name} preview",
        )
    return f"a second preview changes nothing in {name}"


def require_known(name: str) -> None:
    """Failure if there's no such program."""
    if name not in NAMES:
        raise Failure(
            f"there's no program '{name}'",
            details="programs: " + ", ".join(NAMES),
            code=ExitCode.BAD_INPUT,
        )


def _operate(
    run: Run, name: str, operation: str, *, changing: bool, targets: Sequence[str] = ()
) -> Mapping[str, int]:
    require_known(name)
    run.workspace.secrets.require(run.estate, run.workspace.generate_command)
    listener = _Listener(run.report, changing=changing)
    try:
        stack = _stack(run, name)
        if operation != "preview":
            _recover(stack, run.workspace)
        getattr(stack, operation)(
            on_event=listener.hear,
            color="never",
            suppress_outputs=True,
            **_options(operation),
            **({"target": list(targets)} if targets else {}),
        )
    except automation.CommandError as error:
        details = "\n".join(listener.errors) or _last_lines(str(error))
        raise Failure(
            f"program '{name}' failed",
            details=run.workspace.secrets.redact(details)[:4000],
            next_step=f"scripts/smartgouv stack {run.workspace.site} {name} preview"
            f"{run.workspace.lab_option('--lab')}",
        ) from None
    return listener.counts


def _options(operation: str) -> dict[str, Any]:
    # A preview's plan and an up's outputs may hold secrets: nothing of either is shown.
    return {"show_secrets": False} if operation in ("up", "refresh", "destroy") else {}


def _program(run: Run, name: str) -> automation.PulumiFn:
    """The program with its arguments, which come from the estate and the workspace alone."""
    if name == "federation":
        from stacks.federation import program as federation

        return lambda: federation(run.estate)
    from stacks.platform import program as platform

    return lambda: platform(run.estate, kubeconfig=run.workspace.kubeconfig)


def _stack(run: Run, name: str) -> automation.Stack:
    workspace = run.workspace
    _set_environment(workspace, run.toolchain.binaries)
    home = private_directory(workspace.directory / "pulumi")
    states = private_directory(home / "states")
    directory = private_directory(home / name)
    settings = automation.ProjectSettings(
        name=name,
        runtime="python",
        backend=state_backend(states),
    )
    return automation.create_or_select_stack(
        stack_name=workspace.lab or workspace.site,
        project_name=name,
        program=_program(run, name),
        opts=automation.LocalWorkspaceOptions(
            work_dir=str(directory), pulumi_home=engine_home(home / "home"), project_settings=settings
        ),
    )


def _set_environment(workspace: Workspace, binaries: Path) -> None:
    """Tell the engine and the providers, which are processes of their own, what they need."""
    folders = [str(launcher(provider)) for provider in _PROVIDERS]
    present = os.environ.get("PATH", "").split(os.pathsep)
    wanted = [*folders, str(binaries)]
    os.environ["PATH"] = os.pathsep.join([*wanted, *(path for path in present if path not in wanted)])
    os.environ.update(
        {
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(workspace.secrets.path(PASSPHRASE)),
            **BY_ITSELF,
        }
    )
    os.environ.pop("PULUMI_CONFIG_PASSPHRASE", None)
    for name, value in ENGINE_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    point_at(workspace)
    if workspace.overlay_file.exists():
        os.environ[OVERLAY_VARIABLE] = str(workspace.overlay_file)


def point_at(workspace: Workspace) -> None:
    """Tell clients of the admin APIs where this workspace has secrets and certificates."""
    os.environ.update(
        {
            SECRETS_VARIABLE: str(workspace.secrets.directory),
            ROOT_VARIABLE: str(workspace.root_certificate),
            TIMESTAMPING_VARIABLE: str(workspace.timestamping_directory),
        }
    )


def _recover(stack: automation.Stack, workspace: Workspace) -> None:
    """Clear what a killed run left: the workspace's lock shows that nobody else is at work.

    An interrupted creation is tried again: the providers find by name what exists already.
    """
    locks = workspace.directory / "pulumi" / "states" / ".pulumi" / "locks"
    if any(locks.rglob(f"{stack.name}/*.json")):
        stack.cancel()
    exported = stack.export_stack()
    state = dict(exported.deployment or {})
    if state.pop("pending_operations", None):
        stack.import_stack(automation.Deployment(version=exported.version, deployment=state))


def _described(metadata: Any) -> tuple[OpType, str]:
    """The operation, and the resource as `type name`."""
    *_, kind, resource = metadata.urn.split("::")
    return OpType(metadata.op), f"{kind.rpartition('$')[2].rpartition(':')[2]} {resource}"


def _due(metadata: Any) -> list[str]:
    """Which certificates an update is to replace, and why: in the words of the provider `xroad`."""
    inputs = metadata.new.inputs if metadata.new is not None else None
    return [str(sentence) for sentence in (inputs or {}).get("due") or ()]


def _changed(counts: Mapping[str, int]) -> int:
    quiet = {operation.value for operation in _QUIET}
    return sum(count for kind, count in counts.items() if kind not in quiet)


def _text(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())) or "nothing"


def _last_lines(text: str, lines: int = 20) -> str:
    return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])
