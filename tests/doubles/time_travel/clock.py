"""A clock for this process and all that it starts: libfaketime reads the time from a file at every look.

It stands still until it is set. Waiting isn't touched: it goes by the monotonic clock, which isn't faked.
"""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import SupportsIndex

_VARIABLE = "FAKETIME_TIMESTAMP_FILE"


def library() -> Path | None:
    """Libfaketime for programs with threads; None where it isn't installed."""
    return next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)


def environment(file: Path) -> dict[str, str]:
    """What a program is started with to live by the time in `file`. To be read by every account."""
    return {
        "LD_PRELOAD": str(library()),
        _VARIABLE: str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        # Programs tell a new file by its times.
        "NO_FAKE_STAT": "1",
        # Times in the file are local ones.
        "TZ": "UTC",
    }


def mend_sleep() -> None:
    """Let `time.sleep` wait: libfaketime refuses to wait for a moment of the monotonic clock."""
    never = threading.Event()

    def sleep(seconds: float | SupportsIndex) -> None:
        never.wait(float(seconds))

    time.sleep = sleep


def write(file: Path, moment: datetime) -> None:
    """Set the clock, in one step: whoever looks sees the old or the new time. Whole seconds."""
    new = file.with_suffix(".new")
    new.write_text(f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}\n", encoding="ascii")
    new.chmod(0o644)
    new.replace(file)


def set_to(moment: datetime) -> None:
    """Set this process's clock; RuntimeError if it doesn't follow."""
    write(Path(os.environ[_VARIABLE]), moment)
    if (seen := datetime.now(UTC)) != moment:
        raise RuntimeError(f"the clock shows {seen}, not {moment}: is libfaketime loaded?")
