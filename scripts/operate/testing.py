"""Runs the project's tests, layer by layer: what `scripts/test` does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import IO, Annotated

import typer

from operate.failure import ExitCode, Failure
from operate.locations import ROOT, cache_home
from operate.reporting import Report, seconds

LAB = "test"
"""The lab that the integration layer builds and removes: nobody else's."""

WORKERS = (os.cpu_count() or 1) + 1
"""Processes that run tests side by side: one more than there are processors, since tests also wait."""

_COUNT = re.compile(r"(\d+) (passed|failed|skipped|error)")


@dataclass
class Tally:
    """Tests counted over all layers."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    layers: list[tuple[str, bool, float]] = field(default_factory=list)

    def read(self, closing_line: str) -> None:
        """Add the counts of a test runner's closing line."""
        for number, word in _COUNT.findall(closing_line):
            name = "failed" if word == "error" else word
            setattr(self, name, getattr(self, name) + int(number))


@dataclass(frozen=True)
class Layer:
    """A group of tests that need the same things."""

    name: str
    purpose: str
    commands: Callable[[], Sequence[Sequence[str]]]
    """Several run side by side."""
    nodes: bool = False
    """Whether it starts containers: left out by --fast."""


def _python(*words: str) -> list[str]:
    return [sys.executable, "-m", *words]


def _static() -> list[list[str]]:
    return [
        _python("ruff", "check", "."),
        _python("ruff", "format", "--check", "."),
        # Types of what hasn't changed are known from the run before, also in a new clone.
        _python("mypy", "--cache-dir", str(cache_home() / "mypy")),
        _python("yamllint", "--config-file", ".config/yamllint.yml", "--strict", "."),
        # The linter looks for modules where Ansible does.
        [
            *("env", "ANSIBLE_CONFIG=ansible/ansible.cfg"),
            *_python("ansiblelint", "--offline", "--config-file", ".config/ansible-lint.yml"),
        ],
        _python("operate", "docs", "--check"),
    ]


def _pytest(*words: str) -> list[str]:
    return _python("pytest", "-q", "--durations=15", "--durations-min=10", *words)


def _side_by_side(processes: int, *chosen: str) -> list[list[str]]:
    """The tests that pytest's words choose. What belongs together, and what begins: see tests/conftest.py."""
    spread = ("-n", str(processes), "--dist", "loadscope", "--no-loadscope-reorder")
    return [_pytest("tests", *spread, *chosen)]


def every_layer(*, drills: bool) -> tuple[Layer, ...]:
    """Every layer, in the order in which later ones stand on earlier ones; with drills, or without them."""

    def marked(marks: str) -> tuple[str, str]:
        return ("-m", marks if drills else f"({marks}) and not drill")

    return (
        Layer("static", "style, types, lint, generated files", _static),
        Layer(
            "toolchain",
            "binaries, packages and images are built",
            lambda: [_python("operate.toolchain", "all")],
            nodes=True,
        ),
        Layer(
            "python",
            "units, properties, contracts",
            lambda: _side_by_side(WORKERS, *marked("not lab and not node and not engine and not long")),
        ),
        Layer(
            "engine",
            "programs and providers on the tool chain's engines, and what takes minutes",
            # Half of their time they wait for clocks of servers.
            lambda: _side_by_side(WORKERS + 1, *marked("(engine or long) and not lab and not node")),
            nodes=True,
        ),
        Layer(
            "roles",
            "each role: check, converge, idempotence, verify",
            lambda: [_python("operate.role_tests", "--jobs", str(WORKERS))],
            nodes=True,
        ),
        Layer(
            "integration",
            "a lab is raised, proved, repeated, interrupted and removed",
            lambda: [_pytest("tests/integration", *marked("lab or node"), "--capture=no")],
            nodes=True,
        ),
    )


