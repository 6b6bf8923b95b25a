"""`serve` answers requests; `fetch` brings what it answers from; `publish` signs it, on the authority's host.

    python -m trust_services.status serve --config FILE
    python -m trust_services.status fetch --config FILE
    python -m trust_services.status publish --config FILE
    python -m trust_services.status renew-responder --config FILE

The first three run until SIGTERM or SIGINT; the last has a running `publish` change its responder's key. The
settings of the first two are described in `trust_services/status/settings.py`, those of the others in
`trust_services/status/publishing.py`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import signal
import socket
import sys
import threading
from pathlib import Path

from trust_services import settings_file
from trust_services.refusal import Refusal, told
from trust_services.status import fetching, settings
from trust_services.status.settings import Listen, Settings


def main() -> int:
    """Run the command that the arguments name; 0, or 1 after a refusal."""
    parser = argparse.ArgumentParser(
        prog="trust_services.status", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("serve", "fetch", "publish", "renew-responder"))
    parser.add_argument("--config", type=Path, required=True, metavar="FILE")
    arguments = parser.parse_args()
    try:
        match arguments.command:
            case "serve":
                _serve(settings.read(arguments.config))
            case "fetch":
                _fetch(settings.read(arguments.config))
            case command:
                _publish(arguments.config, command)
    except Refusal as refusal:
        return told(refusal)
    return 0


def _serve(found: Settings) -> None:
    from granian.constants import HTTPModes, Interfaces
    from granian.http import HTTP1Settings
    from granian.log import LogLevels
    from granian.server import Server

    from trust_services.status.metrics import Counts
    from trust_services.status.responder import Responder
    from trust_services.status.shelf import Shelf

    _check_free(found.listen)
    # Workers share the counts' memory by being forked, which isn't every Python's default.
    multiprocessing.set_start_method("fork")
    counts = Counts()
    shelf = Shelf(found)  # each worker fills its own

    def worker() -> Responder:
        shelf.look()
        shelf.watch()
        return Responder(shelf, counts)

    Server(
        "trust_services.status",
        address=str(found.listen.address),
        port=found.listen.port,
        interface=Interfaces.RSGI,
        workers=found.workers,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=30_000, max_buffer_size=32 * 1024),
        websockets=False,
        log_level=LogLevels.warning,
        respawn_failed_workers=True,
        workers_kill_timeout=5,
    ).serve(target_loader=worker, wrap_loader=False)


def _check_free(listen: Listen) -> None:
    """Refusal if this host doesn't have the address, or a program listens already.

    The server itself would share the port with a former run that didn't end, and half the answers be old.
    """
    family = socket.AF_INET if listen.address.version == 4 else socket.AF_INET6
    with socket.socket(family) as tried:
        # Connections of a former run that end slowly aren't in the way.
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((str(listen.address), listen.port))
        except OSError as error:
            raise Refusal(
                f"listen: {listen.address} port {listen.port} can't be used: {error.strerror}",
                f"ss --listening --tcp --processes 'sport = {listen.port}'",
            ) from error


def _fetch(found: Settings) -> None:
    fetching.run(found, _until_ended())


def _publish(config: Path, command: str) -> None:
    # Here, for a responder's host has no database and no token.
    from trust_services.status import publishing

    found = settings_file.read(config, publishing.PublishSettings)
    if command == "publish":
        publishing.Program(found).keep(_until_ended())
    else:
        publishing.renew_responder(found)


def _until_ended() -> threading.Event:
    """Set by SIGTERM and SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


if __name__ == "__main__":
    sys.exit(main())
