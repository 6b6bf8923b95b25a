"""Runs the Molecule scenarios of roles, several side by side, and says in one line each how they went.

Each role's whole output goes to a file of its own. Containers and networks of a run carry its name, so that
runs at one time don't meet, and whatever ends the run, nothing of it is left.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated
from xml.etree import ElementTree as ET

import typer

from operate.failure import Failure
from operate.files import write_atomically
from operate.locations import ROOT, cache_home, state_home
from operate.processes import started, stop
from operate.reporting import Report, seconds

ROLES = ROOT / "roles"
RUN_LABEL = "smartgouv.molecule.run"
ROLE_LABEL = "smartgouv.molecule"
LONGEST = ("kubernetes", "xroad_server", "configuration_proxy", "security_server_cluster", "central_server")
"""They begin, so that none of them is left alone at the end."""
SHOWN_LINES = 25
"""How much of a failed role's output stands in the report; the rest is in its file."""


@dataclass(frozen=True)
class Result:
    """How a role's scenario went."""

    role: str
    passed: bool
    seconds: float
    step: str
    """The step in which it failed. Empty if it passed."""
    log: Path


def scenarios() -> list[str]:
    """Every role that has a scenario, those that take longest first."""
    found = sorted(path.parents[2].name for path in ROLES.glob("*/molecule/default/molecule.yml"))
    return sorted(found, key=lambda role: LONGEST.index(role) if role in LONGEST else len(LONGEST))


class Run:
    """One run of several scenarios."""

    def __init__(self, folder: Path) -> None:
        """Prepare a run that keeps its results in `folder`."""
        # A process's number is no other living run's.
        self.name = f"t{os.getpid()}"
        self.folder = folder
        self._living: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def role(self, role: str) -> Result:
        """Run the scenario of a role."""
        log = self.folder / f"{role}.log"
        begun = time.monotonic()
        step = ""
        with tempfile.TemporaryDirectory(prefix=f"smartgouv-{role}-") as ephemeral, log.open("w") as file:
            environment = self._environment(ephemeral)
            with started(
                # Removing is ours: by Molecule it takes a whole playbook, and a killed one wouldn't.
                [sys.executable, "-m", "molecule", "test", "--destroy=never"],
                environment=environment,
                directory=ROLES / role,
            ) as process:
                with self._lock:
                    self._living.add(process)
                    if self._stopped:
                        stop(process)
                assert process.stdout is not None  # noqa: S101 - a pipe was asked for
                for line in process.stdout:
                    file.write(line)
                    file.flush()
                    step = _failed_step(line) or step
                status = process.wait()
                with self._lock:
                    self._living.discard(process)
        _remove(f"{RUN_LABEL}={self.name}", f"{ROLE_LABEL}={role}")
        return Result(role, status == 0, time.monotonic() - begun, step if status else "", log)

    def stop(self) -> None:
        """End every scenario that still runs, and start no other."""
        with self._lock:
            self._stopped = True
            living = list(self._living)
        for process in living:
            stop(process)

    def clean(self) -> None:
        """Remove what scenarios of this run left."""
        _remove(f"{RUN_LABEL}={self.name}")

    def _environment(self, ephemeral: str) -> dict[str, str]:
        return {
            **os.environ,
            "CONTAINERS_CONF": str(ROOT / ".config/containers.conf"),
            "MOLECULE_COMMAND_BORDERS": "false",
            "MOLECULE_EPHEMERAL_DIRECTORY": ephemeral,
            "NO_COLOR": "1",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONUNBUFFERED": "1",
            "SMARTGOUV_MIRROR": os.environ.get("SMARTGOUV_MIRROR", str(cache_home() / "mirror")),
            "SMARTGOUV_MOLECULE_RUN": self.name,
        }


def _failed_step(line: str) -> str:
    """The step that a line of Molecule's output says has failed."""
    before, _, after = line.partition("Executed: Failed")
    return before.rpartition(" > ")[2].strip(" ]\t") if after or "Executed: Failed" in line else ""


def remove_orphans() -> None:
    """Remove what runs left that were ended by force: those whose process is gone."""
    for name in set(_podman("ps", "--all", "--format", f'{{{{index .Labels "{RUN_LABEL}"}}}}').split()):
        if name[:1] == "t" and name[1:].isdigit() and not Path("/proc", name[1:]).exists():
            _remove(f"{RUN_LABEL}={name}")


