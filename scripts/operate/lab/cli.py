"""The command line of scripts/lab."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Annotated, Any

import typer
from rich.table import Table

from estate import Estate
from estate.host import Role
from operate import applying, command_line, remote
from operate.command_line import AllowPrune, Json
from operate.failure import ExitCode, Failure
from operate.files import exclusive
from operate.lab import checks, driver, nodes
from operate.lab.blueprint import object_name
from operate.lab.reconcile import observe
from operate.reporting import Report, seconds
from operate.workspace import DEFAULT_LAB, Workspace, open_workspace

application = typer.Typer(
    help="The miniature national data centre on this machine.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Name = Annotated[str, typer.Option("--name", help="Which lab; several can stand side by side.")]
_SITE = "lab"


def main() -> None:
    """Run the command line and exit."""
    command_line.run(application, "scripts/lab")


@application.command()
def check(name: Name = DEFAULT_LAB, as_json: Json = False) -> None:
    """Check whether this machine can carry a lab, and say what is missing. Changes nothing."""
    report = Report(as_json=as_json)
    with command_line.reported(report):
        workspace = open_workspace(_SITE, name)
        found = checks.machine(nodes_exist=False)
        found += checks.packages()
        found += checks.software()
        if shutil.which("podman") is not None:
            found.append(checks.addresses(workspace.load().site.network, name))
        for item in found:
            report.line(f"{'ok     ' if item.ok else 'missing'} {item.name:<10} {item.found}")
        report.document([vars(item) for item in found])
        up = workspace.lab_command("up")
        # Missing packages alone are no obstacle: `up` installs them.
        checks.refuse([item for item in found if item.name != "packages"], up)


@application.command()
def up(
    name: Name = DEFAULT_LAB,
    until: Annotated[str | None, typer.Option(help="Stop after this stage.")] = None,
    allow_prune: AllowPrune = False,
    as_json: Json = False,
) -> None:
    """Raise the lab, or bring it back to what the estate says, and prove that it works."""
    report = Report(as_json=as_json)
    again = f"`scripts/lab up{f' --name {name}' if name != DEFAULT_LAB else ''}` goes on from here"
    with command_line.reported(report, interrupted=f"{again}."):
        workspace = open_workspace(_SITE, name)
        with exclusive(workspace.lock_file, "scripts/lab up") as lock:
            driver.prepare_machine(name, report)
            driver.prepare_workspace(workspace, workspace.load(), report)
            applying.apply(workspace, report, lock=lock, until=until, allow_prune=allow_prune)
        if until is None and not as_json:
            _tell_url(workspace, report)


@application.command()
def down(
    name: Name = DEFAULT_LAB,
    keep_state: Annotated[
        bool, typer.Option("--keep-state", help="Keep the lab's keys, secrets, addresses and ledger.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    as_json: Json = False,
) -> None:
    """Remove the lab's nodes, networks, volumes and state. Caches stay, so the next `up` is quick."""
    report = Report(as_json=as_json)
    option = f" --name {name}" if name != DEFAULT_LAB else ""
    with command_line.reported(report, interrupted=f"`scripts/lab down{option}` removes the rest."):
        workspace = open_workspace(_SITE, name)
        _confirm(workspace, keep_state=keep_state, yes=yes)
        with exclusive(workspace.lock_file, "scripts/lab down"), report.working("down"):
            removed = driver.take_down(workspace, report, keep_state=keep_state)
        counts = {
            "nodes": len(removed.nodes),
            "networks": len(removed.networks),
            "volumes": len(removed.volumes),
        }
        state = f"; {workspace.directory} stays" if keep_state else ""
        report.line(", ".join(f"{count} {kind}" for kind, count in counts.items()) + f" removed{state}")
        report.document({"lab": name, "removed": counts, "state_kept": keep_state})


@application.command()
def status(name: Name = DEFAULT_LAB, as_json: Json = False) -> None:
    """Show the lab's hosts: zone, address, roles, state, memory."""
    report = Report(as_json=as_json)
    with command_line.reported(report):
        workspace = open_workspace(_SITE, name)
        estate = workspace.load()
        rows = _rows(estate, name)
        report.document({"lab": name, "hosts": rows, "last_runs": _last_runs(workspace)})
        if not as_json:
            report.console.print(_table(rows))
            running = [row for row in rows if row["state"] == "running"]
            total = sum(row["memory_mib"] for row in rows) / 1024
            report.line(f"{len(running)} of {len(rows)} hosts running, {total:.1f} GiB of memory")
            for stage in _last_runs(workspace):
                report.line(
                    f"{stage['when'][:19]}Z  {stage['stage']:<11} {stage['result']:<12}"
                    f"{seconds(stage['seconds']):>13}  {stage['changed']} changed"
                )
        if any(row["state"] != "running" for row in rows):
            raise typer.Exit(ExitCode.FAILED)


