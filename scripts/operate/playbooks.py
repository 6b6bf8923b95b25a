"""Running a playbook: its events become progress, counts and, if it fails, a reason with the next step."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from operate.failure import Failure
from operate.locations import ROOT
from operate.processes import started
from operate.remote import next_step, reason
from operate.reporting import Report
from operate.workspace import Workspace

_POLL_SECONDS = 0.2
_SHOWN_FAILURES = 5
_SHOWN_HOSTS = 3


@dataclass
class HostCounts:
    """How many results of each kind a host had."""

    ok: int = 0
    changed: int = 0
    failed: int = 0
    unreachable: int = 0


@dataclass(frozen=True)
class TaskFailure:
    """A task that failed on a host. `cause` holds no secret."""

    host: str
    task: str
    cause: str
    path: str
    unreachable: bool


@dataclass
class PlaybookResult:
    """What a playbook did."""

    counts: dict[str, HostCounts] = field(default_factory=dict)
    failures: list[TaskFailure] = field(default_factory=list)
    changes: dict[str, list[str]] = field(default_factory=dict)
    """Hosts that a task changed, by task, in the order of the run."""
    slowest: dict[str, float] = field(default_factory=dict)
    """Seconds that each task took over all of its hosts."""

    @property
    def changed(self) -> int:
        """Results that changed something, over all hosts."""
        return sum(counts.changed for counts in self.counts.values())

    @property
    def ok(self) -> int:
        """Results that changed nothing, over all hosts."""
        return sum(counts.ok for counts in self.counts.values())


class _Reader:
    """Turns events into a PlaybookResult, reporting on the way."""

    def __init__(self, result: PlaybookResult, report: Report) -> None:
        self.result = result
        self.complete = False
        """Whether the run's last event was read: without it, results may be missing."""
        self._report = report
        self._task = ""
        self._task_started = 0.0
        self._hosts: set[str] = set()
        self._pending_change: tuple[str, list[str]] | None = None

    def read(self, event: dict[str, Any]) -> None:
        match event["event"]:
            case "task":
                self._next_task(event)
            case "start":
                self._hosts.add(event["host"])
                self._show()
            case "result":
                self._hosts.discard(event["host"])
                self._count(event)
                self._show()
            case "stats":
                self.complete = True
                self.finish(event["time"])

    def finish(self, now: float) -> None:
        """Close the current task's time and report its changes."""
        if self._task and now > self._task_started:
            spent = self.result.slowest
            spent[self._task] = spent.get(self._task, 0.0) + now - self._task_started
        if self._pending_change is not None:
            task, hosts = self._pending_change
            self._report.change(f"{task}  ({_some(sorted(hosts))})")
            self._pending_change = None
        self._task = ""

    def _next_task(self, event: dict[str, Any]) -> None:
        self.finish(event["time"])
        self._task, self._task_started = event["task"], event["time"]
        self._hosts.clear()
        self._show()

    def _count(self, event: dict[str, Any]) -> None:
        host, task, status = event["host"], event["task"], event["status"]
        counts = self.result.counts.setdefault(host, HostCounts())
        match status:
            case "ok" | "ignored":
                counts.ok += 1
            case "changed":
                counts.changed += 1
                self.result.changes.setdefault(task, []).append(host)
                if self._pending_change is None or self._pending_change[0] != task:
                    self._pending_change = (task, [])
                self._pending_change[1].append(host)
            case "failed" | "unreachable":
                unreachable = status == "unreachable"
                counts.unreachable += unreachable
                counts.failed += not unreachable
                self.result.failures.append(
                    TaskFailure(host, task, event["message"], event["path"], unreachable)
                )

    def _show(self) -> None:
        hosts = f" · {_some(sorted(self._hosts))}" if self._hosts else ""
        self._report.progress(f"{self._task}{hosts}")


