"""Measures the project's figures on this machine. Prints them; asserts nothing."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer

from operate import command_line
from operate.failure import ExitCode, Failure
from operate.locations import ROOT
from operate.reporting import Report
from operate.workspace import open_workspace

application = typer.Typer(
    help="Measures the project's figures on this machine. Noisy by nature: nothing is asserted.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, for programs.")]
Lab = Annotated[str, typer.Option("--name", help="The lab.")]


@dataclass(frozen=True)
class Figure:
    """A measured value beside its target or baseline."""

    name: str
    value: float
    unit: str
    target: str = ""
    ratio: float | None = None
    """To the baseline that was measured in the same run, if there is one."""


@application.command()
def validate(runs: int = 10, as_json: Json = False) -> None:
    """Time `validate production`, as a ratio to an interpreter that only imports pydantic and yaml."""
    report = Report(as_json=as_json)
    with command_line.reported(report):
        baseline = _median(runs, sys.executable, "-c", "import pydantic, yaml")
        whole = _median(runs, sys.executable, "-m", "operate", "validate", "production")
        figures = [
            Figure("interpreter with pydantic and yaml", baseline, "s"),
            Figure("smartgouv validate production", whole, "s", "≤ 1", whole / baseline),
        ]
        _print(report, figures)


@application.command()
def lab(name: Lab = "lab", as_json: Json = False) -> None:
    """Raise a lab, with the tool chain cached, then raise it again; then its memory and its control plane."""
    report = Report(as_json=as_json)
    with command_line.reported(report):
        first, first_seconds = _timed_up(name)
        second, second_seconds = _timed_up(name)
        changed = sum(stage["changed"] for stage in second["stages"])
        figures = [
            Figure("lab up", first_seconds, "s", "≤ 600 warm"),
            Figure("second lab up", second_seconds, "s", "≤ 120", second_seconds / first_seconds),
            Figure("changed by the second lab up", changed, "", "0"),
            *_of_running(name),
        ]
        _print(report, figures, {"first": first["stages"], "second": second["stages"]})


@application.command()
def memory(name: Lab = "lab", as_json: Json = False) -> None:
    """Memory of a running lab, and how long its control plane took to be ready."""
    report = Report(as_json=as_json)
    with command_line.reported(report):
        _print(report, _of_running(name))


@application.command()
def trust(
    only: Annotated[
        str, typer.Option("--only", help="status, issuing, timestamps or reissue; all otherwise.")
    ] = "",
    seconds: Annotated[int, typer.Option(help="How long each load lasts.")] = 10,
    as_json: Json = False,
) -> None:
    """Load the site's trust services on the loopback, each beside a peer where one can be had."""
    from operate import bench_issuing, bench_reissue, bench_status, bench_timestamps

    measures: dict[str, Callable[[], list[Figure]]] = {
        "status": lambda: _of_status(bench_status.measure(seconds=seconds)),
        "issuing": lambda: _of_issuing(bench_issuing.measure(seconds)),
        "timestamps": lambda: [
            Figure(**figure) for figure in bench_timestamps.measure(seconds=seconds)["figures"]
        ],
        "reissue": lambda: _of_reissue(bench_reissue.measure(seconds)),
    }
    report = Report(as_json=as_json)
    with command_line.reported(report):
        if only and only not in measures:
            raise Failure(f"nothing is called '{only}'", details=", ".join(measures), code=ExitCode.BAD_INPUT)
        figures = []
        for name in [only] if only else measures:
            with report.working(name):
                figures += measures[name]()
        _print(report, figures)


@application.command()
def federation(
    members: Annotated[int, typer.Option(help="Members, each with a subsystem and two services.")] = 1000,
    servers: Annotated[int, typer.Option(help="Security servers.")] = 200,
    rights: Annotated[int, typer.Option(help="Access rights.")] = 20000,
    as_json: Json = False,
) -> None:
    """Plan a simulated federation that exists as declared, with the real engine. No figure of X-Road."""
    from operate import bench_federation

    report = Report(as_json=as_json)
    with command_line.reported(report, interrupted="What it had made is removed."):
        sizes = {"a dozen servers": (12, 12, 100), "the large one": (members, servers, rights)}
        figures = []
        for name, size in sizes.items():
            with report.working(name):
                found = bench_federation.measure(*size, report.progress)
            figures += _of_federation(found, *size)
        _print(report, figures)


