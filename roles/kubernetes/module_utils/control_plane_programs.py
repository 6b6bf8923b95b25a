"""Programs of a control plane's static pods, as processes of the host."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

API_PROGRAM = "kube-apiserver"
OTHER_PROGRAMS = ("etcd", "kube-controller-manager", "kube-scheduler")
"""These read certificates when they start, too. The API ends before them: without etcd it takes long to."""

PROCESSES = Path("/proc")
_GRACE_SECONDS = 30
"""How long such a program may take to end; as long as the kubelet gives it."""


def started_before(moment: float, name: str) -> list[int]:
    """Processes of a program that started before a moment, in seconds since 1970."""
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    found = []
    for folder in PROCESSES.glob("[0-9]*"):
        try:
            program = (folder / "cmdline").read_bytes().partition(b"\0")[0].decode(errors="replace")
            ticks = int((folder / "stat").read_text().rpartition(")")[2].split()[19])
        except (OSError, ValueError, IndexError):
            # It has ended meanwhile.
            continue
        if Path(program).name == name and booted + ticks / os.sysconf("SC_CLK_TCK") < moment:
            found.append(int(folder.name))
    return found


def end(process: int) -> None:
    """End a process and wait for that."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGTERM)
        deadline = time.monotonic() + _GRACE_SECONDS
        while time.monotonic() < deadline:
            os.kill(process, 0)
            time.sleep(0.1)
        os.kill(process, signal.SIGKILL)
