"""Letting a piece of work on this machine use the lab's names, without touching the machine's own files."""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from estate import Estate

_CLONE_NEWNS = 0x00020000
_HOSTS = Path("/etc/hosts")
_LIBC = ctypes.CDLL(None, use_errno=True)

Result = TypeVar("Result")


def with_names(estate: Estate, work: Callable[[], Result]) -> Result:
    """The result of `work`, which sees the names of the estate's hosts in /etc/hosts.

    It runs in a thread with a mount namespace of its own, and so do the programs that it starts:
    nothing else on the machine sees the file, and it is gone with the thread.
    """
    with tempfile.TemporaryDirectory(prefix="smartgouv-") as folder:
        hosts = Path(folder, "hosts")
        hosts.write_text(_HOSTS.read_text(encoding="utf-8") + _lines(estate), encoding="utf-8")
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(_inside, hosts, work).result()


def _inside(hosts: Path, work: Callable[[], Result]) -> Result:
    # Of a thread alone (unshare(2)): the rest of the process stays where it is.
    if _LIBC.unshare(_CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "unshare")
    for arguments in (("--make-rprivate", "/"), ("--bind", str(hosts), str(_HOSTS))):
        subprocess.run(["mount", *arguments], check=True)
    return work()


def _lines(estate: Estate) -> str:
    lines = (" ".join((str(each.address), estate.fqdn(each.name), *each.aliases)) for each in estate.names())
    return "".join(f"\n{line}" for line in lines) + "\n"
