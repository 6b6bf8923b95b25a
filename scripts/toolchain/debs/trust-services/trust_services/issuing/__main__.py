"""The trust services CA: serve it, look after its record, and decide about orders on its own host."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args
from uuid import UUID

import psycopg

from trust_services.issuing import api
from trust_services.issuing.chain import Head, verify_chain
from trust_services.issuing.configuration import Configuration, read
from trust_services.issuing.migrating import migrate
from trust_services.issuing.record import Record, State
from trust_services.refusal import Refusal, told

Result = tuple[dict[str, Any], str]
"""What a command found: for programs, and in words."""


def _serve(configuration: Configuration, arguments: argparse.Namespace) -> Result:
    from granian import Granian
    from granian.constants import Interfaces

    configuration.terms()
    os.environ[api.CONFIGURATION_VARIABLE] = str(arguments.config.resolve())
    listen = configuration.listen
    Granian(
        "trust_services.issuing.api:from_environment",
        factory=True,
        address=listen.host,
        port=listen.port,
        workers=listen.workers,
        interface=Interfaces.ASGI,
        websockets=False,
        ssl_cert=listen.certificate,
        ssl_key=listen.key,
        respawn_failed_workers=True,
        # At a reload: until a new worker certainly listens, also on a busy host.
        respawn_interval=10,
    ).serve()
    return {"served": True}, "stopped"


def _migrate(configuration: Configuration, _: argparse.Namespace) -> Result:
    database = configuration.database
    if database.owner_connection is None:
        raise Refusal("the configuration has no `database.owner_connection`", "only the owner migrates")
    with psycopg.connect(
        database.owner_connection, password=database.owner_password, autocommit=True
    ) as connection:
        applied = migrate(connection, database.account)
    told = f"applied {', '.join(map(str, applied))}" if applied else "up to date"
    return {"applied": applied, "changed": bool(applied)}, told


def _verify(configuration: Configuration, arguments: argparse.Namespace) -> Result:
    with _connection(configuration) as connection:
        found = verify_chain(connection, arguments.head)
    if found.broken:
        raise Refusal(
            f"the record isn't as it was written: {found.broken}",
            f"{found.events} events before it are whole; keep the database as it is, and compare with a backup",
        )
    facts = {"events": found.events, "head": str(found.head)}
    return facts, f"{found.events} events, every link holds; keep this elsewhere: {found.head}"


def _orders(configuration: Configuration, arguments: argparse.Namespace) -> Result:
    with _connection(configuration) as connection:
        entries = Record(connection).orders(arguments.state, limit=arguments.limit)
    rows = [
        {
            "id": str(entry.id),
            "state": entry.state.value,
            "profile": entry.profile,
            "owner": entry.owner,
            "name": entry.member_name or "",
            "server": entry.server or "",
            "orderer": entry.orderer,
            "serial": entry.serial or "",
        }
        for entry in entries
    ]
    return {"orders": rows}, "\n".join("  ".join(row.values()) for row in rows) or "none"


def _approve(configuration: Configuration, arguments: argparse.Namespace) -> Result:
    with _connection(configuration) as connection:
        Record(connection).approve(arguments.order, _person(), arguments.reason)
    return {
        "order": str(arguments.order),
        "state": "approved",
    }, "approved; the service issues it in its next round"


def _refuse(configuration: Configuration, arguments: argparse.Namespace) -> Result:
    with _connection(configuration) as connection:
        Record(connection).refuse(arguments.order, _person(), arguments.reason)
    return {"order": str(arguments.order), "state": "refused"}, "refused"


def _revoke(configuration: Configuration, arguments: argparse.Namespace) -> Result:
    with _connection(configuration) as connection:
        state = Record(connection).revoke(api.serial_number(arguments.serial), _person(), arguments.reason)
    told = "revoked; the status program tells it with its next answers and its next list"
    return {
        "serial": f"{state.serial:040x}",
        "revoked_at": str(state.revoked_at),
        "reason": arguments.reason,
    }, told


def _connection(configuration: Configuration) -> psycopg.Connection[Any]:
    return api.connecting(configuration)()


def _person() -> str:
    """Who acts on the console: the account behind sudo."""
    return f"console:{os.environ.get('SUDO_USER') or getpass.getuser()}"


def _head(text: str) -> Head:
    sequence, _, digest = text.partition(":")
    return Head(int(sequence), bytes.fromhex(digest))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m trust_services.issuing", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, act: Callable[..., Result], words: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=words, description=words)
        made.add_argument("--config", type=Path, required=True, metavar="FILE", help="the configuration, JSON")
        made.add_argument("--json", action="store_true", help="print JSON, for programs")
        made.set_defaults(act=act)
        return made

    command("serve", _serve, "Answer orders over HTTP.")
    command("migrate", _migrate, "Bring the record's tables up to date, as their owner.")
    verify = command("verify-record", _verify, "Check every link of the record, every order and certificate.")
    verify.add_argument(
        "--head", type=_head, metavar="N:HASH", help="an end of the chain that was kept elsewhere"
    )
    orders = command("orders", _orders, "List orders, the oldest first.")
    orders.add_argument("--state", type=State, choices=list(State), help="only those of one state")
    orders.add_argument("--limit", type=int, default=100, help="at most so many (100)")
    approve = command("approve", _approve, "Approve a waiting order.")
    refuse = command("refuse", _refuse, "Refuse a waiting order.")
    for made, needed in ((approve, False), (refuse, True)):
        made.add_argument("order", type=UUID, help="the order's number")
        made.add_argument("--reason", required=needed, default="", help="why, for the record")
    revoke = command("revoke", _revoke, "Revoke a certificate for ever.")
    revoke.add_argument("serial", help="its serial number in hexadecimal")
    revoke.add_argument("--reason", required=True, choices=get_args(api.CrlReason), help="why")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0 if it did what it should, 1 if not, 2 if it wasn't understood."""
    given = _parser().parse_args(arguments)
    try:
        facts, words = given.act(read(given.config), given)
    except psycopg.Error as error:
        refusal = Refusal(
            f"the record can't be used: {type(error).__name__}", "look at `database` in the configuration"
        )
        return _complain(refusal, given.json)
    except Refusal as refusal:
        return _complain(refusal, given.json)
    print(json.dumps(facts, ensure_ascii=False) if given.json else words)
    return 0


def _complain(refusal: Refusal, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"error": refusal.message, "next_step": refusal.next_step}, ensure_ascii=False))
        return 1
    return told(refusal)


if __name__ == "__main__":
    sys.exit(main())
