"""Running other programs so that they end with the run that started them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_GRACE_SECONDS = 10.0


def ending_with_parent(command: Sequence[str]) -> list[str]:
    """`command` so that the kernel stops it when this process dies, even by kill -9 (prctl(2)).

    Not a function for subprocess to call in the child: that would fork this whole process, and
    the threads of libraries such as gRPC don't survive it.
    """
    return ["setpriv", "--pdeathsig=TERM", "--", *command]


@contextlib.contextmanager
def started(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    directory: Path,
    inherit: Sequence[int] = (),
) -> Iterator[subprocess.Popen[str]]:
    """Run `command` in a session of its own, its output and errors in one pipe of text.

    Leaving the block by an exception, Ctrl-C above all, stops the whole session before it goes on.
    `inherit` are descriptors to hand on, such as a lock's.
    """
    process = subprocess.Popen(
        ending_with_parent(command),
        env=dict(environment),
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        pass_fds=tuple(inherit),
        start_new_session=True,
    )
    try:
        yield process
    except BaseException:
        stop(process)
        raise
    finally:
        if process.stdout is not None:
            process.stdout.close()


def stop(process: subprocess.Popen[str]) -> None:
    """Stop a session: ask, wait, then end it."""
    for order, wait in ((signal.SIGTERM, _GRACE_SECONDS), (signal.SIGKILL, _GRACE_SECONDS)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, order)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(wait)
            return
