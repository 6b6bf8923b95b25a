"""A simulated server as a process with its modules there from the start: importing them takes a second."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from xroad_simulator.__main__ import main

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "federation_rig.server_process",
        "xroad_simulator.central.application",
        "xroad_simulator.security.application",
    ]
)


class ServerProcess:
    """`python -m xroad_simulator ARGUMENTS`, its output added to a file. It ends with the tests' process."""

    def __init__(self, arguments: Sequence[str], log: Path) -> None:
        """Start it."""
        # Whoever waits for it reads the file before the process has come to write it.
        log.touch()
        self._process = _CONTEXT.Process(target=_serve, args=(list(arguments), str(log)), daemon=True)
        self._process.start()

    def poll(self) -> int | None:
        """How it ended, as subprocess tells it; None while it runs."""
        return self._process.exitcode

    def wait(self, seconds: float | None = None) -> None:
        """Wait until it has ended. TimeoutError if it doesn't."""
        self._process.join(seconds)
        if self._process.is_alive():
            raise TimeoutError(f"process {self._process.pid} still runs after {seconds} s")

    def terminate(self) -> None:
        """Ask it to end."""
        self._process.terminate()

    def kill(self) -> None:
        """End it without a chance to clean up."""
        self._process.kill()


def _serve(arguments: list[str], log: str) -> None:
    output = os.open(log, os.O_WRONLY | os.O_APPEND)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(output, stream.fileno())
    sys.argv = ["xroad_simulator", *arguments]
    main()