def _of_federation(found: dict[str, Any], members: int, servers: int, rights: int) -> list[Figure]:
    targets = {12: ("≤ 15", ""), 200: ("≤ 120", "≤ 1")}.get(servers, ("", ""))
    told = f"{members} members, {servers} servers, {rights} rights"
    plan, preview = found["plan"], found["preview"]
    return [
        Figure(told, found["resources"], "resources"),
        Figure("  plan: everything looked at", plan["seconds"], "s", targets[0]),
        *_used("plan", plan, targets[1]),
        Figure("  preview against the last apply", preview["seconds"], "s"),
        *_used("preview", preview),
    ]


def _used(name: str, found: dict[str, Any], memory_target: str = "") -> list[Figure]:
    """What engine, program and provider used together; the simulated servers are within the provider."""
    processor = found["processor_seconds"]
    return [
        Figure(f"  {name}: memory, largest", found["bytes"] / 2**30, "GiB", memory_target),
        *(
            Figure(f"  {name}: memory, {part}", size / 2**30, "GiB")
            for part, size in sorted(found["bytes_by_process"].items())
        ),
        *(Figure(f"  {name}: processor, {part}", seconds, "s") for part, seconds in sorted(processor.items())),
        Figure(f"  {name}: requests, all servers", found["requests"], ""),
    ]


def _of_status(found: dict[str, Any]) -> list[Figure]:
    figures = [Figure("openssl ocsp, signing each answer", found["openssl"]["per_second"], "1/s")]
    for name, workers in (("one_worker", 1), ("two_workers", 2)):
        rate, ratio = found[name]["per_second"], found[name]["ratio"]
        figures.append(Figure(f"pre-signed OCSP, {workers} worker(s)", rate, "1/s", "≥ 10,000", ratio))
    return figures


def _of_issuing(found: dict[str, Any]) -> list[Figure]:
    return [
        Figure("issued, linted, recorded", found["in_process"]["per_second"], "1/s", "≥ 200"),
        Figure("the same over HTTP", found["over_http"]["per_second"], "1/s"),
    ]


def _of_reissue(found: dict[str, Any]) -> list[Figure]:
    requests = found["requests"]
    return [
        Figure(f"{found['certificates']} certificates reissued", found["seconds"], "s", "≤ 600"),
        Figure("  of it after the last was verified", found["published_after_seconds"], "s"),
        Figure("  issued over HTTP meanwhile", found["issued_per_second"], "1/s"),
        Figure("OCSP requests meanwhile", requests["per_second"], "1/s", "100"),
        Figure("  that failed", requests["failures"], "", "0"),
    ]


def _of_running(name: str) -> list[Figure]:
    from operate import remote
    from operate.lab import nodes

    workspace = open_workspace("lab", name)
    used = sum(nodes.memory(name).values()) / 2**30
    figures = [Figure("memory of the lab's hosts", used, "GiB", "≤ 8")]
    command = remote.command(workspace, "control1", "sudo", "cat", READY_FACT)
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode == 0:
        ready = float(json.loads(done.stdout)["ready_seconds"])
        figures.append(Figure("kubeadm init to readyz", ready, "s", "≤ 15"))
    return figures


READY_FACT = "/etc/ansible/facts.d/kubernetes_bootstrap.fact"
"""Where role `kubernetes` notes how long the control plane took."""


def _timed_up(name: str) -> tuple[dict[str, Any], float]:
    started = time.monotonic()
    done = subprocess.run(
        [ROOT / "scripts/lab", "up", "--name", name, "--json"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Failure("the lab didn't come up", next_step=f"scripts/lab up --name {name}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found, time.monotonic() - started


def _median(runs: int, *command: str) -> float:
    return statistics.median(
        _timed(lambda: subprocess.run(command, check=True, capture_output=True)) for _ in range(runs)
    )


def _timed(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def _print(report: Report, figures: list[Figure], more: dict[str, Any] | None = None) -> None:
    load = os.getloadavg()[0]
    report.line(f"{os.cpu_count()} cores, load {load:.1f}")
    for figure in figures:
        ratio = f"   × {figure.ratio:.2f} of the baseline" if figure.ratio is not None else ""
        target = f"   (target {figure.target})" if figure.target else ""
        report.line(f"{figure.name:<36}{figure.value:>9.2f} {figure.unit:<4}{target}{ratio}")
    found = {"cores": os.cpu_count(), "load": load, "figures": [asdict(figure) for figure in figures]}
    report.document({**found, **(more or {})})


if __name__ == "__main__":
    command_line.run(application, "scripts/bench")