def _remove(*labels: str) -> None:
    """Remove containers and networks that carry all of these labels."""
    filters = [f"--filter=label={label}" for label in labels]
    containers = _podman("ps", "--all", "--quiet", *filters).split()
    if containers:
        _podman("rm", "--force", "--volumes", "--time", "0", *containers)
    networks = _podman("network", "ls", "--quiet", *filters).split()
    if networks:
        _podman("network", "rm", "--force", *networks)


def _podman(*words: str) -> str:
    environment = {**os.environ, "CONTAINERS_CONF": str(ROOT / ".config/containers.conf")}
    return subprocess.run(
        ["podman", *words], env=environment, capture_output=True, text=True, check=False
    ).stdout


def write_results(results: Sequence[Result], folder: Path) -> None:
    """Write what programs read: JUnit XML and JSON."""
    suite = ET.Element(
        "testsuite",
        name="roles",
        tests=str(len(results)),
        failures=str(sum(not result.passed for result in results)),
        time=f"{sum(result.seconds for result in results):.1f}",
    )
    for result in results:
        case = ET.SubElement(
            suite, "testcase", classname="roles", name=result.role, time=f"{result.seconds:.1f}"
        )
        if not result.passed:
            failure = ET.SubElement(case, "failure", message=f"failed in step {result.step}")
            failure.text = "".join(_tail(result.log))
    write_atomically(folder / "junit.xml", ET.tostring(suite, encoding="unicode"))
    found = [{**asdict(result), "log": str(result.log)} for result in results]
    write_atomically(folder / "results.json", json.dumps(found, indent=2) + "\n")


def _tail(log: Path) -> list[str]:
    """The part of a failed scenario's output that says why: what stood before Molecule cleaned up."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    end = next((number for number, line in enumerate(lines) if "Executed: Failed" in line), len(lines))
    return lines[max(0, end - SHOWN_LINES) : end]


def _in_order_of_ending(run: Run, roles: Sequence[str], jobs: int) -> Iterator[Result]:
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        waiting = [pool.submit(run.role, role) for role in roles]
        try:
            for future in as_completed(waiting):
                yield future.result()
        except BaseException:
            for future in waiting:
                future.cancel()
            run.stop()
            raise


def main(
    roles: Annotated[list[str] | None, typer.Argument(metavar="[ROLE]...", help="Every role if none.")] = None,
    *,
    jobs: Annotated[int, typer.Option(help="How many scenarios run at one time.", min=1)] = 2,
    results: Annotated[Path | None, typer.Option(help="Folder for logs and results.")] = None,
) -> None:
    """Run roles' scenarios: check, converge, idempotence, verify."""
    report = Report()
    known = scenarios()
    wanted = roles or known
    unknown = sorted(set(wanted) - set(known))
    if unknown:
        report.failure(
            Failure(f"no such role: {', '.join(unknown)}", next_step=f"choose from: {' '.join(known)}")
        )
        raise typer.Exit(2)
    folder = results or state_home() / "role-tests" / time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    folder.mkdir(parents=True, exist_ok=True)
    # Ends like Ctrl-C does, so that nothing stays behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    begun = time.monotonic()
    remove_orphans()
    run = Run(folder)
    found: list[Result] = []
    try:
        for result in _in_order_of_ending(run, wanted, jobs):
            found.append(result)
            if result.passed:
                report.done(result.role, result.seconds, "check, converge, idempotence, verify")
            else:
                report.failure(
                    Failure(
                        f"{result.role} in step {result.step or 'start'} after {seconds(result.seconds)}",
                        details="".join(_tail(result.log)),
                        next_step=f"less {result.log}",
                    )
                )
    except KeyboardInterrupt:
        report.line("stopped; removing the containers of this run")
        raise typer.Exit(130) from None
    finally:
        run.clean()
        write_results(found, folder)
    failed = sum(not result.passed for result in found)
    report.line(
        f"{len(found) - failed} passed, {failed} failed in {seconds(time.monotonic() - begun)} ({folder})"
    )
    raise typer.Exit(1 if failed else 0)


if __name__ == "__main__":
    typer.run(main)
