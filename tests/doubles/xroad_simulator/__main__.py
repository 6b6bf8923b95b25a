"""Run a simulated central server or security server: `python -m xroad_simulator central --state DIR`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from xroad_simulator.listeners import Listener, serve
from xroad_simulator.settings import EVERYWHERE, CentralSettings, Common, Ini, Listening, SecuritySettings


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="xroad_simulator", description=__doc__)
    parser.add_argument("kind", choices=("central", "security"))
    parser.add_argument("--state", type=Path, required=True, help="directory of the database")
    parser.add_argument("--configuration", type=Path, help="directory of *.ini files")
    parser.add_argument("--tls", type=Path, help="directory of TLS files (default: STATE/ssl)")
    parser.add_argument("--gpg-home", type=Path, help="directory of OpenPGP keys (default: STATE/gpghome)")
    parser.add_argument("--listen", default=EVERYWHERE, help="address of every listener")
    parser.add_argument("--port-offset", type=int, default=0, help="added to every port")
    parser.add_argument("--account-file", type=Path, help="name:password lines instead of system accounts")
    parser.add_argument("--pin-command", type=Path, help="program that prints the token's PIN")
    parser.add_argument(
        "--time-scale",
        type=float,
        default=1.0,
        help="divides intervals: of generation, updates, caches, status, time stamps (30: 60 s become 2 s)",
    )
    return parser.parse_args()


def _tell_ready() -> None:
    """Tell systemd (Type=notify) that every socket is bound."""
    path = os.environ.get("NOTIFY_SOCKET")
    if path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.connect("\0" + path[1:] if path.startswith("@") else path)
            notify.sendall(b"READY=1")


def _assemble(
    arguments: argparse.Namespace,
) -> tuple[list[Listener], list[Callable[[], Coroutine[Any, Any, None]]]]:
    common = Common(
        state=arguments.state,
        tls=arguments.tls or arguments.state / "ssl",
        gpg_home=arguments.gpg_home,
        listening=Listening(address=arguments.listen, port_offset=arguments.port_offset),
        accounts=arguments.account_file,
        pin_command=arguments.pin_command,
    )
    ini = Ini(arguments.configuration)
    scale = arguments.time_scale
    # One of the two is imported: the other's modules would only cost memory.
    if arguments.kind == "central":
        from xroad_simulator.central.application import assemble

        central = CentralSettings.read(ini, common)
        interval = central.generation_interval / scale
        _, listeners, tasks = assemble(central.model_copy(update={"generation_interval": interval}))
        return listeners, tasks
    from xroad_simulator.security.application import assemble as assemble_security

    security = SecuritySettings.read(ini, common)
    scaled = (
        "update_interval",
        "rights_cache_period",
        "ocsp_fetch_interval",
        "ocsp_retry_delay",
        "timestamp_retry_delay",
        "fastest_server_period",
        "acceptable_timestamp_failure_period",
    )
    intervals = {name: getattr(security, name) / scale for name in scaled}
    _, listeners, tasks = assemble_security(security.model_copy(update={**intervals, "time_scale": scale}))
    return listeners, tasks


def main() -> None:
    """Read the command line and serve until told to stop."""
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    for noisy in ("httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    arguments.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    listeners, tasks = _assemble(arguments)
    asyncio.run(serve(listeners, tasks, _tell_ready))


if __name__ == "__main__":
    main()
