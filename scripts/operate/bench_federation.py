"""Measures the plan of a large federation in which nothing has to change: time, memory, requests."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from typing import Any

from operate import processes
from operate.failure import Failure
from operate.locations import ROOT, cache_home
from operate.reporting import seconds

_DOUBLES = ROOT / "tests" / "doubles"


def measure(members: int, servers: int, rights: int, progress: Callable[[str], None]) -> dict[str, Any]:
    """What `federation_fake.plan` says, which is test equipment and a process of its own.

    The servers answer within the provider's process, so their own speed doesn't count; the limit of requests to
    each does. `progress` is told what is being done, and for how long. Failure if the engine isn't there or the
    plan fails. An interruption ends all processes and removes what they made.
    """
    command = [sys.executable, "-m", "federation_fake.plan", str(members), str(servers), str(rights)]
    environment = {
        **os.environ,
        "PATH": _path_with_engine(),
        "PYTHONPATH": os.pathsep.join([str(_DOUBLES), os.environ.get("PYTHONPATH", "")]),
    }
    found: dict[str, Any] = {}
    others: list[str] = []
    with processes.started(command, environment=environment, directory=ROOT) as process:
        for line in process.stdout or ():
            try:
                found = json.loads(line)
            except ValueError:
                others.append(line)
                continue
            if "step" in found:
                progress(f"{found['step']}, {seconds(found['seconds'])}")
        process.wait()
    if process.returncode != 0:
        raise Failure(
            f"the plan of {members} members, {servers} servers and {rights} rights failed",
            details="".join(others)[-4000:],
            next_step=" ".join(["scripts/bootstrap python", *command[1:]]) + "   # shows it by itself",
        )
    return found


def _path_with_engine() -> str:
    """The search path with the tool chain's engine; Failure if it isn't built."""
    path = os.pathsep.join([os.environ.get("PATH", ""), str(cache_home() / "bin")])
    if shutil.which("pulumi", path=path) is None:
        raise Failure("the engine, pulumi, isn't built", next_step="scripts/lab up   # builds the tool chain")
    return path
