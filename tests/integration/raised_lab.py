"""The lab that the integration tests raise: its commands, its nodes, its state."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ISSUED = (
    "curl -sS --cacert /etc/smartgouv/tls/root.crt https://ca1.lab.smartgouv.test:9444/metrics"
    """ | sed -n 's/trust_services_events_total{kind="issued"} //p'"""
)
"""Prints on the trust services CA's host how many certificates it has issued."""


@dataclass
class Lab:
    """A lab by its name. Every command runs without a terminal and without standard input."""

    name: str
    raised: dict[str, Any] = field(default_factory=dict)
    """What the `up` that raised it printed as JSON."""

    @property
    def state(self) -> Path:
        """The lab's own directory: keys, secrets, ledger, runs."""
        home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state")
        return home / "smartgouv/labs" / self.name

    def command(self, program: str, *words: str) -> list[str]:
        """A command of the project that concerns this lab."""
        option = "--name" if program == "lab" else "--lab"
        return [str(ROOT / "scripts" / program), *words, option, self.name]

    def run(
        self, program: str, *words: str, seconds: float = 2400, shown: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run one of the project's commands; `shown` passes its standard error on instead of keeping it."""
        return subprocess.run(
            self.command(program, *words),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=None if shown else subprocess.PIPE,
            text=True,
            timeout=seconds,
            check=False,
        )

    def document(self, program: str, *words: str) -> dict[str, Any]:
        """Run a command that must succeed, and read the JSON that it prints. What people read is shown."""
        done = self.run(program, *words, "--json", shown=True)
        assert done.returncode == 0, done.stdout[-3000:]
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def apply(self, stage: str, *hosts: str) -> subprocess.CompletedProcess[str]:
        """Apply one stage, to these hosts or to all."""
        only = [word for host in hosts for word in ("--host", host)]
        return self.run("smartgouv", "apply", "lab", "--stage", stage, *only)

    def mended(self, last: str) -> None:
        """Run `up` as far as a stage; it must succeed."""
        done = self.run("lab", "up", "--until", last)
        assert done.returncode == 0, done.stdout[-3000:]

    def on(self, host: str, script: str, *, given: str = "") -> str:
        """What a shell script prints on a node, as root, whatever state SSH is in."""
        return _podman("exec", "--interactive", self.node(host), "sh", "-ec", script, given=given)

    def stop(self, host: str) -> None:
        """Take a node down, as a power cut would."""
        _podman("stop", "--time", "0", self.node(host))

    def lose(self, host: str) -> None:
        """Take a node away with all that was on it."""
        _podman("rm", "--force", "--time", "0", "--volumes", self.node(host))

    def node(self, host: str) -> str:
        """The container of a host."""
        return f"smartgouv-{self.name}-{host}"

    def labelled(self) -> list[str]:
        """Containers, networks and volumes that podman still has of this lab."""
        own = ("--filter", f"label=smartgouv.lab={self.name}", "--format")
        return [
            *_podman("ps", "--all", *own, "{{.Names}}").split(),
            *_podman("network", "ls", *own, "{{.Name}}").split(),
            *_podman("volume", "ls", *own, "{{.Name}}").split(),
        ]

    def end_in_the_middle(self, stage: str, number: signal.Signals) -> tuple[int, str]:
        """Start `up` and send a signal to it and its children soon after a stage has ended.

        Returns the exit code and all that it printed.
        """
        with subprocess.Popen(
            # A shell's background job ignores Ctrl-C, and so would all that these tests start from there.
            ["env", "--default-signal=INT", *self.command("lab", "up")],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            assert process.stdout is not None
            seen = []
            for line in process.stdout:
                sys.stdout.write(line)
                seen.append(line)
                if line.split()[:2] == ["ok", stage]:
                    time.sleep(5)
                    os.killpg(process.pid, number)
                    break
            seen.extend(process.stdout)
            process.wait()
        return process.returncode, "".join(seen)


def _podman(*words: str, given: str = "") -> str:
    done = subprocess.run(
        ["podman", *words],
        input=given,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "CONTAINERS_CONF": str(ROOT / ".config/containers.conf")},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