def run(layers: Sequence[Layer], report: Report) -> Tally:
    """Run `layers` in order and count; a failing layer doesn't keep later ones from running."""
    tally = Tally()
    for layer in layers:
        report.line(f"── {layer.name}: {layer.purpose}")
        started = time.monotonic()
        commands = layer.commands()
        with ThreadPoolExecutor(WORKERS) as pool:
            ending = partial(_ended, shown=_shown if len(commands) == 1 else _shown_afterwards)
            ended = list(pool.map(ending, commands))
        results = [_counted(tally, *how) for how in ended]
        tally.layers.append((layer.name, all(results), time.monotonic() - started))
    return tally


def _ended(command: Sequence[str], shown: Callable[[IO[str]], Iterator[str]]) -> tuple[int, str]:
    """Run a command, its output passed on as `shown` does: its exit status, and the last line with counts."""
    environment = {**os.environ, "SMARTGOUV_TEST_LAB": LAB}
    last = ""
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        for line in shown(process.stdout):
            if _COUNT.search(line):
                last = line
    return process.returncode, last


def _counted(tally: Tally, status: int, last: str) -> bool:
    """Count how a command ended; whether it ended well."""
    # A linter is one test: it passes or it doesn't.
    tally.read(last or ("1 passed" if status == 0 else "1 failed"))
    if status != 0 and last and "failed" not in last and "error" not in last:
        tally.failed += 1
    return status == 0


def _shown(stream: IO[str]) -> Iterator[str]:
    """Pass each line on when it comes."""
    for line in stream:
        sys.stdout.write(line)
        sys.stdout.flush()
        yield line


def _shown_afterwards(stream: IO[str]) -> Iterator[str]:
    """Pass all lines on together, so that those of two commands don't mix."""
    lines = list(stream)
    sys.stdout.write("".join(lines))
    sys.stdout.flush()
    yield from lines


def main(
    *,
    fast: Annotated[bool, typer.Option("--fast", help="Only the layers that need no container.")] = False,
    drills: Annotated[bool, typer.Option("--drills", help="Also drills, which take minutes each.")] = False,
    role: Annotated[str, typer.Option(help="Only this role's scenario.")] = "",
    stage: Annotated[str, typer.Option(help="Only the integration tests of this stage.")] = "",
) -> None:
    """Run the tests. Installs nothing by hand: environments and tool chain are cached by their hashes."""
    report = Report()
    started = time.monotonic()
    if role:
        layers: Sequence[Layer] = [
            Layer("roles", role, lambda: [_python("operate.role_tests", role)], nodes=True)
        ]
    elif stage:
        layers = [
            Layer(
                "integration",
                stage,
                lambda: [_pytest("tests/integration", "-k", stage, "--capture=no")],
                nodes=True,
            )
        ]
    else:
        layers = [layer for layer in every_layer(drills=drills) if not (fast and layer.nodes)]
    try:
        if any(layer.nodes for layer in layers):
            _prepare(report)
        tally = run(layers, report)
    except Failure as failure:
        report.failure(failure)
        raise typer.Exit(failure.code) from None
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    for name, passed, duration in tally.layers:
        report.line(f"{'ok  ' if passed else 'FAIL'} {name:<12} {seconds(duration)}")
    report.line(f"all layers took {seconds(time.monotonic() - started)}; caches are in {cache_home()}")
    failed = max(tally.failed, sum(not passed for _, passed, _ in tally.layers))
    sys.stdout.write(f"{tally.passed} passed, {failed} failed, {tally.skipped} skipped\n")
    if failed:
        raise typer.Exit(ExitCode.FAILED)


def _prepare(report: Report) -> None:
    """Install what nodes need on this machine, as `lab up` does, and what tests need beside that."""
    from operate.lab import packages
    from operate.lab.driver import prepare_machine

    prepare_machine(LAB, report)
    if names := packages.missing(packages.TESTS):
        packages.install(names, report)


if __name__ == "__main__":
    typer.run(main)
