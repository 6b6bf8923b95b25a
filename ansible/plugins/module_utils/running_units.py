"""What systemd's units lack to run with what lies on the disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

UNITS: dict[str, Any] = {
    "type": "list",
    "elements": "dict",
    "default": [],
    "options": {
        "name": {"type": "str", "required": True},
        "enabled": {"type": "bool", "default": True},
        "reads": {"type": "list", "elements": "path", "default": []},
        "reloads": {"type": "list", "elements": "path", "default": []},
    },
}
"""The argument that describes units."""

PROPERTIES = (
    "LoadState",
    "ActiveState",
    "UnitFileState",
    "NeedDaemonReload",
    "FragmentPath",
    "DropInPaths",
    "ActiveEnterTimestamp",
    "StateChangeTimestamp",
)
_STARTS_AT_BOOT = {"enabled", "enabled-runtime", "static", "generated", "alias", "indirect"}
_RUNS = {"active", "activating", "reloading"}
_MOMENT = "%a %Y-%m-%d %H:%M:%S.%f UTC"
_JOURNAL_LINES = 15


@dataclass(frozen=True)
class State:
    """What systemd says of a unit."""

    loaded: bool
    runs: bool
    starts_at_boot: bool
    stale: bool
    """Whether its files have changed since systemd read them."""
    files: tuple[str, ...]
    """The unit file and its drop-ins."""
    since: float
    """When it became active, in seconds since 1970; 0 if it never did."""
    settled: float
    """When it changed its state last; a reload is such a change."""


def moment(text: str) -> float:
    """Seconds since 1970 of a time that systemd printed with microseconds in UTC; 0 for none."""
    if not text or text == "n/a":
        return 0.0
    # The name UTC is newer than the Python of Ubuntu 22.04, which X-Road's hosts may have.
    return datetime.strptime(text, _MOMENT).replace(tzinfo=timezone.utc).timestamp()  # noqa: UP017


def state(block: str) -> State:
    """A unit's state from its lines of C(systemctl show)."""
    found = dict(line.partition("=")[::2] for line in block.splitlines())
    return State(
        loaded=found["LoadState"] == "loaded",
        runs=found["ActiveState"] in _RUNS,
        starts_at_boot=found["UnitFileState"] in _STARTS_AT_BOOT,
        stale=found["NeedDaemonReload"] == "yes",
        files=tuple(path for path in (found["FragmentPath"], *found["DropInPaths"].split()) if path),
        since=moment(found["ActiveEnterTimestamp"]),
        settled=moment(found["StateChangeTimestamp"]),
    )


def newer(paths: Sequence[str], time: float) -> list[str]:
    """Which of the files were written after `time`. A link counts as its target; what isn't there as old."""
    return [path for path in paths if Path(path).exists() and Path(path).stat().st_mtime > time]


def due(wanted: dict[str, Any], found: State) -> list[str]:
    """What has to be done with a unit, as verbs of C(systemctl)."""
    verbs = []
    if wanted["enabled"] and not found.starts_at_boot:
        verbs.append("enable")
    if not found.runs:
        verbs.append("start")
    elif found.stale or newer([*found.files, *wanted["reads"]], found.since):
        verbs.append("restart")
    elif newer(wanted["reloads"], found.settled):
        verbs.append("reload")
    return verbs


def must_read_again(plan: Mapping[str, Sequence[str]], found: Mapping[str, State]) -> bool:
    """Whether systemd has to read its unit files before it does what is due.

    A unit that starts may bring others along, whose files may have changed as well.
    """
    return any(unit.stale or not unit.loaded for unit in found.values()) or any(
        {"start", "restart"} & set(verbs) for verbs in plan.values()
    )


class Units:
    """The host's units, through C(systemctl)."""

    def __init__(self, module: AnsibleModule) -> None:
        self._module = module

    def read(self, names: Sequence[str]) -> dict[str, State]:
        """The state of each unit by name."""
        properties = ",".join(PROPERTIES)
        _, output, _ = self._module.run_command(
            ["systemctl", "show", "--timestamp=us+utc", f"--property={properties}", *names], check_rc=True
        )
        # Python 3.9 of RHEL 9, which security servers may have, knows no strict zip.
        return dict(zip(names, map(state, output.strip().split("\n\n"))))  # noqa: B905

    def act(self, verb: str, name: str) -> None:
        """Let C(systemctl) do something with a unit; if it fails the unit's last journal lines say why."""
        status, output, errors = self._module.run_command(["systemctl", "--quiet", verb, name])
        if status != 0:
            _, journal, _ = self._module.run_command(
                ["journalctl", "--no-pager", "--output=cat", f"--lines={_JOURNAL_LINES}", f"--unit={name}"]
            )
            said = (errors or output).strip()
            self._module.fail_json(msg=f"systemctl {verb} {name} failed: {said}\n{journal.strip()}")

    def read_again(self) -> None:
        """Let systemd read its unit files."""
        self._module.run_command(["systemctl", "daemon-reload"], check_rc=True)


def settle(module: AnsibleModule, wanted: Sequence[dict[str, Any]]) -> list[str]:
    """Do what is due, or in check mode only find it; what that is, as `verb unit`."""
    names = [unit["name"] for unit in wanted]
    if not names:
        return []
    units = Units(module)
    found = units.read(names)
    # What is due is decided before systemd reads its files again, which would hide that they have changed.
    plan = {unit["name"]: due(unit, found[unit["name"]]) for unit in wanted}
    if not module.check_mode:
        if must_read_again(plan, found):
            units.read_again()
            missing = [name for name, unit in units.read(names).items() if not unit.loaded]
            if missing:
                module.fail_json(msg=f"systemd knows no unit {', '.join(missing)}, or refuses its file")
        for name, verbs in plan.items():
            for verb in verbs:
                units.act(verb, name)
    return [f"{verb} {name}" for name, verbs in plan.items() for verb in verbs]