@application.command("ssh", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def ssh_(
    host: Annotated[str, typer.Argument(help="A host of the lab.")],
    words: Annotated[list[str] | None, typer.Argument(metavar="[COMMAND]...")] = None,
    name: Name = DEFAULT_LAB,
) -> None:
    """Open a shell on a host, or run a command there, as account deploy."""
    report = Report()
    with command_line.reported(report):
        workspace = open_workspace(_SITE, name)
        _require_host(workspace.load(), host)
        if not workspace.ssh_configuration.exists():
            raise Failure(
                f"lab '{name}' has no hosts yet",
                next_step=workspace.lab_command("up"),
            )
        command = remote.command(workspace, host, *(words or ()))
    os.execvp(command[0], command)  # noqa: S606 - the client takes this program's place


@application.command()
def url(name: Name = DEFAULT_LAB, as_json: Json = False) -> None:
    """Print the portal's address, how to reach it and how to trust its certificate."""
    report = Report(as_json=as_json)
    with command_line.reported(report):
        _tell_url(open_workspace(_SITE, name), report)


@application.command()
def logs(
    host: Annotated[str | None, typer.Argument(help="A host; without it, the last run's logs.")] = None,
    lines: Annotated[int, typer.Option("--lines", min=1, help="How many lines.")] = 50,
    name: Name = DEFAULT_LAB,
) -> None:
    """Show a host's journal, or the end of the last run's log."""
    report = Report()
    with command_line.reported(report):
        workspace = open_workspace(_SITE, name)
        if host is None:
            _show_last_log(workspace, report, lines)
            return
        _require_host(workspace.load(), host)
        command = ["journalctl", "--no-pager", f"--lines={lines}"]
        # Not over SSH: a journal is wanted most when SSH doesn't work.
        result = subprocess.run(["podman", "exec", object_name(name, host), *command], check=False)
        if result.returncode != 0:
            raise Failure(f"the journal of {host} can't be read", next_step=f"scripts/lab status --name {name}")


def _tell_url(workspace: Workspace, report: Report) -> None:
    estate = workspace.load()
    balancer = estate.hosts_with(Role.LOAD_BALANCER)[0]
    host = estate.portal.host_name
    address = f"https://{host}/"
    root = workspace.directory / "root.crt"
    if not root.exists():
        certificate = subprocess.run(
            remote.command(workspace, balancer.name, "cat", "/etc/smartgouv/tls/root.crt"),
            capture_output=True,
            text=True,
            check=False,
        )
        if certificate.returncode != 0:
            raise Failure(
                "the lab has no root certificate yet",
                details=certificate.stderr.strip(),
                next_step=workspace.lab_command("up"),
            )
        root.write_text(certificate.stdout, encoding="utf-8")
    resolve = f"{host}:443:{balancer.address}"
    curl = f"curl --cacert {root} --resolve {resolve} {address}"
    if report.as_json:
        report.document(
            {"url": address, "address": str(balancer.address), "root_certificate": str(root), "curl": curl}
        )
        return
    report.line(f"portal      {address}   (at {balancer.address})")
    report.line(f"trust       {root}   (import it into a browser as an authority, for this lab only)")
    report.line(f"name        echo '{balancer.address} {host}' >> /etc/hosts")
    report.line(f"or          {curl}")


def _rows(estate: Estate, name: str) -> list[dict[str, Any]]:
    observed = observe(name)
    memory = nodes.memory(name)
    rows = []
    for host in estate.hosts:
        container = object_name(name, host.name)
        state, _ = observed.nodes.get(container, ("absent", ""))
        rows.append(
            {
                "zone": host.zone,
                "host": host.name,
                "address": str(host.address),
                "roles": [role.value for role in host.roles],
                "state": state,
                "memory_mib": round(memory.get(container, 0) / 2**20),
            }
        )
    return rows


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("zone", "host", "address", "roles", "state"):
        table.add_column(heading, no_wrap=heading != "roles", overflow="fold")
    table.add_column("memory", justify="right")
    for row in rows:
        colour = "green" if row["state"] == "running" else "red"
        table.add_row(
            row["zone"],
            row["host"],
            row["address"],
            ", ".join(row["roles"]),
            f"[{colour}]{row['state']}[/]",
            f"{row['memory_mib']} MiB",
        )
    return table


def _last_runs(workspace: Workspace) -> list[dict[str, Any]]:
    """How each stage ended last, in the order in which they ran."""
    last: dict[str, dict[str, Any]] = {}
    for entry in workspace.ledger.entries():
        if entry.get("result") != "started":
            last.pop(entry["stage"], None)
            last[entry["stage"]] = {
                "when": entry["when"],
                "stage": entry["stage"],
                "result": entry["result"],
                "seconds": entry.get("seconds", 0.0),
                "changed": entry.get("changed", 0),
            }
    return list(last.values())


def _require_host(estate: Estate, host: str) -> None:
    names = [known.name for known in estate.hosts]
    if host not in names:
        raise Failure(
            f"there's no host '{host}' in this lab",
            details="hosts: " + ", ".join(names),
            code=ExitCode.BAD_INPUT,
        )


def _show_last_log(workspace: Workspace, report: Report, lines: int) -> None:
    found = sorted((workspace.directory / "runs").glob("*/*.log"))
    if not found:
        raise Failure("nothing has run yet", next_step=workspace.lab_command("up"))
    report.line(str(found[-1]))
    for line in found[-1].read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]:
        report.line(line)


def _confirm(workspace: Workspace, *, keep_state: bool, yes: bool) -> None:
    """Ask before keys, secrets and the ledger go; a program that can't be asked goes on."""
    if yes or keep_state or not os.isatty(0):
        return
    what = f"Remove lab '{workspace.lab}' with its keys, secrets and ledger in {workspace.directory}?"
    if not typer.confirm(what):
        raise Failure("nothing was removed")
