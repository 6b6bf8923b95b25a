"""Running other programs so that they end with the run that started them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_GRACE_SECONDS = 10.0


def end_with_parent() -> None:
    """Have the kernel stop this process when its parent dies, even by kill -9 (prctl(2))."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


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
        command,
        env=dict(environment),
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        pass_fds=tuple(inherit),
        start_new_session=True,
        preexec_fn=end_with_parent,  # noqa: PLW1509 - one call of libc, no lock is taken
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
