"""Runs the roles' Molecule scenarios, several side by side: `python -m operate.role_tests [ROLE…]`."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from xml.etree import ElementTree as ET

import typer

from operate.failure import ExitCode
from operate.files import write_atomically
from operate.locations import ROOT, state_home
from operate.reporting import seconds

ROLES = ROOT / "roles"
LIMIT_SECONDS = 1500
"""The longest that a scenario may take; one that hangs must not take the others' time."""


@dataclass(frozen=True)
class Result:
    """How a role's scenario went."""

    role: str
    passed: bool
    seconds: float
    log: Path
    cause: str = ""
    tests: int = 0
    """Tests of the verify step."""


class Runner:
    """Runs scenarios and stops them together."""

    def __init__(self, run: str, folder: Path) -> None:
        self._run = run
        self._folder = folder
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def scenario(self, role: str) -> Result:
        """Run one role's whole sequence, output to its log."""
        log = self._folder / f"{role}.log"
        started = time.monotonic()
        with log.open("w", encoding="utf-8") as output:
            process = self._start(role, output)
            if process is None:
                return Result(role, passed=False, seconds=0, log=log, cause="not started")
            try:
                code = process.wait(LIMIT_SECONDS)
            except subprocess.TimeoutExpired:
                self._kill(process)
                code = None
            finally:
                with self._lock:
                    self._running.discard(process)
        duration = time.monotonic() - started
        text = log.read_text(encoding="utf-8", errors="replace")
        if code == 0:
            return Result(role, passed=True, seconds=duration, log=log, tests=_tests(text))
        cause = f"took more than {seconds(LIMIT_SECONDS)}" if code is None else _cause(text)
        return Result(role, passed=False, seconds=duration, log=log, cause=cause, tests=_tests(text))

    def stop(self) -> None:
        """Kill what runs and start nothing more."""
        with self._lock:
            self._stopped = True
            running = list(self._running)
        for process in running:
            self._kill(process)

    def _start(self, role: str, output: object) -> subprocess.Popen[str] | None:
        with self._lock:
            if self._stopped:
                return None
            process = subprocess.Popen(
                [sys.executable, "-m", "molecule", "test"],
                cwd=ROLES / role,
                env={
                    **os.environ,
                    "SMARTGOUV_MOLECULE_RUN": self._run,
                    "MOLECULE_COMMAND_BORDERS": "false",
                    "NO_COLOR": "1",
                    "PY_COLORS": "0",
                },
                stdin=subprocess.DEVNULL,
                stdout=output,  # type: ignore[call-overload]
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
            self._running.add(process)
            return process

    @staticmethod
    def _kill(process: subprocess.Popen[str]) -> None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        process.wait()


def roles() -> list[str]:
    """Roles that have a scenario."""
    return sorted(path.parents[2].name for path in ROLES.glob("*/molecule/default/molecule.yml"))


def sweep(run: str) -> None:
    """Remove containers and networks of a run: what a killed scenario left."""
    environment = {**os.environ, "CONTAINERS_CONF": str(ROOT / ".config/containers.conf")}
    label = f"--filter=label=smartgouv.molecule.run={run}"

    def podman(*words: str) -> list[str]:
        done = subprocess.run(["podman", *words], capture_output=True, text=True, check=False, env=environment)
        return done.stdout.split()

    if containers := podman("ps", "--all", "--quiet", label):
        podman("rm", "--force", "--volumes", "--time", "0", *containers)
    if networks := podman("network", "ls", "--quiet", label):
        podman("network", "rm", "--force", *networks)


def _tests(text: str) -> int:
    return sum(int(number) for number in re.findall(r"^=+ .*?(\d+) passed.*=+$", text, re.MULTILINE))


def _cause(text: str) -> str:
    """The line that says most about a failure."""
    for pattern in (r"^(?:fatal|failed): .*", r"^FAILED .*", r"^ERROR +.*", r"^CRITICAL .*"):
        if found := re.findall(pattern, text, re.MULTILINE):
            return str(found[0])[:200]
    return "the log says"


def _junit(results: Iterable[Result], target: Path) -> None:
    found = list(results)
    failures = sum(not result.passed for result in found)
    suite = ET.Element("testsuite", name="roles", tests=str(len(found)), failures=str(failures))
    for result in found:
        case = ET.SubElement(
            suite, "testcase", classname="roles", name=result.role, time=f"{result.seconds:.1f}"
        )
        if not result.passed:
            ET.SubElement(case, "failure", message=result.cause)
    ET.indent(suite)
    write_atomically(target, ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n")


@contextmanager
def _interruptible(runner: Runner) -> Iterator[None]:
    """Stop the scenarios on Ctrl-C and on a request to end."""

    def end(*_: object) -> None:
        runner.stop()
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except KeyboardInterrupt:
        runner.stop()
        raise
    finally:
        signal.signal(signal.SIGTERM, previous)


def main(
    names: Annotated[list[str] | None, typer.Argument(help="Roles; all of them if none is named.")] = None,
    *,
    jobs: Annotated[int, typer.Option(help="Scenarios side by side.")] = 2,
) -> None:
    """Run each role's scenario: check, converge, idempotence, verify."""
    known = roles()
    if unknown := sorted(set(names or []) - set(known)):
        typer.echo(f"no such role: {', '.join(unknown)}; there are: {', '.join(known)}", err=True)
        raise typer.Exit(ExitCode.BAD_INPUT)
    run = f"test{os.getpid()}"
    folder = state_home() / "role-tests"
    folder.mkdir(parents=True, exist_ok=True)
    runner = Runner(run, folder)
    results: list[Result] = []
    try:
        with _interruptible(runner), ThreadPoolExecutor(jobs) as pool:
            for result in pool.map(runner.scenario, names or known):
                results.append(result)
                mark = "ok    " if result.passed else "FAILED"
                detail = f"{result.tests} tests" if result.passed else f"{result.cause}; see {result.log}"
                typer.echo(f"{mark} {result.role:<22} {seconds(result.seconds):>12}  {detail}")
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    finally:
        sweep(run)
    _junit(results, folder / "roles.xml")
    failed = sum(not result.passed for result in results)
    typer.echo(f"{len(results) - failed} passed, {failed} failed")
    if failed:
        raise typer.Exit(ExitCode.FAILED)


if __name__ == "__main__":
    typer.run(main)
