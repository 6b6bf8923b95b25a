"""Command line of the ceremony: `python -m trust_services.ceremony perform|replay`.

The folders are those of the ceremony's container; `scripts/smartgouv ceremony` starts it.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from trust_services.ceremony.perform import Place, perform
from trust_services.ceremony.replay import replay
from trust_services.refusal import Refusal, told


def main() -> int:
    """Run the command line; 0, 1 after a refusal, or 130 when it was stopped."""
    parser = argparse.ArgumentParser(prog="trust_services.ceremony", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    held = commands.add_parser("perform", help="hold a ceremony")
    held.add_argument("--inbox", type=Path, required=True, help="agenda.json and requests/")
    held.add_argument("--records", type=Path, required=True, help="records of all ceremonies, added to")
    held.add_argument("--shares", type=Path, required=True, help="the custodians' shares; written by the first")
    held.add_argument(
        "--by-quorum", action="append", default=[], metavar="FILE", help="a revocation that nobody signed"
    )
    again = commands.add_parser("replay", help="check all records without the root's key")
    again.add_argument("--records", type=Path, required=True)
    arguments = parser.parse_args()

    def tell(text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    # The first process of a container isn't ended by signals that it doesn't handle.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if arguments.command == "perform":
            place = Place(arguments.inbox, arguments.records, arguments.shares)
            record = perform(place, tell, arguments.by_quorum)
            tell(f"record {record.name}")
        else:
            tell(f"{replay(arguments.records, tell)} things issued, all explained")
    except Refusal as refusal:
        return told(refusal)
    except KeyboardInterrupt:
        sys.stderr.write("stopped: nothing was issued\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
