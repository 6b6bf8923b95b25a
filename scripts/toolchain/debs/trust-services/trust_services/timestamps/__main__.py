"""The command line: `python -m trust_services.timestamps serve --config FILE`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from trust_services.refusal import Refusal, told
from trust_services.timestamps.renewed import IdentityWatch
from trust_services.timestamps.settings import read_identity, read_settings


def main(arguments: list[str] | None = None) -> int:
    """Run a command; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m trust_services.timestamps", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("serve", "Answer requests for time stamps until told to end."),
        ("check", "Say whether `serve` would start with this configuration."),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--config", type=Path, required=True, help="The configuration file (JSON).")
    asked = parser.parse_args(arguments)
    try:
        settings = read_settings(asked.config)
        renewed = IdentityWatch(asked.config, settings)
        identity = read_identity(asked.config, settings)
    except Refusal as refusal:
        return told(refusal)
    if asked.command == "serve":
        # Here, for the server's library has no business in a check.
        from trust_services.timestamps.service import serve

        serve(settings, identity, renewed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
