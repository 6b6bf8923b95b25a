"""What X-Road's restoration scripts do on the command line, with their options.

    python -m xroad_simulator.restore_script KIND --state DIR --tls DIR [--gpg-home DIR] OPTIONS

`OPTIONS` are those of `restore_xroad_proxy_configuration.sh` and `restore_xroad_center_configuration.sh`: the
packages' scripts of these names hand them on. Unlike the admin API this works on a server that was never
initialised (ug-ss 13.2, ug-cs 12.3). A running server has to be started again, since it remembers.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from xroad_simulator.backups import BACKUP_VERSION, Backups, UnsuitableError
from xroad_simulator.faults import Faults
from xroad_simulator.key_ring import KeyRing, KeyRingError
from xroad_simulator.listeners import TlsFiles
from xroad_simulator.store import Store

TLS_NAMES = {"central": "management-service", "security": "internal"}
"""Whose key and certificate are in a server's backup."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Restore; what went wrong is printed, and makes 1, or 2 where the options did."""
    given = _parser().parse_args(arguments)
    if not (given.identity or given.force):
        print("Missing value of the server's ID")
        return 2
    key_ring = KeyRing(given.gpg_home or given.state / "gpghome")
    store = Store(given.state / f"{given.kind}.db")
    tls = TlsFiles(given.tls, TLS_NAMES[given.kind], ["localhost"])
    backups = Backups(store, given.state, key_ring, tls, Faults(), None)
    try:
        content = given.file.read_bytes()
        packed = content if given.plain else key_ring.open(content, verified=not given.unverified)
        label = f"{given.kind}_{BACKUP_VERSION}_{given.identity}"
        backups.replace(packed, label, any_of_kind=given.force)
    except (OSError, KeyRingError, UnsuitableError) as error:
        print(error)
        print(f"Failed to restore the configuration of the X-Road {given.kind} server")
        return 1
    finally:
        store.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="restore_script")
    parser.add_argument("kind", choices=tuple(TLS_NAMES))
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--tls", type=Path, required=True)
    parser.add_argument("--gpg-home", type=Path)
    parser.add_argument("-i", "-s", dest="identity", default="")
    parser.add_argument("-f", dest="file", type=Path, required=True)
    parser.add_argument("-F", dest="force", action="store_true")
    parser.add_argument("-P", dest="plain", action="store_true")
    parser.add_argument("-N", dest="unverified", action="store_true")
    return parser


if __name__ == "__main__":
    sys.exit(main())
