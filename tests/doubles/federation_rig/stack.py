"""A stack of the federation program in a folder of its own, driven as a process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from federation_rig.processes import descendants
from federation_rig.simulation import DOUBLES, Simulation
from stacks.engine_files import BY_ITSELF
from stacks.federation.arguments import FederationArgs

_ROOT = DOUBLES.parents[1]
_LAUNCHER = """#!{python}
import os, sys, time
sys.path[:0] = {path!r}
import httpx
from pathlib import Path
from federation_rig.authority import LocalAuthority
from stacks.providers.serving import serve
from stacks.providers.xroad.provider import XRoadProvider

send = httpx.AsyncClient.send

writes = 0

async def recorded(self, request, **options):
    global writes
    with open({requests!r}, "a") as log:
        log.write(f"{{request.method}} {{request.url}}\\n")
    answer = await send(self, request, **options)
    # A preview changes nothing: a run that is always killed after it would get no further.
    changing = request.method != "GET" and not request.url.path.endswith("/previews")
    writes += changing
    if changing and writes == int(os.environ.get("FREEZE_AFTER", "0")):
        Path({frozen!r}).write_text(f"{{request.method}} {{request.url}} {{answer.status_code}}")
        time.sleep(3600)
    return answer

httpx.AsyncClient.send = recorded
folder = Path({authority!r})
successor = folder / "successor"
serve(XRoadProvider(LocalAuthority(successor if successor.exists() else folder)))
"""


@dataclass
class Stack:
    """The federation's stack in a folder of its own."""

    simulation: Simulation
    environment: dict[str, str]

    @property
    def folder(self) -> Path:
        """Where arguments and state lie."""
        return self.simulation.folder / "stack"

    def declare(self, args: FederationArgs) -> None:
        """Set what the program declares from now on."""
        self.folder.mkdir(exist_ok=True)
        (self.folder / "arguments.json").write_text(args.model_dump_json(), encoding="utf-8")

    def start(self, operation: str, *targets: str) -> subprocess.Popen[str]:
        """Start an operation, of the resources with these URNs or of all, in a process group of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "federation_rig.drive", operation, str(self.folder), *targets],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
            start_new_session=True,
        )

    def run(self, operation: str, *targets: str) -> Any:
        """Run an operation to its end; its count of changes by kind."""
        self.simulation.requests.write_text("", encoding="utf-8")
        process = self.start(operation, *targets)
        output, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        return json.loads(output.strip().splitlines()[-1]) if output.strip() else None

    def kill_after(self, writes: int) -> str | None:
        """Run an up that is killed when the server has answered its last write, before the answer is known.

        Returns that request with the answer's status; None if the run ended before.
        """
        frozen = self.simulation.folder / "frozen"
        frozen.unlink(missing_ok=True)
        self.environment["FREEZE_AFTER"] = str(writes)
        process = self.start("up")
        try:
            while not frozen.exists():
                if process.poll() is not None:
                    assert process.returncode == 0, process.communicate()[1]
                    process.communicate()
                    return None
                time.sleep(0.02)
            return frozen.read_text(encoding="utf-8")
        finally:
            del self.environment["FREEZE_AFTER"]
            if process.poll() is None:
                self.kill(process)

    def forget_interruption(self) -> None:
        """Drop the lock and pending operations, as `recover` does, but in the files and so in no time."""
        state = self.folder / "state" / ".pulumi"
        for lock in (state / "locks").rglob("*.json*"):
            lock.unlink()
        file = state / "stacks" / "federation" / "test.json"
        checkpoint = json.loads(file.read_text(encoding="utf-8"))
        checkpoint["checkpoint"].get("latest", {}).pop("pending_operations", None)
        file.write_text(json.dumps(checkpoint), encoding="utf-8")

    def kill(self, process: subprocess.Popen[str]) -> None:
        """Kill the engine and everything that it started, as a power cut would."""
        for group in {process.pid, *descendants(process.pid)}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(group, signal.SIGKILL)
        process.communicate()

    def requests(self) -> str:
        """Method and address of each request since the last operation began, one a line."""
        file = self.simulation.requests
        return file.read_text(encoding="utf-8") if file.exists() else ""

    def writes(self) -> list[str]:
        """Requests that weren't GET."""
        return [line for line in self.requests().splitlines() if not line.startswith("GET ")]


def prepared(simulation: Simulation, engine: Path) -> Stack:
    """A stack whose provider orders its certificates from the simulation's own authority."""
    launcher = simulation.folder / "launch" / "pulumi-resource-xroad"
    launcher.parent.mkdir()
    python_path = [str(_ROOT / part) for part in ("pulumi", "inventories", "tests/doubles")]
    launcher.write_text(
        _LAUNCHER.format(
            python=sys.executable,
            path=python_path,
            requests=str(simulation.requests),
            frozen=str(simulation.folder / "frozen"),
            authority=str(simulation.folder),
        ),
        encoding="utf-8",
    )
    launcher.chmod(launcher.stat().st_mode | stat.S_IXUSR)
    folders = [str(launcher.parent), str(engine.resolve().parent), os.environ["PATH"]]
    return Stack(
        simulation,
        {
            **os.environ,
            "PATH": os.pathsep.join(folders),
            "PYTHONPATH": os.pathsep.join(python_path),
            "PULUMI_CONFIG_PASSPHRASE": "test",
            **BY_ITSELF,
            **variables(simulation),
        },
    )


def variables(simulation: Simulation) -> dict[str, str]:
    """What tells a provider where secrets and certificates lie."""
    return {
        "SMARTGOUV_SECRETS": str(simulation.folder / "secrets"),
        "SMARTGOUV_ROOT_CERTIFICATE": str(simulation.folder / "ca.crt"),
        "SMARTGOUV_TIMESTAMPING": str(simulation.timestamping),
    }
