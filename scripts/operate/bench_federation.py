"""Measures the plan of a large federation in which nothing has to change: time, memory, requests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from operate.failure import Failure
from operate.locations import ROOT

_DOUBLES = ROOT / "tests" / "doubles"


def measure(members: int, servers: int, rights: int) -> dict[str, Any]:
    """What `federation_fake.plan` says, which is test equipment and a process of its own.

    The servers answer within the provider's process, so their own speed doesn't count; the limit of requests to
    each does. Failure if the engine isn't there or the plan fails.
    """
    command = [sys.executable, "-m", "federation_fake.plan", str(members), str(servers), str(rights)]
    path = os.pathsep.join([str(_DOUBLES), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        raise Failure(
            "the plan failed", details=done.stderr[-4000:], next_step="scripts/lab up, which builds the engine"
        )
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found