def run_playbook(
    workspace: Workspace,
    playbook: str,
    report: Report,
    *,
    check: bool = False,
    lock: int | None = None,
    hosts: Sequence[str] = (),
    variables: Mapping[str, object] | None = None,
) -> PlaybookResult:
    """Run `ansible/playbooks/<playbook>.yml` against the workspace's site, or these of its hosts.

    `check` predicts and changes nothing. `lock` is a descriptor that Ansible keeps open, so that the workspace
    stays locked while a killed run's Ansible ends. `variables` are what only this run knows; never secrets.
    Failure if any host fails.
    """
    directory = workspace.new_run(playbook)
    events, log = directory / "events.jsonl", directory / "ansible.log"
    events.touch(mode=0o600)
    result = PlaybookResult()
    reader = _Reader(result, report)
    with (
        started(
            _command(workspace, playbook, check=check, hosts=hosts, variables=variables),
            environment=_environment(workspace, events),
            directory=ROOT,
            inherit=() if lock is None else (lock,),
        ) as process,
        events.open(encoding="utf-8") as stream,
    ):
        logger = threading.Thread(target=_keep, args=(process, log, workspace), daemon=True)
        logger.start()
        while process.poll() is None:
            for event in _new_events(stream):
                reader.read(event)
            report.progress_again()
            time.sleep(_POLL_SECONDS)
        for event in _new_events(stream):
            reader.read(event)
        logger.join(timeout=10)
    reader.finish(time.time())
    if result.failures:
        raise playbook_failure(workspace, result, log)
    if process.returncode != 0:
        raise Failure(
            f"Ansible ended with status {process.returncode} before any host failed",
            details=_tail(log),
            next_step=f"less {log}",
        )
    if not reader.complete:
        # Ansible goes on when its callback can't write; what it did is then unknown.
        raise Failure(
            "Ansible ended well, but the record of what it did is cut off",
            details=_tail(log),
            next_step=f"df -h {directory}   # a full disk is the usual reason; then run the same command again",
        )
    return result


def playbook_failure(workspace: Workspace, result: PlaybookResult, log: Path) -> Failure:
    """The failure of a run: hosts, tasks, causes without secrets, and what to do."""
    alike: dict[tuple[str, str, str], list[str]] = {}
    for failure in result.failures:
        cause = workspace.secrets.redact(failure.cause).strip()
        alike.setdefault((failure.task, cause, failure.path), []).append(failure.host)
    lines = []
    for (task, cause, path), on in list(alike.items())[:_SHOWN_FAILURES]:
        lines.append(f"{_some(on)}: {task}")
        lines.extend(f"  {line}" for line in cause.splitlines()[:12])
        if path:
            lines.append(f"  at {_relative(path)}")
    if (more := len(alike) - _SHOWN_FAILURES) > 0:
        lines.append(f"and {more} more, see {log}")
    hosts = sorted({failure.host for failure in result.failures})
    first = result.failures[0]
    if first.unreachable:
        return Failure(
            f"{_some(hosts)} can't be reached" + (f": {why}" if (why := reason(first.cause)) else ""),
            details="\n".join(lines),
            next_step=next_step(workspace, first.host, first.cause),
        )
    steps = [f"less {log}   # everything that Ansible said"]
    if workspace.lab is not None:
        steps.append(f"{workspace.lab_command('ssh')} {first.host}   # look at the host")
    return Failure(
        f"task '{first.task}' failed on {_some(hosts)}", details="\n".join(lines), next_step="\n".join(steps)
    )


def _command(
    workspace: Workspace,
    playbook: str,
    *,
    check: bool,
    hosts: Sequence[str] = (),
    variables: Mapping[str, object] | None = None,
) -> list[str]:
    command = [
        # The environment's own Ansible, not one that PATH happens to find.
        str(Path(sys.executable).parent / "ansible-playbook"),
        "--inventory",
        str(inventory(workspace.site)),
        str(ROOT / "ansible" / "playbooks" / f"{playbook}.yml"),
    ]
    if hosts:
        command += ["--limit", ",".join(hosts)]
    if variables:
        command += ["--extra-vars", json.dumps(variables)]
    return [*command, "--check", "--diff"] if check else command


def inventory(site: str) -> Path:
    """The inventory source of a site: the file that names it, read by the project's inventory plugin."""
    return ROOT / "inventories" / site / "site.yml"


def _environment(workspace: Workspace, events: Path) -> dict[str, str]:
    return {
        **workspace.environment(),
        "ANSIBLE_CONFIG": str(ROOT / "ansible" / "ansible.cfg"),
        "ANSIBLE_CALLBACKS_ENABLED": "events",
        "ANSIBLE_NOCOLOR": "1",
        "SMARTGOUV_EVENTS": str(events),
    }


def _new_events(stream: IO[str]) -> Iterator[dict[str, Any]]:
    """Whole lines that were added since the last call."""
    while True:
        position = stream.tell()
        line = stream.readline()
        if not line.endswith("\n"):
            stream.seek(position)
            return
        yield json.loads(line)


def _keep(process: subprocess.Popen[str], log: Path, workspace: Workspace) -> None:
    """Copy the program's output to the log, secrets replaced."""
    with log.open("w", encoding="utf-8") as file:
        for line in process.stdout or ():
            file.write(workspace.secrets.redact(line))
            file.flush()


def _tail(log: Path, lines: int = 15) -> str:
    try:
        return "\n".join(log.read_text(encoding="utf-8").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


def _relative(path: str) -> str:
    return path.removeprefix(f"{ROOT}/")


def _some(hosts: list[str]) -> str:
    if len(hosts) <= _SHOWN_HOSTS:
        return ", ".join(hosts)
    return f"{len(hosts)} hosts"
